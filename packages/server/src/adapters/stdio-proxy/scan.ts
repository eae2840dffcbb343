import { isUtf8 } from "node:buffer";

/** Why a line is not taken. A name for counting; never content. */
export type ScanProblem =
  | "syntax"
  | "encoding"
  | "lone_surrogate"
  | "duplicate_key"
  | "depth"
  | "carriage_return"
  | "not_an_object";

/** A member of an object: byte offsets of its key (the opening quote) and of its value. `end` is exclusive. */
export interface Member {
  readonly key: string;
  readonly keyStart: number;
  readonly start: number;
  readonly end: number;
  /** Members of the value, where the caller of the scan is interested in it and it is an object. */
  readonly object?: ScannedObject;
}

/** An object: offset of its `{`, offset after its `}`, members in order. */
export interface ScannedObject {
  readonly start: number;
  readonly end: number;
  readonly members: readonly Member[];
}

/** Objects whose members are wanted, by their path from the root. */
export interface Interest {
  readonly [key: string]: Interest;
}

/**
 * `strict` is for what a caller sent: two readers must not read it differently. `tolerant` is for what the server
 * says to the client: bytes pass as they are, only the levels that the guard itself reads must be unambiguous.
 */
export interface ScanRules {
  readonly strict: boolean;
  readonly maxDepth: number;
  readonly interest: Interest;
}

/** The result of a scan. */
export type Scan =
  | { readonly root: ScannedObject; readonly problem?: undefined }
  | { readonly problem: ScanProblem };

/** The member with this key, if the object has it. */
export function member(object: ScannedObject | undefined, key: string): Member | undefined {
  return object?.members.find((one) => one.key === key);
}

/**
 * One pass over the bytes of one JSON object (RFC 8259). Stricter than `JSON.parse` where parsers are known to differ:
 * keys that are equal, or equal but for case (Go's encoding/json takes either); lone surrogates; invalid UTF-8; nesting;
 * a bare carriage return, which Python's universal newlines take for the end of the line, and so of the message.
 */
export function scan(bytes: Buffer, rules: ScanRules): Scan {
  if (rules.strict && !isUtf8(bytes)) return { problem: "encoding" };
  try {
    return { root: new Scanner(bytes, rules).document() };
  } catch (error) {
    if (error instanceof ScanFailure) return { problem: error.problem };
    throw error;
  }
}

class ScanFailure extends Error {
  readonly problem: ScanProblem;

  constructor(problem: ScanProblem) {
    super(problem);
    this.problem = problem;
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LITERALS: ReadonlyMap<number, Buffer> = new Map(
  ["true", "false", "null"].map((text) => [text.charCodeAt(0), Buffer.from(text)]),
);
/** Above so many keys a set finds duplicates faster than a list. */
const FEW_KEYS = 12;

class Scanner {
  readonly #bytes: Buffer;
  readonly #rules: ScanRules;
  #at = 0;

  constructor(bytes: Buffer, rules: ScanRules) {
    this.#bytes = bytes;
    this.#rules = rules;
  }

  document(): ScannedObject {
    // A line may end in CRLF; inside it, a carriage return is refused (see `scan`).
    this.#space();
    if (this.#bytes[this.#at] !== 0x7b)
      throw new ScanFailure(this.#at < this.#bytes.length ? "not_an_object" : "syntax");
    const root = this.#object(1, this.#rules.interest);
    this.#trailer();
    return root as ScannedObject;
  }

  #trailer(): void {
    let end = this.#bytes.length;
    if (this.#bytes[end - 1] === 0x0a) end -= 1;
    if (this.#bytes[end - 1] === 0x0d) end -= 1;
    while (this.#at < end) {
      const byte = this.#bytes[this.#at];
      if (byte === 0x0d && this.#rules.strict) throw new ScanFailure("carriage_return");
      if (byte !== 0x0d && byte !== 0x20 && byte !== 0x09) throw new ScanFailure("syntax");
      this.#at += 1;
    }
  }

  #space(): void {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === 0x0d && this.#rules.strict) throw new ScanFailure("carriage_return");
      if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return;
      this.#at += 1;
    }
  }

  #value(depth: number, interest: Interest | undefined): ScannedObject | undefined {
    const byte = this.#bytes[this.#at] as number;
    if (byte === QUOTE) this.#string();
    else if (byte === 0x7b) return this.#object(depth + 1, interest);
    else if (byte === 0x5b) this.#array(depth + 1);
    else if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) this.#number();
    else this.#literal(byte);
    return undefined;
  }

  #object(depth: number, interest: Interest | undefined): ScannedObject | undefined {
    const start = this.#at;
    this.#enter(depth);
    const members: Member[] = [];
    // What the guard itself reads must be unambiguous in both directions; deeper, only what a caller sends.
    const seen = this.#rules.strict || interest !== undefined ? new Keys() : undefined;
    if (this.#bytes[this.#at] === 0x7d) this.#at += 1;
    else {
      do {
        this.#space();
        const keyStart = this.#at;
        const key = this.#key(seen !== undefined);
        if (seen?.repeats(key) === true) throw new ScanFailure("duplicate_key");
        this.#space();
        this.#expect(0x3a);
        this.#space();
        const valueStart = this.#at;
        const inner =
          interest !== undefined && Object.hasOwn(interest, key) ? interest[key] : undefined;
        const object = this.#value(depth, inner);
        if (interest !== undefined) {
          const found = { key, keyStart, start: valueStart, end: this.#at };
          members.push(object === undefined ? found : { ...found, object });
        }
      } while (this.#more(0x7d));
    }
    return interest === undefined ? undefined : { start, end: this.#at, members };
  }

  #array(depth: number): void {
    this.#enter(depth);
    if (this.#bytes[this.#at] === 0x5d) {
      this.#at += 1;
      return;
    }
    do {
      this.#space();
      this.#value(depth, undefined);
    } while (this.#more(0x5d));
  }

  #enter(depth: number): void {
    if (depth > this.#rules.maxDepth) throw new ScanFailure("depth");
    this.#at += 1;
    this.#space();
  }

  /** After a value: true at a comma, false at the end of the object or array. */
  #more(close: number): boolean {
    this.#space();
    const byte = this.#bytes[this.#at];
    if (byte !== 0x2c && byte !== close) throw new ScanFailure("syntax");
    this.#at += 1;
    return byte === 0x2c;
  }

  #expect(byte: number): void {
    if (this.#bytes[this.#at] !== byte) throw new ScanFailure("syntax");
    this.#at += 1;
  }

  #key(wanted: boolean): string {
    const start = this.#at;
    if (this.#bytes[start] !== QUOTE) throw new ScanFailure("syntax");
    const plain = this.#string();
    if (!wanted) return "";
    if (plain) return this.#bytes.toString("utf8", start + 1, this.#at - 1);
    try {
      return JSON.parse(this.#bytes.toString("utf8", start, this.#at)) as string;
    } catch {
      throw new ScanFailure("syntax");
    }
  }

  /** Moves past a string. True if it has no escapes. */
  #string(): boolean {
    if (!this.#rules.strict) return this.#looseString();
    const bytes = this.#bytes;
    let plain = true;
    let at = this.#at + 1;
    for (;;) {
      const byte = bytes[at];
      if (byte === QUOTE) break;
      if (byte === undefined || byte < 0x20) throw new ScanFailure("syntax");
      if (byte === BACKSLASH) {
        plain = false;
        at = this.#escape(at);
      } else at += 1;
    }
    this.#at = at + 1;
    return plain;
  }

  #looseString(): boolean {
    const start = this.#at + 1;
    let from = start;
    for (;;) {
      const quote = this.#bytes.indexOf(QUOTE, from);
      if (quote === -1) throw new ScanFailure("syntax");
      let backslashes = 0;
      while (this.#bytes[quote - 1 - backslashes] === BACKSLASH) backslashes += 1;
      if (backslashes % 2 === 0) {
        this.#at = quote + 1;
        // Keys are short, and only a key asks.
        return quote - start > 256 || !this.#bytes.subarray(start, quote).includes(BACKSLASH);
      }
      from = quote + 1;
    }
  }

  /** Checks one escape at `at` (a backslash) and gives the offset after it. */
  #escape(at: number): number {
    const kind = this.#bytes[at + 1];
    if (kind !== 0x75) {
      if (kind === undefined || !ESCAPES.has(kind)) throw new ScanFailure("syntax");
      return at + 2;
    }
    const unit = this.#hex(at + 2);
    if (unit < 0xd800 || unit > 0xdfff) return at + 6;
    const paired =
      unit <= 0xdbff && this.#bytes[at + 6] === BACKSLASH && this.#bytes[at + 7] === 0x75;
    if (!paired) throw new ScanFailure("lone_surrogate");
    const low = this.#hex(at + 8);
    if (low < 0xdc00 || low > 0xdfff) throw new ScanFailure("lone_surrogate");
    return at + 12;
  }

  #hex(at: number): number {
    let value = 0;
    for (let index = at; index < at + 4; index += 1) {
      const digit = hexDigit(this.#bytes[index]);
      if (digit === -1) throw new ScanFailure("syntax");
      value = value * 16 + digit;
    }
    return value;
  }

  #number(): void {
    if (this.#bytes[this.#at] === 0x2d) this.#at += 1;
    if (this.#bytes[this.#at] === 0x30) this.#at += 1;
    else this.#digits();
    if (this.#bytes[this.#at] === 0x2e) {
      this.#at += 1;
      this.#digits();
    }
    const exponent = this.#bytes[this.#at];
    if (exponent !== 0x65 && exponent !== 0x45) return;
    this.#at += 1;
    const sign = this.#bytes[this.#at];
    if (sign === 0x2b || sign === 0x2d) this.#at += 1;
    this.#digits();
  }

  #digits(): void {
    const start = this.#at;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined || byte < 0x30 || byte > 0x39) break;
      this.#at += 1;
    }
    if (this.#at === start) throw new ScanFailure("syntax");
  }

  #literal(first: number): void {
    const text = LITERALS.get(first);
    if (text === undefined) throw new ScanFailure("syntax");
    for (const byte of text) this.#expect(byte);
  }
}

/** `" \ / b f n r t` */
const ESCAPES: ReadonlySet<number> = new Set([0x22, 0x5c, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74]);

function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** The keys of one object, folded as the most tolerant reader would: Unicode simple folding, so `ſ` is `s`. */
class Keys {
  #few: string[] = [];
  #many: Set<string> | undefined;

  repeats(key: string): boolean {
    const folded = fold(key);
    if (this.#many !== undefined) {
      if (this.#many.has(folded)) return true;
      this.#many.add(folded);
      return false;
    }
    if (this.#few.includes(folded)) return true;
    this.#few.push(folded);
    if (this.#few.length > FEW_KEYS) this.#many = new Set(this.#few);
    return false;
  }
}

/** A key without its case, and without what C never sees: a string ends there at its first NUL. */
export function fold(key: string): string {
  const nul = key.indexOf("\0");
  if (nul !== -1) return fold(key.slice(0, nul));
  // Lower case first turns the Kelvin sign into k; upper case then turns the long s into S.
  return key.toLowerCase().toUpperCase();
}
