// What is in a broker's files, read without any Kafka client: record batches (magic 2), not compressed.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One record on disk. */
export interface DiskRecord {
  readonly offset: bigint;
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: ReadonlyMap<string, string>;
  /** Of the batch: −1 when the producer was not idempotent. */
  readonly producerId: bigint;
  readonly sequence: number;
}

const BATCH_HEADER = 61;

/** Every record of a partition that a broker has on disk, in the order of the file. */
export function recordsOnDisk(directory: string, topic: string, partition: number): DiskRecord[] {
  const folder = join(directory, `${topic}-${partition}`);
  return readdirSync(folder)
    .filter((file) => file.endsWith(".log"))
    .toSorted()
    .flatMap((file) => recordsOf(readFileSync(join(folder, file))));
}

function recordsOf(bytes: Buffer): DiskRecord[] {
  const found: DiskRecord[] = [];
  for (let at = 0; at + BATCH_HEADER <= bytes.length;) {
    const end = at + 12 + bytes.readInt32BE(at + 8);
    if (end > bytes.length || bytes.readInt8(at + 16) !== 2) break;
    const isControl = (bytes.readInt16BE(at + 21) & 0x20) !== 0;
    if (!isControl) found.push(...batchRecords(bytes.subarray(at, end)));
    at = end;
  }
  return found;
}

function batchRecords(batch: Buffer): DiskRecord[] {
  const base = batch.readBigInt64BE(0);
  const baseTime = Number(batch.readBigInt64BE(27));
  const producerId = batch.readBigInt64BE(43);
  const sequence = batch.readInt32BE(53);
  const reader = new Reader(batch, BATCH_HEADER);
  return Array.from({ length: batch.readInt32BE(57) }, () => {
    reader.varint(); // length of the record
    reader.skip(1); // attributes
    const timestampMs = baseTime + reader.varint();
    const offset = base + BigInt(reader.varint());
    const key = reader.bytes();
    const value = reader.bytes();
    const headers = new Map<string, string>();
    for (let left = reader.varint(); left > 0; left -= 1) {
      headers.set(String(reader.bytes()), String(reader.bytes()));
    }
    return { offset, timestampMs, key, value, headers, producerId, sequence };
  });
}

class Reader {
  readonly #buffer: Buffer;
  #at: number;

  constructor(buffer: Buffer, at: number) {
    this.#buffer = buffer;
    this.#at = at;
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  /** Zigzag, base 128. */
  varint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#buffer[this.#at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  bytes(): Buffer | null {
    const length = this.varint();
    if (length < 0) return null;
    this.#at += length;
    return this.#buffer.subarray(this.#at - length, this.#at);
  }
}
