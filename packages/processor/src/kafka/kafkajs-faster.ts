// Functions of kafkajs 2.2.4 on the way of every record, with the same results and less work. The library makes a zeroed
// buffer of 512 bytes for each record and each header, copies the list of messages once for every message in it, sums up a
// batch byte by byte, and grows a zeroed buffer again and again.
import { crc32c } from "./crc32c.ts";

/** A module of the library that is one function. */
export interface Replacement {
  readonly path: string;
  readonly make: (original: never) => unknown;
}

/** What stands for an encoder of the library where it is written into another. */
interface Encoded {
  readonly buf: Buffer;
  readonly buffer: Buffer;
}

interface RecordFields {
  readonly offsetDelta?: number;
  readonly timestampDelta?: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, unknown>>;
}

type EncodeRecord = (fields: RecordFields) => Encoded;

interface Header {
  readonly name: string;
  readonly nameBytes: number;
  readonly value: Buffer;
}

/** Largest number that goes through 32-bit zigzag. */
const MAX_PLAIN = 2 ** 30;

/** One buffer of the right size for a record. What it does not know (no Buffer, repeated headers, large numbers) goes to the original. */
function fasterRecord(original: EncodeRecord): EncodeRecord {
  return (fields) => {
    const { offsetDelta = 0, timestampDelta = 0, key, value } = fields;
    const headers = plainHeaders(fields.headers ?? {});
    const known =
      headers !== undefined &&
      isPlain(offsetDelta) &&
      isPlain(timestampDelta) &&
      isBytes(key) &&
      isBytes(value);
    if (!known) return original(fields);
    let size = 1 + varintSize(timestampDelta) + varintSize(offsetDelta);
    size += bytesSize(key) + bytesSize(value) + varintSize(headers.length);
    for (const { nameBytes, value: bytes } of headers)
      size += varintSize(nameBytes) + nameBytes + bytesSize(bytes);
    const buffer = Buffer.allocUnsafe(varintSize(size) + size);
    let at = writeVarint(buffer, 0, size);
    buffer[at++] = 0; // attributes
    at = writeVarint(buffer, at, timestampDelta);
    at = writeVarint(buffer, at, offsetDelta);
    at = writeBytes(buffer, at, key);
    at = writeBytes(buffer, at, value);
    at = writeVarint(buffer, at, headers.length);
    for (const { name, nameBytes, value: bytes } of headers) {
      at = writeVarint(buffer, at, nameBytes);
      at += buffer.write(name, at, nameBytes, "utf8");
      at = writeBytes(buffer, at, bytes);
    }
    return { buf: buffer, buffer };
  };
}

function plainHeaders(headers: Readonly<Record<string, unknown>>): readonly Header[] | undefined {
  const found: Header[] = [];
  for (const name in headers) {
    const value = headers[name];
    if (!Buffer.isBuffer(value)) return undefined;
    found.push({ name, nameBytes: Buffer.byteLength(name), value });
  }
  return found;
}

const isPlain = (value: unknown): boolean =>
  Number.isInteger(value) && Math.abs(value as number) < MAX_PLAIN;
const isBytes = (value: unknown): boolean => value === null || Buffer.isBuffer(value);
const zigzag = (value: number): number => ((value << 1) ^ (value >> 31)) >>> 0;

function varintSize(value: number): number {
  let left = zigzag(value);
  let size = 1;
  for (; left > 0x7f; left >>>= 7) size += 1;
  return size;
}

const bytesSize = (bytes: Buffer | null): number =>
  bytes === null ? 1 : varintSize(bytes.length) + bytes.length;

function writeVarint(buffer: Buffer, start: number, value: number): number {
  let at = start;
  let left = zigzag(value);
  for (; left > 0x7f; left >>>= 7) buffer[at++] = (left & 0x7f) | 0x80;
  buffer[at++] = left;
  return at;
}

function writeBytes(buffer: Buffer, start: number, bytes: Buffer | null): number {
  if (bytes === null) return writeVarint(buffer, start, -1);
  const at = writeVarint(buffer, start, bytes.length);
  buffer.set(bytes, at);
  return at + bytes.length;
}

interface Grouping {
  readonly topic: string;
  readonly partitionMetadata: readonly unknown[];
  readonly messages: readonly unknown[];
  readonly partitioner: (of: {
    topic: string;
    partitionMetadata: readonly unknown[];
    message: unknown;
  }) => number;
}

/** The same lists, each made once. */
function fasterGrouping(): (of: Grouping) => Record<number, unknown[]> {
  return ({ topic, partitionMetadata, messages, partitioner }) => {
    const lists: Record<number, unknown[]> = {};
    if (partitionMetadata.length === 0) return lists;
    for (const message of messages) {
      (lists[partitioner({ topic, partitionMetadata, message })] ??= []).push(message);
    }
    return lists;
  };
}

/** The parts of the library's encoder that are mended. */
interface Growing {
  buf: Buffer;
  offset: number;
  ensureAvailable(this: Growing, length: number): void;
  writeEncoderArray: (this: Growing, parts: readonly Encoded[]) => Growing;
}

function grow(this: Growing, length: number): void {
  const size = this.offset + length;
  if (size <= this.buf.length) return;
  const grown = Buffer.allocUnsafeSlow(Math.max(size, 2 * this.buf.length));
  this.buf.copy(grown, 0, 0, this.offset);
  this.buf = grown;
}

/** The same bytes in `buffer`. What lies beyond `offset` is not zeroed: `buffer` never shows it. */
function fasterEncoder(encoder: { readonly prototype: Growing }): unknown {
  const { prototype } = encoder;
  const { writeEncoderArray } = prototype;
  prototype.ensureAvailable = grow;
  prototype.writeEncoderArray = function reserve(parts) {
    if (Array.isArray(parts))
      this.ensureAvailable(parts.reduce((sum: number, part: Encoded) => sum + sizeOf(part), 0));
    return writeEncoderArray.call(this, parts);
  };
  return encoder;
}

const sizeOf = (part: Encoded | null | undefined): number => part?.buffer?.length ?? 0;

/** What is put into the place of what. */
export const FASTER: readonly Replacement[] = [
  { path: "kafkajs/src/protocol/encoder.js", make: fasterEncoder },
  { path: "kafkajs/src/protocol/recordBatch/crc32C/index.js", make: () => crc32c },
  { path: "kafkajs/src/protocol/recordBatch/record/v0/index.js", make: fasterRecord },
  { path: "kafkajs/src/producer/groupMessagesPerPartition.js", make: fasterGrouping },
];
