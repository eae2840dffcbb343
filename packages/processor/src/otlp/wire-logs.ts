// Log records of a protobuf request. Everything is checked as `decodeProto` would, and of each record nothing is made but what
// may carry a sealed event: of its body a view of the received bytes.
import { ATTR_EVENT_HASH } from "@countersign/model";
import type { EventCarrier } from "@countersign/pipeline";
import { createProtoCheck, type ProtoCheck } from "./check-proto.ts";
import { FieldIndex, fieldTable } from "./field-index.ts";
import { type Level, levelsOf } from "./levels.ts";
import { ANY_VALUE, type Decoded, KEY_VALUE, LOGS_REQUEST } from "./message.ts";

const { levels: LEVELS, item: LOG_RECORD } = levelsOf(LOGS_REQUEST, [
  "resourceLogs",
  "scopeLogs",
  "logRecords",
]);

/** Field numbers. */
const RECORD = { body: 5, attribute: 6, eventName: 12 } as const;
const PAIR = { key: 1, value: 2 } as const;
const VALUE = { string: 1, bytes: 7 } as const;

const RECORD_TABLE = fieldTable(LOG_RECORD);
const PAIR_TABLE = fieldTable(KEY_VALUE);
const VALUE_TABLE = fieldTable(ANY_VALUE);
const NONE = -1;

const HASH_KEY = Buffer.from(ATTR_EVENT_HASH);

/** Reads a request. Throws INPUT_INVALID when the bytes are none. */
export function wireLogs(bytes: Buffer): Decoded<readonly EventCarrier[]> {
  const reader = new LogsReader(bytes);
  reader.level(0, bytes.length, 0);
  return { value: reader.records, unknownFields: reader.unknownFields };
}

class LogsReader {
  readonly #bytes: Buffer;
  readonly #index: FieldIndex;
  readonly #check: ProtoCheck;
  readonly records: EventCarrier[] = [];

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#index = new FieldIndex(bytes);
    this.#check = createProtoCheck(bytes, this.#index);
  }

  get unknownFields(): number {
    return this.#index.unknownFields;
  }

  level(start: number, end: number, depth: number): void {
    const { message, table, number } = LEVELS[depth] as Level;
    const index = this.#index;
    const first = index.read(start, end, table, depth);
    const { top } = index;
    for (let field = first; field < top; field += 1) {
      if (index.live(field) !== number) this.#check.field(message, field, depth);
      else if (depth < LEVELS.length - 1) {
        this.level(index.body(field), index.end(field), depth + 1);
      } else this.records.push(this.#record(index.body(field), index.end(field)));
    }
    index.top = first;
  }

  #record(start: number, end: number): EventCarrier {
    const depth = LEVELS.length;
    const index = this.#index;
    const first = index.read(start, end, RECORD_TABLE, depth);
    const { top } = index;
    let name: string | undefined;
    let hash: string | null | undefined;
    let body: Buffer | undefined;
    for (let field = first; field < top; field += 1) {
      const number = index.live(field);
      if (number === RECORD.attribute) {
        const said = this.#hashIn(field, depth + 1);
        if (hash === undefined) hash = said;
      } else if (number === RECORD.body) body = this.#bodyIn(field, depth + 1);
      else this.#check.field(LOG_RECORD, field, depth);
      if (number === RECORD.eventName) {
        name = this.#bytes.toString("utf8", index.body(field), index.end(field));
      }
    }
    index.top = first;
    return { name, hash: hash ?? undefined, body };
  }

  /** What an attribute says, if it is the one with the hash; null when that is no text. */
  #hashIn(field: number, depth: number): string | null | undefined {
    const index = this.#index;
    const first = index.read(index.body(field), index.end(field), PAIR_TABLE, depth);
    const { top } = index;
    let isHash = false;
    let [start, end] = [NONE, NONE];
    for (let part = first; part < top; part += 1) {
      const number = index.live(part);
      if (number === PAIR.value) {
        const choice = this.#choiceIn(part, depth + 1);
        const isText = choice !== NONE && index.live(choice) === VALUE.string;
        [start, end] = isText ? [index.body(choice), index.end(choice)] : [NONE, NONE];
      } else this.#check.field(KEY_VALUE, part, depth);
      if (number === PAIR.key) isHash = this.#isHashKey(index.body(part), index.end(part));
    }
    index.top = first;
    if (!isHash) return undefined;
    return start === NONE ? null : this.#bytes.toString("utf8", start, end);
  }

  #isHashKey(start: number, end: number): boolean {
    if (end - start !== HASH_KEY.length) return false;
    for (let at = 0; at < HASH_KEY.length; at += 1) {
      if (this.#bytes[start + at] !== HASH_KEY[at]) return false;
    }
    return true;
  }

  #bodyIn(field: number, depth: number): Buffer | undefined {
    const index = this.#index;
    const choice = this.#choiceIn(field, depth);
    const number = choice === NONE ? NONE : index.live(choice);
    if (number !== VALUE.string && number !== VALUE.bytes) return undefined;
    return this.#bytes.subarray(index.body(choice), index.end(choice));
  }

  /** Checks a value, and gives the one field of it that counts: to be looked at before anything else is read. */
  #choiceIn(field: number, depth: number): number {
    const index = this.#index;
    const first = index.read(index.body(field), index.end(field), VALUE_TABLE, depth);
    const { top } = index;
    let choice = NONE;
    for (let part = first; part < top; part += 1) {
      this.#check.field(ANY_VALUE, part, depth);
      if (index.live(part) !== 0) choice = part;
    }
    index.top = first;
    return choice;
  }
}
