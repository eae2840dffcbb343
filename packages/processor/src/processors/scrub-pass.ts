// What both halves of the pass over one request share: the bytes, where their fields are, what becomes of them.
import { suspectText } from "@countersign/model";
import { type ProtoCheck, createProtoCheck } from "../otlp/check-proto.ts";
import { FIELD, FieldIndex } from "../otlp/field-index.ts";
import type { Message } from "../otlp/message.ts";
import { Splice, varintWidth } from "../otlp/splice.ts";
import { WIRE, WireReader, WireWriter } from "../otlp/wire.ts";
import { REDACT_BOUNDS, type Words } from "./scrub-words.ts";

/** One request on its way. */
export class ScrubPass {
  readonly bytes: Buffer;
  readonly index: FieldIndex;
  readonly splice: Splice;
  readonly check: ProtoCheck;
  readonly words: Words;

  constructor(bytes: Buffer, words: Words) {
    this.bytes = bytes;
    this.index = new FieldIndex(bytes);
    this.splice = new Splice(bytes);
    this.check = createProtoCheck(bytes, this.index);
    this.words = words;
  }

  /** Leaves a field out. */
  cut(record: number): void {
    this.splice.cut(this.index.at(record), this.index.end(record));
  }

  /** Leaves a field out that `decodeProto` would have read: it has to be sound. */
  cutChecked(message: Message, record: number, depth: number): void {
    this.check.field(message, record, depth);
    this.cut(record);
  }

  /** Begins a field that stays: what it has too much of is taken off. Gives the place of its value. */
  open(record: number): number {
    const { index } = this;
    if (index.isLoose(record)) this.#tighten(record);
    return this.splice.place(index.body(record));
  }

  /** Ends a message that began at `bodyPlace`. */
  close(record: number, bodyPlace: number): void {
    const end = this.index.end(record);
    const length = end - this.index.body(record);
    this.splice.close(bodyPlace - varintWidth(length), bodyPlace, length, end);
  }

  /** A text field that stays, if something of it may. */
  text(record: number): boolean {
    const { index, words } = this;
    if (this.#isClean(record)) return true;
    const text = this.read(record);
    const safe = words.redact(text);
    if (safe === text) this.open(record);
    else if (safe === undefined) this.cut(record);
    else this.put(record, index.flags(record) & FIELD.number, safe);
    return safe !== undefined;
  }

  /** Nothing to take off, and nothing in it for a detector. */
  #isClean(record: number): boolean {
    const { index } = this;
    const start = index.body(record);
    const end = index.end(record);
    return (
      end - start <= REDACT_BOUNDS.textBytes &&
      !index.isLoose(record) &&
      !suspectText(this.bytes, start, end)
    );
  }

  /** The text of a field. Throws INPUT_INVALID when it is not UTF-8. */
  read(record: number): string {
    const { index } = this;
    const start = index.body(record);
    const end = index.end(record);
    this.check.text(start, end);
    return this.bytes.toString("utf8", start, end);
  }

  /** A number that was written as a varint. */
  varint(record: number): bigint {
    return new WireReader(this.bytes, this.index.body(record), this.index.end(record)).varint();
  }

  /** Writes a text field instead of one that was received. */
  put(record: number, number: number, text: string): void {
    const writer = new WireWriter();
    writer.bytesField(number, Buffer.from(text, "utf8"));
    this.#replace(record, writer);
  }

  /** Writes a number instead of one that was received. */
  putVarint(record: number, value: bigint): void {
    const writer = new WireWriter();
    writer.varintField(this.index.flags(record) & FIELD.number, value);
    this.#replace(record, writer);
  }

  /** Writes a double instead of one that was received. */
  putDouble(record: number, value: number): void {
    const writer = new WireWriter();
    writer.doubleField(this.index.flags(record) & FIELD.number, value);
    this.#replace(record, writer);
  }

  #replace(record: number, writer: WireWriter): void {
    this.splice.replace(this.index.at(record), this.index.end(record), writer.finish());
  }

  /** Writes the tag, and the length if there is one, in as few bytes as they need. Numbers are not for here. */
  #tighten(record: number): void {
    const { index, splice } = this;
    const at = index.at(record);
    const body = index.body(record);
    const number = index.flags(record) & FIELD.number;
    const wire = index.wire(record);
    splice.replaceVarint(at, body, number * 8 + wire);
    if (wire === WIRE.bytes) splice.replaceVarint(body, body, index.end(record) - body);
  }
}
