// A batch of records as bytes (Kafka's message format v2, KIP-98). Each byte of a record is written once.
import { crc32c } from "./crc32c.ts";
import type { LogRecord } from "./port.ts";

/** What a batch says beside its records. */
export interface BatchFields {
  readonly timestampMs: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly firstSequence: number;
}

/** How records are compressed: the number that stands for it in a batch, and the function. */
export interface BatchCompression {
  readonly id: number;
  compress(records: Buffer): Promise<Buffer>;
}

/** Offsets of fields, from the begin of the batch. The checksum is of everything after it. */
const AT = {
  baseOffset: 0,
  length: 8,
  leaderEpoch: 12,
  magic: 16,
  checksum: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  firstTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  firstSequence: 53,
  count: 57,
  records: 61,
} as const;
const MAGIC = 2;

/** A batch, after `headroom` bytes for whoever sends it. */
export async function encodeBatch(
  records: readonly LogRecord[],
  fields: BatchFields,
  { headroom, compression }: { headroom: number; compression?: BatchCompression | undefined },
): Promise<Buffer> {
  const start = headroom + AT.records;
  let buffer: Buffer;
  if (compression === undefined) buffer = encodeRecords(records, start);
  else {
    const compressed = await compression.compress(encodeRecords(records, 0));
    buffer = Buffer.allocUnsafeSlow(start + compressed.length);
    buffer.set(compressed, start);
  }
  writeHead(buffer.subarray(headroom), fields, {
    count: records.length,
    codec: compression?.id ?? 0,
  });
  return buffer;
}

function writeHead(
  batch: Buffer,
  { timestampMs, producerId, producerEpoch, firstSequence }: BatchFields,
  { count, codec }: { count: number; codec: number },
): void {
  batch.writeBigInt64BE(0n, AT.baseOffset);
  batch.writeInt32BE(batch.length - AT.leaderEpoch, AT.length);
  batch.writeInt32BE(0, AT.leaderEpoch);
  batch.writeInt8(MAGIC, AT.magic);
  batch.writeInt16BE(codec, AT.attributes);
  batch.writeInt32BE(count - 1, AT.lastOffsetDelta);
  batch.writeBigInt64BE(BigInt(timestampMs), AT.firstTimestamp);
  batch.writeBigInt64BE(BigInt(timestampMs), AT.maxTimestamp);
  batch.writeBigInt64BE(producerId, AT.producerId);
  batch.writeInt16BE(producerEpoch, AT.producerEpoch);
  batch.writeInt32BE(firstSequence, AT.firstSequence);
  batch.writeInt32BE(count, AT.count);
  batch.writeUInt32BE(crc32c(batch.subarray(AT.attributes)), AT.checksum);
}

/** Records one after the other, all with the time of the batch, after `headroom` bytes. */
function encodeRecords(records: readonly LogRecord[], headroom: number): Buffer {
  const sizes = records.map(bodySize);
  let total = headroom;
  for (const size of sizes) total += varintSize(size) + size;
  const buffer = Buffer.allocUnsafeSlow(total);
  let at = headroom;
  for (const [index, record] of records.entries()) {
    at = writeVarint(buffer, at, sizes[index] as number);
    at = writeBody(buffer, at, record, index);
  }
  return buffer;
}

function bodySize({ key, value, headers }: LogRecord, offsetDelta: number): number {
  let size = FIXED + varintSize(offsetDelta) + bytesSize(key) + bytesSize(value);
  size += varintSize(headers.length);
  for (const [name, text] of headers) size += bytesSize(name) + bytesSize(text);
  return size;
}

/** Attributes, and the distance to the batch's time. */
const FIXED = 2;

function writeBody(
  buffer: Buffer,
  start: number,
  { key, value, headers }: LogRecord,
  offsetDelta: number,
): number {
  buffer[start] = 0;
  buffer[start + 1] = 0;
  let at = writeVarint(buffer, start + FIXED, offsetDelta);
  at = writeBytes(buffer, at, key);
  at = writeBytes(buffer, at, value);
  at = writeVarint(buffer, at, headers.length);
  for (const [name, text] of headers) {
    at = writeBytes(buffer, at, name);
    at = writeBytes(buffer, at, text);
  }
  return at;
}

/** Lengths and distances, none of them below -1 or near 2^31. */
const zigzag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0;

function varintSize(value: number): number {
  let left = zigzag(value);
  let size = 1;
  for (; left > 0x7f; left >>>= 7) size += 1;
  return size;
}

function writeVarint(buffer: Buffer, start: number, value: number): number {
  let at = start;
  let left = zigzag(value);
  for (; left > 0x7f; left >>>= 7) buffer[at++] = (left & 0x7f) | 0x80;
  buffer[at++] = left;
  return at;
}

function bytesSize(bytes: Uint8Array | string | null): number {
  if (bytes === null) return 1;
  const length = typeof bytes === "string" ? textLength(bytes) : bytes.length;
  return varintSize(length) + length;
}

function writeBytes(buffer: Buffer, start: number, bytes: Uint8Array | string | null): number {
  if (bytes === null) return writeVarint(buffer, start, -1);
  if (typeof bytes === "string") return writeText(buffer, start, bytes);
  const at = writeVarint(buffer, start, bytes.length);
  buffer.set(bytes, at);
  return at + bytes.length;
}

// Headers are short and ASCII, nearly all: a call into native code costs more than a look at their few characters.
const MAX_ASCII = 0x7f;

function textLength(text: string): number {
  for (let index = 0; index < text.length; index += 1)
    if (text.charCodeAt(index) > MAX_ASCII) return Buffer.byteLength(text);
  return text.length;
}

function writeText(buffer: Buffer, start: number, text: string): number {
  const at = writeVarint(buffer, start, text.length);
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code > MAX_ASCII) return writeBytes(buffer, start, Buffer.from(text));
    buffer[at + index] = code;
  }
  return at + text.length;
}
