// Values on the wire, of any form: nested, repeated, in the wrong order. Slower than one look, and rarely needed.
import { type FieldTable, fieldTable } from "../otlp/field-index.ts";
import {
  ANY_VALUE,
  ARRAY_VALUE,
  KEY_VALUE,
  KEY_VALUE_LIST,
  type Message,
} from "../otlp/message.ts";
import type { ClosedForm } from "./closed-forms.ts";
import type { Pseudonym } from "./pseudonym.ts";
import type { ScrubPass } from "./scrub-pass.ts";
import { REDACT_BOUNDS } from "./scrub-words.ts";

/** Field numbers of `KeyValue`. */
const PAIR = { key: 1, value: 2 } as const;
/** Field numbers of `AnyValue`. */
const CHOICE = { string: 1, bool: 2, int: 3, double: 4, array: 5, kvlist: 6, bytes: 7 } as const;

const PAIR_TABLE: FieldTable = fieldTable(KEY_VALUE);
const VALUE_TABLE: FieldTable = fieldTable(ANY_VALUE);

/** What becomes of a pair: left out, scanned, scanned unless it has that form, or made pseudonyms for the attribute of that name. */
export type PairRule = "refuse" | "scan" | ClosedForm | { readonly attribute: string };

/** The values of one request. */
export class ValueScrub {
  readonly #pass: ScrubPass;
  readonly #pseudonym: Pseudonym;

  constructor(pass: ScrubPass, pseudonym: Pseudonym) {
    this.#pass = pass;
    this.#pseudonym = pseudonym;
  }

  /**
   * A `KeyValue`: whether it stays; if not it is left out. `ruleOf` says what becomes of it, given the record of its key
   * (−1: it has none).
   */
  pair(record: number, depth: number, ruleOf: (key: number) => PairRule): boolean {
    const { index, splice, check } = this.#pass;
    const place = splice.place(index.at(record));
    const first = index.read(index.body(record), index.end(record), PAIR_TABLE, depth);
    const { top } = index;
    const key = this.#keyOf(first);
    const rule = ruleOf(key);
    const bodyPlace = this.#pass.open(record);
    let kept = false;
    for (let field = first; field < top; field += 1) {
      if (this.#leaveOut(KEY_VALUE, field, depth)) continue;
      if (field === key) this.#pass.open(field);
      else if (rule === "refuse") check.field(KEY_VALUE, field, depth);
      else kept = this.#value(field, depth + 1, rule);
    }
    index.top = first;
    if (kept && key >= 0) this.#pass.close(record, bodyPlace);
    else splice.drop(index.at(record), index.end(record), place);
    return kept && key >= 0;
  }

  #keyOf(first: number): number {
    const { index } = this.#pass;
    for (let field = first; field < index.top; field += 1) {
      if (index.live(field) === PAIR.key) return field;
    }
    return -1;
  }

  /** Unknown and superseded fields. */
  #leaveOut(message: Message, field: number, depth: number): boolean {
    const { index } = this.#pass;
    if (index.live(field) !== 0) return false;
    this.#pass.cutChecked(message, field, depth);
    return true;
  }

  /** An `AnyValue`: whether something of it stays. If not, who holds it leaves it out. */
  #value(record: number, depth: number, rule: PairRule): boolean {
    const { index } = this.#pass;
    const first = index.read(index.body(record), index.end(record), VALUE_TABLE, depth);
    const { top } = index;
    const bodyPlace = this.#pass.open(record);
    let kept = false;
    for (let field = first; field < top; field += 1) {
      if (!this.#leaveOut(ANY_VALUE, field, depth)) kept = this.#choice(field, depth, rule);
    }
    index.top = first;
    if (kept) this.#pass.close(record, bodyPlace);
    return kept;
  }

  #choice(field: number, depth: number, rule: PairRule): boolean {
    const number = this.#pass.index.live(field);
    const within = typeof rule === "object" && "form" in rule ? "scan" : rule;
    if (number === CHOICE.array) return this.#list(field, depth + 1, within, ARRAY_VALUE);
    if (number === CHOICE.kvlist) return this.#list(field, depth + 1, within, KEY_VALUE_LIST);
    if (number === CHOICE.bytes) {
      this.#pass.words.count("bytes");
      return false;
    }
    if (typeof rule === "object" && "attribute" in rule)
      return this.#pseudonymise(field, number, rule.attribute);
    if (number === CHOICE.string) return this.#text(field, rule);
    return number === CHOICE.bool ? this.#bool(field) : this.#number(field, number);
  }

  #text(field: number, rule: PairRule): boolean {
    const isOurs =
      typeof rule === "object" && "form" in rule && rule.form.test(this.#pass.read(field));
    if (!isOurs) return this.#pass.text(field);
    this.#pass.open(field);
    return true;
  }

  /** What is left out of a list leaves no hole. */
  #list(field: number, depth: number, rule: PairRule, message: Message): boolean {
    const { index, splice, words } = this.#pass;
    const first = index.read(index.body(field), index.end(field), fieldTable(message), depth);
    const { top } = index;
    const bodyPlace = this.#pass.open(field);
    let items = 0;
    for (let item = first; item < top; item += 1) {
      if (this.#leaveOut(message, item, depth)) continue;
      items += 1;
      const place = splice.place(index.at(item));
      if (items > REDACT_BOUNDS.list) this.#pass.cutChecked(message, item, depth);
      else if (message === KEY_VALUE_LIST)
        this.pair(item, depth + 1, (key) => this.#within(key, rule));
      else if (!this.#value(item, depth + 1, rule)) {
        splice.drop(index.at(item), index.end(item), place);
      }
    }
    if (items > REDACT_BOUNDS.list) words.count("too_many", items - REDACT_BOUNDS.list);
    index.top = first;
    this.#pass.close(field, bodyPlace);
    return true;
  }

  /** Keys within a value are text like the rest. */
  #within(key: number, rule: PairRule): PairRule {
    if (key < 0) return rule;
    const text = this.#pass.read(key);
    return this.#pass.words.redact(text) === text ? rule : "refuse";
  }

  #bool(field: number): boolean {
    const value = this.#pass.varint(field);
    if (value > 1n || this.#pass.index.isLoose(field)) {
      this.#pass.putVarint(field, value === 0n ? 0n : 1n);
    }
    return true;
  }

  /** A card number is a number, too. */
  #number(field: number, number: number): boolean {
    const { index, words } = this.#pass;
    const text = this.#scalarText(field, number);
    if (words.redact(text) !== text) return false;
    if (number === CHOICE.int) {
      if (index.isLoose(field)) this.#pass.putVarint(field, this.#pass.varint(field));
    } else if (text === "NaN") this.#pass.putDouble(field, Number.NaN);
    else this.#pass.open(field);
    return true;
  }

  #pseudonymise(field: number, number: number, attribute: string): boolean {
    const text = this.#scalarText(field, number);
    if (text === "") return this.#pass.text(field);
    this.#pass.put(field, CHOICE.string, this.#pseudonym(attribute, text));
    this.#pass.words.count("pseudonym");
    return true;
  }

  #scalarText(field: number, number: number): string {
    const { bytes, index } = this.#pass;
    if (number === CHOICE.string) return this.#pass.read(field);
    if (number === CHOICE.double) return String(bytes.readDoubleLE(index.body(field)));
    const value = this.#pass.varint(field);
    if (number === CHOICE.bool) return String(value !== 0n);
    return BigInt.asIntN(64, value).toString();
  }
}
