// Whether bytes are a message, without making anything of them.
import { isUtf8 } from "node:buffer";
import { FIELD, FieldIndex, fieldTable } from "./field-index.ts";
import type { Field, Message } from "./message.ts";
import { malformed } from "./wire.ts";

/** Longest text that is looked at byte by byte: a call into native code costs more. */
const SHORT = 64;

const fieldsOf = new WeakMap<Message, readonly (Field | undefined)[]>();

function fieldByNumber(message: Message, number: number): Field {
  let fields = fieldsOf.get(message);
  if (fields === undefined) {
    const sparse: (Field | undefined)[] = [];
    for (const field of message.fields) sparse[field.number] = field;
    fields = sparse;
    fieldsOf.set(message, fields);
  }
  return fields[number] as Field;
}

/** Throws INPUT_INVALID unless `decodeProto` would read the bytes. Gives the number of unknown fields. */
export function checkProto(bytes: Buffer, message: Message): number {
  const index = new FieldIndex(bytes);
  createProtoCheck(bytes, index).message(message, 0, bytes.length, 0);
  return index.unknownFields;
}

/** Checks parts of received bytes; unknown fields are counted in the index. */
export interface ProtoCheck {
  /** A message that stands in `[start, end)`, `depth` messages deep. */
  message(message: Message, start: number, end: number, depth: number): void;
  /** One record of a message that was read, `depth` messages deep. */
  field(message: Message, record: number, depth: number): void;
  /** Text in `[start, end)`. */
  text(start: number, end: number): void;
}

/** Makes a check that shares an index with who calls it. */
export function createProtoCheck(bytes: Buffer, index: FieldIndex): ProtoCheck {
  return new IndexedCheck(bytes, index);
}

class IndexedCheck implements ProtoCheck {
  readonly #bytes: Buffer;
  readonly #index: FieldIndex;

  constructor(bytes: Buffer, index: FieldIndex) {
    this.#bytes = bytes;
    this.#index = index;
  }

  message(message: Message, start: number, end: number, depth: number): void {
    const index = this.#index;
    const first = index.read(start, end, fieldTable(message), depth);
    const top = index.top;
    for (let record = first; record < top; record += 1) this.field(message, record, depth);
    index.top = first;
  }

  field(message: Message, record: number, depth: number): void {
    const index = this.#index;
    const flags = index.flags(record);
    if ((flags & FIELD.unknown) !== 0) return;
    const { type } = fieldByNumber(message, flags & FIELD.number);
    if (type === "string") this.text(index.body(record), index.end(record));
    else if (typeof type !== "string") {
      this.message(type, index.body(record), index.end(record), depth + 1);
    }
  }

  text(start: number, end: number): void {
    const bytes = this.#bytes;
    if (end - start > SHORT) {
      if (isUtf8(bytes.subarray(start, end))) return;
      throw malformed("text that is not UTF-8");
    }
    for (let at = start; at < end; at += 1) {
      if ((bytes[at] as number) < 0x80) continue;
      if (isUtf8(bytes.subarray(at, end))) return;
      throw malformed("text that is not UTF-8");
    }
  }
}
