// Text that an attacker chose, made harmless to look at: control and invisible characters become visible, nothing is
// deleted silently (contract, section 3).

/** Plain ASCII without controls and without the backslash: nothing to do. The common case, decided in one pass. */
const PLAIN = /^[\x20-\x5b\x5d-\x7e]*$/;

/**
 * What is made visible, but for the backslash, as ranges of a character class: C0, DEL and C1, zero-width and marks of
 * direction, bidirectional controls, invisible operators, variation selectors, BOM, tags and variation selectors.
 * `\p{Cs}` is a surrogate without a partner (with the `u` flag).
 */
export const UNSAFE_RANGES: string = [
  "\\u0000-\\u001f\\u007f-\\u009f",
  "\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f",
  "\\ufe00-\\ufe0f\\ufeff\\u{e0000}-\\u{e01ef}\\p{Cs}",
].join("");

const UNSAFE = new RegExp(`[${UNSAFE_RANGES}\\\\]`, "gu");
const NEUTRAL = new RegExp(`^(?:[^${UNSAFE_RANGES}\\\\]|\\\\u\\{[0-9A-F]{1,6}\\})*$`, "u");

const ELLIPSIS = "…";
const ELLIPSIS_BYTES = 3;

function escape(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`;
}

/**
 * Replaces C0, DEL, C1, U+200B–200F, 202A–202E, 2060–206F, FE00–FE0F, FEFF, E0000–E01EF, lone surrogates and the
 * backslash by `\u{HEX}`. Since the backslash is among them, two different texts never become the same one.
 */
export function neutralise(text: string): string {
  return PLAIN.test(text) ? text : text.replace(UNSAFE, escape);
}

/** Whether a text is what {@link neutralise} could have returned. */
export function isNeutral(text: string): boolean {
  return PLAIN.test(text) || NEUTRAL.test(text);
}

/** How many bytes of UTF-8 a text takes. */
export function byteLength(text: string): number {
  return PLAIN.test(text) ? text.length : Buffer.byteLength(text, "utf8");
}

/**
 * The text, if it fits into `maxBytes` of UTF-8; else its beginning, cut at a code point and never inside an escape,
 * ending in `…`. `maxBytes` is at least 3.
 */
export function boundText(text: string, maxBytes: number): string {
  // A UTF-16 unit is at most 3 bytes of UTF-8 (a pair is 4), so short texts need no count.
  if (text.length * 3 <= maxBytes || byteLength(text) <= maxBytes) return text;
  let bytes = 0;
  let end = 0;
  for (const character of text) {
    bytes += byteLength(character);
    if (bytes > maxBytes - ELLIPSIS_BYTES) break;
    end += character.length;
  }
  const escapeStart = text.lastIndexOf("\\u{", end - 1);
  if (escapeStart >= 0) {
    const escapeEnd = text.indexOf("}", escapeStart);
    if (escapeEnd >= end && escapeEnd - escapeStart <= MAX_ESCAPE) end = escapeStart;
  }
  return text.slice(0, end) + ELLIPSIS;
}

/** Length of the longest escape less one: `\u{10FFFF}`. */
const MAX_ESCAPE = 9;
