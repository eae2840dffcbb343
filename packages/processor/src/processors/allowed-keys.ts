// Which attribute keys pass, asked in bytes: most are known, and no string is made to know it.

/** What becomes of an attribute. */
export const KEY_RULE = { unknown: 0, pass: 1, pseudonymise: 2 } as const;

/** Keys by their bytes. */
export interface AllowedKeys {
  /** The rule of the key in `bytes[start, end)`. */
  find(bytes: Uint8Array, start: number, end: number): number;
  /** The key in `bytes[start, end)` turned out to pass: it is found from now on, until another takes its place. */
  learn(bytes: Uint8Array, start: number, end: number): void;
}

/** Which keys there are. */
export interface KeyRules {
  readonly pass: Iterable<string>;
  readonly pseudonymise: Iterable<string>;
}

/** Places for keys that are learnt. Senders choose them, so each key has one place and nobody searches. */
const LEARNT = 1024;

/** An open hash table of which three in four places are free, and a cache. */
export function createAllowedKeys({ pass, pseudonymise }: KeyRules): AllowedKeys {
  return new ByteTable(pass, pseudonymise);
}

interface Entry {
  readonly key: Uint8Array;
  readonly rule: number;
}

class ByteTable implements AllowedKeys {
  readonly #mask: number;
  readonly #entries: (Entry | undefined)[];
  readonly #learnt: (Uint8Array | undefined)[] = Array.from<undefined>({ length: LEARNT });

  constructor(pass: Iterable<string>, pseudonymise: Iterable<string>) {
    const rules = new Map<string, number>();
    for (const key of pass) rules.set(key, KEY_RULE.pass);
    for (const key of pseudonymise) rules.set(key, KEY_RULE.pseudonymise);
    const size = 2 ** Math.ceil(Math.log2(4 * (rules.size + 1)));
    this.#mask = size - 1;
    this.#entries = Array.from<undefined>({ length: size });
    for (const [key, rule] of rules) this.#put({ key: Buffer.from(key, "utf8"), rule });
  }

  find(bytes: Uint8Array, start: number, end: number): number {
    if (start === end) return KEY_RULE.unknown;
    const mixed = hash(bytes, start, end);
    for (let slot = mixed & this.#mask; ; slot = (slot + 1) & this.#mask) {
      const entry = this.#entries[slot];
      if (entry === undefined) break;
      if (isSame(entry.key, bytes, start, end)) return entry.rule;
    }
    const learnt = this.#learnt[mixed % LEARNT];
    return learnt !== undefined && isSame(learnt, bytes, start, end)
      ? KEY_RULE.pass
      : KEY_RULE.unknown;
  }

  learn(bytes: Uint8Array, start: number, end: number): void {
    if (end > start)
      this.#learnt[hash(bytes, start, end) % LEARNT] = Uint8Array.from(bytes.subarray(start, end));
  }

  #put(entry: Entry): void {
    let slot = hash(entry.key, 0, entry.key.length) & this.#mask;
    while (this.#entries[slot] !== undefined) slot = (slot + 1) & this.#mask;
    this.#entries[slot] = entry;
  }
}

/** Length and four bytes tell the keys of a convention apart; equal ones are compared whole. */
function hash(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  const middle = bytes[start + (length >> 1)] as number;
  const quarter = bytes[start + (length >> 2)] as number;
  const late = bytes[end - (length >> 2) - 1] as number;
  const last = bytes[end - 1] as number;
  const mixed = Math.imul((last << 24) | (middle << 16) | (quarter << 8) | late, 0x9e37_79b1);
  return (mixed ^ Math.imul(length, 0x85eb_ca6b)) >>> 15;
}

function isSame(key: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (key.length !== end - start) return false;
  for (let index = key.length - 1; index >= 0; index -= 1) {
    if (key[index] !== bytes[start + index]) return false;
  }
  return true;
}
