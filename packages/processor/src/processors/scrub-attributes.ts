// Attributes on the wire: allowed or not, bounded, scanned. Most are plain and clean, which one look tells.
import { suspectText } from "@countersign/model";
import { KEY_VALUE } from "../otlp/message.ts";
import { type AllowedKeys, KEY_RULE } from "./allowed-keys.ts";
import { CLOSED_FORMS } from "./closed-forms.ts";
import type { Pseudonym } from "./pseudonym.ts";
import type { ScrubPass } from "./scrub-pass.ts";
import { type PairRule, ValueScrub } from "./scrub-values.ts";
import { REDACT_BOUNDS } from "./scrub-words.ts";

/** Which attributes pass, and which become pseudonyms. */
export interface AttributeRules {
  readonly keys: AllowedKeys;
  readonly prefixes: readonly Uint8Array[];
  readonly pseudonym: Pseudonym;
}

/** Tags of `KeyValue` and of the scalars of `AnyValue`. */
const TAG = { key: 0x0a, value: 0x12, string: 0x0a, bool: 0x10, int: 0x18, double: 0x21 } as const;

/** What a look tells. */
const LOOK = { unclear: 0, keep: 1, unknown: 2 } as const;

const KEY_FORM = /^[A-Za-z0-9_.-]{1,128}$/;

/** The attributes of one request. */
export class AttributeScrub {
  readonly #pass: ScrubPass;
  readonly #rules: AttributeRules;
  readonly #values: ValueScrub;

  constructor(pass: ScrubPass, rules: AttributeRules) {
    this.#pass = pass;
    this.#rules = rules;
    this.#values = new ValueScrub(pass, rules.pseudonym);
  }

  /** Whether an attribute stays; if not it is left out. `depth` is that of its `KeyValue`. */
  attribute(record: number, depth: number): boolean {
    const { bytes, index, check, words } = this.#pass;
    const body = index.body(record);
    const end = index.end(record);
    const look = index.isLoose(record) ? LOOK.unclear : this.#look(body, end);
    if (look === LOOK.keep) return true;
    if (look === LOOK.unclear) return this.#values.pair(record, depth, (key) => this.#ruleOf(key));
    if (!isPlain(bytes, body, end)) check.message(KEY_VALUE, body, end, depth);
    words.count("unknown_attribute");
    this.#pass.cut(record);
    return false;
  }

  /** Only for a `KeyValue` of a key, a value, and nothing else, in the fewest bytes. */
  #look(body: number, end: number): number {
    const { bytes } = this.#pass;
    if (end - body < 4 || bytes[body] !== TAG.key) return LOOK.unclear;
    const keyLength = bytes[body + 1] as number;
    const key = body + 2;
    const keyEnd = key + keyLength;
    if (keyLength >= 0x80 || keyEnd + 2 > end || bytes[keyEnd] !== TAG.value) return LOOK.unclear;
    const value = bodyOf(bytes, keyEnd + 1, end);
    if (value < 0) return LOOK.unclear;
    const rule = this.#rules.keys.find(bytes, key, keyEnd);
    if (rule === KEY_RULE.pass) return this.#isClean(value, end) ? LOOK.keep : LOOK.unclear;
    if (rule !== KEY_RULE.unknown || this.#hasPrefix(key, keyEnd)) return LOOK.unclear;
    return LOOK.unknown;
  }

  /** An `AnyValue` of one scalar, in the fewest bytes, in which no detector could fire. */
  #isClean(start: number, end: number): boolean {
    const { bytes } = this.#pass;
    if (end - start < 2) return false;
    const tag = bytes[start];
    if (tag === TAG.string) {
      const text = bodyOf(bytes, start + 1, end);
      return text >= 0 && end - text <= REDACT_BOUNDS.textBytes && !suspectText(bytes, text, end);
    }
    if (tag === TAG.int) return isShortVarint(bytes, start + 1, end);
    if (tag === TAG.bool) return end - start === 2 && (bytes[start + 1] as number) <= 1;
    return tag === TAG.double && end - start === 9 && isShort(bytes.readDoubleLE(start + 1));
  }

  #ruleOf(key: number): PairRule {
    const { bytes, index, words } = this.#pass;
    if (key >= 0) {
      const text = this.#pass.read(key);
      const start = index.body(key);
      const end = index.end(key);
      const rule = this.#rules.keys.find(bytes, start, end);
      if (rule === KEY_RULE.pass) return CLOSED_FORMS.get(text) ?? "scan";
      if (rule === KEY_RULE.pseudonymise) return { attribute: text };
      // What is behind an allowed prefix is the sender's text, so it is scanned like any other.
      if (this.#hasPrefix(start, end) && KEY_FORM.test(text) && words.redact(text) === text) {
        this.#rules.keys.learn(bytes, start, end);
        return "scan";
      }
    }
    words.count("unknown_attribute");
    return "refuse";
  }

  #hasPrefix(start: number, end: number): boolean {
    for (const prefix of this.#rules.prefixes) {
      let same = 0;
      while (same < prefix.length && prefix[same] === this.#pass.bytes[start + same]) same += 1;
      if (same === prefix.length && start + same <= end) return true;
    }
    return false;
  }
}

/** A pair of the form that `#look` asks for, of which the value is text, and all is ASCII. */
function isPlain(bytes: Buffer, body: number, end: number): boolean {
  const keyEnd = body + 2 + (bytes[body + 1] as number);
  const value = bodyOf(bytes, keyEnd + 1, end);
  if (end - value < 2 || bytes[value] !== TAG.string) return false;
  const text = bodyOf(bytes, value + 1, end);
  return text >= 0 && isAscii(bytes, body + 2, keyEnd) && isAscii(bytes, text, end);
}

function isAscii(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) if ((bytes[at] as number) >= 0x80) return false;
  return true;
}

/** Where the bytes begin whose length stands at `at`, if they fill the rest and the length is short; else −1. */
function bodyOf(bytes: Buffer, at: number, end: number): number {
  const low = bytes[at] as number;
  if (low < 0x80) return at + 1 + low === end ? at + 1 : -1;
  const high = at + 1 < end ? (bytes[at + 1] as number) : 0;
  const length = (low & 0x7f) | (high << 7);
  return high > 0 && high < 0x80 && at + 2 + length === end ? at + 2 : -1;
}

const SHORT_VARINT = 5;

/** A varint of 35 bits, too few digits for any detector. */
function isShortVarint(bytes: Buffer, start: number, end: number): boolean {
  const last = end - 1;
  if (last - start >= SHORT_VARINT || (bytes[last] as number) >= 0x80) return false;
  for (let at = start; at < last; at += 1) if ((bytes[at] as number) < 0x80) return false;
  return last === start || bytes[last] !== 0;
}

const THOUSAND = 1000;
const SHORT_BELOW = 1e9;

/** At most nine digits before the dot and three behind it, too few for any detector. */
function isShort(value: number): boolean {
  return Math.abs(value) < SHORT_BELOW && Math.round(value * THOUSAND) / THOUSAND === value;
}
