// One record of a fetched batch (Kafka's message format v2, KIP-98), as kafkajs 2.2.4 asks for it. The library's own way copies all
// headers so far for each one more, and every number is an object of its own.
import type { KafkaMessage } from "kafkajs";

/** What the library knows of the batch; numbers of 64 bits are decimals. */
export interface BatchContext {
  readonly firstOffset: string;
  readonly firstTimestamp: string;
  readonly maxTimestamp: string;
  readonly timestampType: number;
  readonly magicByte: number;
  readonly isControlBatch?: boolean;
}

/** A message of the library, but for its headers: by name, the last of one name, and none is null. */
export interface DecodedRecord extends Pick<
  KafkaMessage,
  "key" | "value" | "timestamp" | "offset" | "attributes"
> {
  readonly headers: ReadonlyMap<string, Uint8Array>;
  readonly magicByte: number;
  readonly isControlRecord: boolean;
  readonly batchContext: BatchContext;
}

/** The broker's time stands for all records of a batch. */
const LOG_APPEND_TIME = 1;

/** Reads a record. Bytes that are none give a record that is no event: what is malformed ends where the bytes do. */
export function decodeRecord(
  { buffer }: { readonly buffer: Buffer },
  batchContext: BatchContext,
): DecodedRecord {
  const { firstOffset, firstTimestamp, maxTimestamp, timestampType, magicByte } = batchContext;
  const reader = new RecordReader(buffer);
  const timestampDelta = reader.varint();
  const isBrokers = timestampType === LOG_APPEND_TIME && maxTimestamp !== "";
  return {
    magicByte,
    attributes: ((buffer[0] ?? 0) << 24) >> 24,
    timestamp: isBrokers ? maxTimestamp : plus(firstTimestamp, timestampDelta),
    offset: plus(firstOffset, reader.varint()),
    key: reader.bytes(),
    value: reader.bytes(),
    headers: reader.headers(),
    isControlRecord: batchContext.isControlBatch === true,
    batchContext,
  };
}

function plus(decimal: string, delta: number): string {
  return delta === 0 ? decimal : String(BigInt(decimal) + BigInt(delta));
}

const NOTHING = Buffer.alloc(0);
/** What a one in the last of the bytes of a number stands for. */
const MAX_UNIT = 0x80 ** 9;

class RecordReader {
  readonly #buffer: Buffer;
  /** After the attributes. */
  #at = 1;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  /** Of ten bytes at most, as the protocol has it. Exact up to 52 bits: an offset or a time is never so far from that of its batch. */
  varint(): number {
    let byte = this.#buffer[this.#at++] ?? 0;
    let value = byte & 0x7f;
    for (let unit = 0x80; byte >= 0x80 && unit <= MAX_UNIT; unit *= 0x80) {
      byte = this.#buffer[this.#at++] ?? 0;
      value += (byte & 0x7f) * unit;
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  bytes(): Buffer | null {
    const length = this.varint();
    if (length < 0) return null;
    const start = this.#at;
    this.#at += length;
    return this.#buffer.subarray(start, this.#at);
  }

  headers(): Map<string, Uint8Array> {
    const found = new Map<string, Uint8Array>();
    for (let left = this.varint(); left > 0 && this.#at < this.#buffer.length; left -= 1) {
      const length = Math.max(0, this.varint());
      const start = this.#at;
      this.#at += length;
      const name = this.#buffer.toString("utf8", start, this.#at);
      found.set(name, this.bytes() ?? NOTHING);
    }
    return found;
  }
}
