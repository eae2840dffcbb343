// The canonical form of an event, seen in its bytes: one look at each, and nothing is made of them. Most events are plain.

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
/** First letters of `true` and `false`. */
const TRUE = 0x74;
const FALSE = 0x66;

/** 1 for what stands for itself in a string: printable ASCII without quote and backslash. */
const PLAIN: Uint8Array = Uint8Array.from({ length: 256 }, (_, code) =>
  code >= 0x20 && code <= 0x7e && code !== QUOTE && code !== 0x5c ? 1 : 0,
);

/** Nothing of ours nests half as deep. */
const MAX_OPEN = 32;
/** Any number of so many digits is an integer that a double holds. */
const MAX_DIGITS = 15;

/** Begin and end of the last member name of each open object. Never read between two calls. */
const names = new Int32Array(2 * (MAX_OPEN + 1));

/**
 * Whether `bytes`, which must be JSON, are the canonical form of an event: RFC 8785, and what an event may hold (contract, section 1,
 * rule 1). True is certain. False is not: with an escape, a character beyond ASCII or a long number, only who makes characters
 * and numbers of them can tell.
 */
export function isPlainCanonical(bytes: Uint8Array): boolean {
  const { length } = bytes;
  let open = 0;
  let at = 0;
  while (at < length) {
    const code = bytes[at] as number;
    if (code === QUOTE) at = stringEnd(bytes, at, open);
    else if (code === COMMA || code === COLON) at += 1;
    else if (code === OPEN_OBJECT || code === OPEN_LIST) {
      open += 1;
      if (open > MAX_OPEN) return false;
      names[2 * open] = 0;
      names[2 * open + 1] = 0;
      at += 1;
    } else if (code === CLOSE_OBJECT || code === CLOSE_LIST) {
      open -= 1;
      at += 1;
    } else if (code === TRUE) at += 4;
    else if (code === FALSE) at += 5;
    else at = integerEnd(bytes, at);
    if (at === NOT_PLAIN) return false;
  }
  return true;
}

const NOT_PLAIN = -1;

/** A string is not empty; as the name of a member it comes after the one before. */
function stringEnd(bytes: Uint8Array, quote: number, open: number): number {
  const start = quote + 1;
  let end = start;
  while (PLAIN[bytes[end] as number] === 1) end += 1;
  if (bytes[end] !== QUOTE || end === start) return NOT_PLAIN;
  if (bytes[end + 1] === COLON) {
    const last = 2 * open;
    if (!isAfter(bytes, last, start, end)) return NOT_PLAIN;
    names[last] = start;
    names[last + 1] = end;
  }
  return end + 1;
}

/** Whether the name in `[start, end)` comes after the one whose place stands at `last`. */
function isAfter(bytes: Uint8Array, last: number, start: number, end: number): boolean {
  const before = names[last] as number;
  const lengthBefore = (names[last + 1] as number) - before;
  const shared = Math.min(lengthBefore, end - start);
  for (let index = 0; index < shared; index += 1) {
    const difference = (bytes[start + index] as number) - (bytes[before + index] as number);
    if (difference !== 0) return difference > 0;
  }
  return end - start > lengthBefore;
}

/** Anything but digits after a minus or none (a space, a fraction, `null`) has no digit here, or is found in the next step. */
function integerEnd(bytes: Uint8Array, start: number): number {
  const first = bytes[start] === MINUS ? start + 1 : start;
  let end = first;
  while ((bytes[end] as number) >= ZERO && (bytes[end] as number) <= NINE) end += 1;
  const isNegativeZero = first > start && bytes[first] === ZERO;
  return end === first || end - first > MAX_DIGITS || isNegativeZero ? NOT_PLAIN : end;
}
