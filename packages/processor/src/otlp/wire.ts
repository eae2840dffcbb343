// The protobuf wire format: bytes in, primitive values out, and back. Nothing of OTLP in here.
import { isUtf8 } from "node:buffer";
import { CountersignError } from "@countersign/model";

/** Wire types. Groups (3, 4) are refused: proto3 has none. */
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** The bytes end within a field, or a field says that it is longer than what it is in. */
export function truncated(): CountersignError {
  return new CountersignError("INPUT_INVALID", "otlp: the protobuf message ends within a field");
}

/** The bytes are no protobuf. */
export function malformed(what: string): CountersignError {
  return new CountersignError("INPUT_INVALID", `otlp: the protobuf message is malformed: ${what}`);
}

/** Reads one message. Every length is checked against the end of the message it is in. */
export class WireReader {
  readonly #buffer: Buffer;
  readonly #end: number;
  #at: number;

  constructor(buffer: Buffer, start = 0, end: number = buffer.length) {
    this.#buffer = buffer;
    this.#at = start;
    this.#end = end;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** Bytes that are not read yet. */
  get left(): number {
    return this.#end - this.#at;
  }

  /** Field number and wire type. */
  tag(): { readonly number: number; readonly wire: number } {
    const tag = this.#small();
    const number = Math.floor(tag / 8);
    if (number < 1 || number > 0x1fffffff) throw malformed("a field number that cannot be");
    return { number, wire: tag % 8 };
  }

  /** Up to 64 bits, unsigned. */
  varint(): bigint {
    let low = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      low |= (byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt(low);
    }
    let value = BigInt(low);
    for (let shift = 28n; shift < 70n; shift += 7n) {
      const byte = this.#byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw malformed("a number longer than 10 bytes");
  }

  fixed64(): bigint {
    const at = this.#skip(8);
    return this.#buffer.readBigUInt64LE(at);
  }

  fixed32(): number {
    return this.#buffer.readUInt32LE(this.#skip(4));
  }

  double(): number {
    return this.#buffer.readDoubleLE(this.#skip(8));
  }

  /** A view of length-delimited bytes. */
  bytes(): Buffer {
    const length = this.#length();
    const at = this.#skip(length);
    return this.#buffer.subarray(at, at + length);
  }

  string(): string {
    const bytes = this.bytes();
    if (!isUtf8(bytes)) throw malformed("text that is not UTF-8");
    return bytes.toString("utf8");
  }

  /** A reader of an embedded message. */
  message(): WireReader {
    const length = this.#length();
    const at = this.#skip(length);
    return new WireReader(this.#buffer, at, at + length);
  }

  /** Passes over a field that nobody knows. */
  skip(wire: number): void {
    if (wire === WIRE.varint) this.varint();
    else if (wire === WIRE.fixed64) this.#skip(8);
    else if (wire === WIRE.bytes) this.#skip(this.#length());
    else if (wire === WIRE.fixed32) this.#skip(4);
    else throw malformed(`wire type ${wire}`);
  }

  /** Whatever it says: what it is used for checks it against the end. */
  #length(): number {
    return this.#small();
  }

  /** A varint as a number: one that is longer than 4 bytes is rare here, and its last digits do not matter. */
  #small(): number {
    let value = 0;
    const start = this.#at;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    this.#at = start;
    return Number(this.varint());
  }

  #skip(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#end) throw truncated();
    this.#at = at + bytes;
    return at;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw truncated();
    const byte = this.#buffer[this.#at] as number;
    this.#at += 1;
    return byte;
  }
}

/** Writes one message into parts. */
export class WireWriter {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  varintField(number: number, value: bigint): void {
    this.#tag(number, WIRE.varint);
    this.#push(encodeVarint(BigInt.asUintN(64, value)));
  }

  fixed64Field(number: number, value: bigint): void {
    this.#tag(number, WIRE.fixed64);
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
    this.#push(bytes);
  }

  fixed32Field(number: number, value: number): void {
    this.#tag(number, WIRE.fixed32);
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32LE(value >>> 0);
    this.#push(bytes);
  }

  doubleField(number: number, value: number): void {
    this.#tag(number, WIRE.fixed64);
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeDoubleLE(value);
    this.#push(bytes);
  }

  bytesField(number: number, value: Uint8Array): void {
    this.#tag(number, WIRE.bytes);
    this.#push(encodeVarint(BigInt(value.length)));
    this.#push(value);
  }

  messageField(number: number, message: WireWriter): void {
    this.#tag(number, WIRE.bytes);
    this.#push(encodeVarint(BigInt(message.length)));
    for (const part of message.#parts) this.#push(part);
  }

  finish(): Buffer {
    return Buffer.concat(this.#parts, this.#length);
  }

  #tag(number: number, wire: number): void {
    this.#push(encodeVarint(BigInt(number * 8 + wire)));
  }

  #push(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }
}

function encodeVarint(value: bigint): Uint8Array {
  if (value < 0x80n) return Uint8Array.of(Number(value));
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80n) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
