import * as fc from "fast-check";
import { expect, test } from "vitest";
import { boundText, byteLength, isNeutral, neutralise } from "./neutralise.ts";

/** Any UTF-16, lone surrogates and all, with what matters here occurring often. */
const anyText = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
      fc.string({ unit: "binary", maxLength: 2 }),
      fc.constantFrom("\\", "\\u{202E}", "\u202e", "\ud800", "\udc00", "}", "{", "a", "é", "😀"),
    ),
    { maxLength: 200 },
  )
  .map((parts) => parts.join(""));

/** The ranges of the contract, once more and in another way. */
const RANGES: readonly (readonly [number, number])[] = [
  [0x00, 0x1f],
  [0x7f, 0x9f],
  [0x200b, 0x200f],
  [0x202a, 0x202e],
  [0x2060, 0x206f],
  [0xfe00, 0xfe0f],
  [0xfeff, 0xfeff],
  [0xe0000, 0xe01ef],
  [0xd800, 0xdfff],
  [0x5c, 0x5c],
];

function isUnsafe(code: number): boolean {
  return RANGES.some(([first, last]) => code >= first && code <= last);
}

test("exactly the characters of the ranges are escaped, and nothing else changes", () => {
  const wrong: number[] = [];
  for (let code = 0; code <= 0x10ffff; code += 1) {
    const character = String.fromCodePoint(code);
    const expected = isUnsafe(code) ? `\\u{${code.toString(16).toUpperCase()}}` : character;
    if (neutralise(character) !== expected) wrong.push(code);
  }
  expect(wrong).toEqual([]);
});

test("what comes out is well-formed, neutral, and of one text only", () => {
  fc.assert(
    fc.property(anyText, (text) => {
      const neutral = neutralise(text);
      expect(neutral.isWellFormed()).toBe(true);
      expect(isNeutral(neutral)).toBe(true);
      const back = neutral.replace(/\\u\{([0-9A-F]+)\}/g, (_, hex: string) =>
        String.fromCodePoint(Number.parseInt(hex, 16)),
      );
      expect(back).toBe(text);
    }),
  );
});

test("isNeutral tells raw text from neutral text", () => {
  expect(isNeutral("a\\u{202E}b")).toBe(true);
  expect(isNeutral("a\\b")).toBe(false);
  expect(isNeutral("\\u{202e}")).toBe(false);
  expect(isNeutral("\u202e")).toBe(false);
  expect(isNeutral("\ud800")).toBe(false);
  expect(isNeutral("é😀")).toBe(true);
});

test("a bound text fits in bytes, is a beginning, and ends in an ellipsis only when it was cut", () => {
  fc.assert(
    fc.property(anyText, fc.integer({ min: 3, max: 300 }), (text, maxBytes) => {
      const neutral = neutralise(text);
      const bound = boundText(neutral, maxBytes);
      expect(Buffer.byteLength(bound)).toBeLessThanOrEqual(maxBytes);
      expect(bound.isWellFormed()).toBe(true);
      expect(isNeutral(bound)).toBe(true);
      if (bound === neutral) return;
      expect(Buffer.byteLength(neutral)).toBeGreaterThan(maxBytes);
      expect(bound.endsWith("…")).toBe(true);
      expect(neutral.startsWith(bound.slice(0, -1))).toBe(true);
      // Nothing more would have fitted, but for part of an escape or one character.
      expect(Buffer.byteLength(bound)).toBeGreaterThan(maxBytes - 13);
    }),
  );
});

test("the bound counts bytes, not characters", () => {
  expect(boundText("é".repeat(128), 256)).toBe("é".repeat(128));
  expect(boundText("é".repeat(129), 256)).toBe(`${"é".repeat(126)}…`);
  expect(boundText("😀".repeat(64), 256)).toBe("😀".repeat(64));
  expect(boundText("a".repeat(257), 256)).toBe(`${"a".repeat(253)}…`);
  expect(boundText(`${"a".repeat(250)}\\u{202E}bcd`, 256)).toBe(`${"a".repeat(250)}…`);
  expect(byteLength("é…😀a")).toBe(10);
});
