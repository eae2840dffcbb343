// Where the fields of a message are: a view of received bytes, without an object for each field.
import { CountersignError } from "@countersign/model";
import { MAX_DEPTH, type Message, wireTypeOf } from "./message.ts";
import { malformed, truncated, WIRE } from "./wire.ts";

/** Flags of a record, beside the field's number in the lowest byte. */
export const FIELD = {
  number: 0xff,
  /** None of OTLP's, or of another wire type. */
  unknown: 0x100,
  /** Only the last of these fields counts, and this is not it. */
  superseded: 0x200,
  /** Its tag, length or number takes more bytes or bits than it needs. */
  loose: 0x400,
} as const;

/** Above the flags stands the wire type. */
const WIRE_SHIFT = 12;

/** A message as the index needs it: by field number 0 (unknown), or the wire type and how often it counts. */
export type FieldTable = Uint8Array;

const KNOWN = 8;
const SINGULAR = 16;
const CHOICE = 32;
/** Field numbers of OTLP are below. */
const NUMBERS = 32;

const tables = new WeakMap<Message, FieldTable>();

/** The table of a message. */
export function fieldTable(message: Message): FieldTable {
  let table = tables.get(message);
  if (table === undefined) {
    table = new Uint8Array(NUMBERS);
    for (const field of message.fields) {
      const often = field.choice === true ? CHOICE : field.repeated === true ? 0 : SINGULAR;
      table[field.number] = wireTypeOf(field) | KNOWN | often;
    }
    tables.set(message, table);
  }
  return table;
}

const MAX_FIELD_NUMBER = 0x1fff_ffff;
const INTS = 4;
const RECORDS = 1024;

/**
 * A stack of records: flags, begin of the tag, begin of the value (after its length), end. The fields of a message within a
 * message stand above those of the message; who reads it sets `top` back.
 */
export class FieldIndex {
  readonly #bytes: Buffer;
  #records = new Int32Array(INTS * RECORDS);
  #at = 0;
  #loose = 0;
  /** Number of records. */
  top = 0;
  /** Fields that are none of OTLP's, so far. */
  unknownFields = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  flags(record: number): number {
    return this.#records[record * INTS] as number;
  }

  /** The number of a field that counts, else 0. */
  live(record: number): number {
    const flags = this.flags(record);
    return (flags & (FIELD.unknown | FIELD.superseded)) === 0 ? flags & FIELD.number : 0;
  }

  isLoose(record: number): boolean {
    return (this.flags(record) & FIELD.loose) !== 0;
  }

  /** The wire type of a field that is known. */
  wire(record: number): number {
    return this.flags(record) >> WIRE_SHIFT;
  }

  at(record: number): number {
    return this.#records[record * INTS + 1] as number;
  }

  body(record: number): number {
    return this.#records[record * INTS + 2] as number;
  }

  end(record: number): number {
    return this.#records[record * INTS + 3] as number;
  }

  /**
   * Reads the fields of the message in `[start, end)` and gives the first record. Of a field that may be there once the last
   * counts, of a `oneof` the last of all. Throws INPUT_INVALID when the bytes are no message, or nest deeper than 64.
   */
  read(start: number, end: number, table: FieldTable, depth: number): number {
    if (depth > MAX_DEPTH) {
      throw new CountersignError("INPUT_INVALID", `otlp: values nest deeper than ${MAX_DEPTH}`);
    }
    const first = this.top;
    let seen = 0;
    this.#at = start;
    while (this.#at < end) {
      const at = this.#at;
      const tag = this.#tag(end);
      const number = tag >>> 3;
      const body = this.#value(tag & 7, end);
      const code = number < NUMBERS ? (table[number] as number) : 0;
      if (code === 0 || (code & 7) !== (tag & 7)) {
        this.#push(FIELD.unknown, at, body);
        this.unknownFields += 1;
        continue;
      }
      const bit = (code & CHOICE) !== 0 ? 1 : (code & SINGULAR) !== 0 ? 1 << number : 0;
      if ((seen & bit) !== 0) this.#supersede(first, bit === 1 ? 0 : number);
      seen |= bit;
      this.#push(number | this.#loose | ((tag & 7) << WIRE_SHIFT), at, body);
    }
    return first;
  }

  /** Marks the one before. `number` 0: whichever it was. */
  #supersede(first: number, number: number): void {
    for (let record = this.top - 1; record >= first; record -= 1) {
      const live = this.live(record);
      if (live === 0 || (number !== 0 && live !== number)) continue;
      this.#records[record * INTS] = this.flags(record) | FIELD.superseded;
      return;
    }
  }

  #push(flags: number, at: number, body: number): void {
    const index = this.top * INTS;
    if (index === this.#records.length) {
      const records = new Int32Array(this.#records.length * 2);
      records.set(this.#records);
      this.#records = records;
    }
    const records = this.#records;
    records[index] = flags;
    records[index + 1] = at;
    records[index + 2] = body;
    records[index + 3] = this.#at;
    this.top += 1;
  }

  #tag(end: number): number {
    this.#loose = 0;
    const tag = this.#varint(end);
    const number = Math.floor(tag / 8);
    if (number < 1 || number > MAX_FIELD_NUMBER) {
      throw malformed("a field number that cannot be");
    }
    return tag;
  }

  /** Passes over a value, and gives where it begins. */
  #value(wire: number, end: number): number {
    let length: number;
    if (wire === WIRE.bytes) length = this.#varint(end);
    else if (wire === WIRE.fixed64) length = 8;
    else if (wire === WIRE.fixed32) length = 4;
    else if (wire === WIRE.varint) {
      const body = this.#at;
      this.#varint(end);
      return body;
    } else throw malformed(`wire type ${wire}`);
    const body = this.#at;
    if (length > end - body) throw truncated();
    this.#at = body + length;
    return body;
  }

  /** A varint as a number: the last digits of one beyond 2^53 do not matter here. */
  #varint(end: number): number {
    const bytes = this.#bytes;
    const start = this.#at;
    const first = start < end ? (bytes[start] as number) : 0x80;
    this.#at = start + 1;
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let at = start + 1, unit = 0x80; at < end && at < start + MAX_VARINT; at += 1) {
      const byte = bytes[at] as number;
      // Bits beyond the 64th do not count.
      value += (at === start + 9 ? byte & 1 : byte & 0x7f) * unit;
      unit *= 0x80;
      if (byte >= 0x80) continue;
      if (byte === 0 || (byte > 1 && at === start + 9)) this.#loose = FIELD.loose;
      this.#at = at + 1;
      return value;
    }
    throw start + MAX_VARINT <= end ? malformed("a number longer than 10 bytes") : truncated();
  }
}

const MAX_VARINT = 10;
