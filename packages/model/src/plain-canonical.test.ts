import canonicalize from "canonicalize";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { isPlainCanonical } from "./plain-canonical.ts";

const isPlain = (text: string): boolean => isPlainCanonical(Buffer.from(text));

const RUNS = process.env["COUNTERSIGN_LONG"] === "1" ? 2_000_000 : 20_000;

const name = fc.oneof(
  fc.constantFrom("a", "b", "aa", "ab", "B", "10", "9", "__proto__", "a b", "~"),
  fc.string({ unit: "binary-ascii", maxLength: 3 }),
  fc.string({ unit: "binary", maxLength: 2 }),
);
const scalar = fc.oneof(
  fc.string({ unit: "binary-ascii", maxLength: 4 }),
  fc.string({ unit: "grapheme", maxLength: 2 }),
  fc.boolean(),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(0, -0, 0.5, 1e21, 2 ** 53, null, "", "x"),
);
const { value } = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    scalar,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(name, tie("value"), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

/** What RFC 8785 leaves to an event (rule 1). */
function mayHold(item: unknown): boolean {
  if (item === null || item === "") return false;
  if (typeof item === "number") return Number.isSafeInteger(item);
  if (typeof item !== "object") return true;
  return Object.entries(item).every(([key, one]) => /^[\x20-\x7e]*$/.test(key) && mayHold(one));
}

function isCanonical(text: string): boolean {
  const parsed: unknown = JSON.parse(text);
  return mayHold(parsed) && canonicalize(parsed) === text;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return text.isWellFormed();
  } catch {
    return false;
  }
}

/** One or two characters of a text changed, lost, doubled, or something put in between. */
const changed = fc
  .tuple(value, fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.nat()), { maxLength: 2 }))
  .map(([item, changes]) => {
    let text = canonicalize(item) ?? "";
    for (const [place, what, piece] of changes) {
      const at = place % (text.length + 1);
      const put = PIECES[piece % PIECES.length] as string;
      if (what === 0) text = text.slice(0, at) + text.slice(at + 1);
      else if (what === 1) text = text.slice(0, at) + put + text.slice(at);
      else if (what === 2) text = text.slice(0, at) + put + text.slice(at + put.length);
      else text = text.replace(/,([^,{}[\]]+)/, `,$1,$1`);
    }
    return text;
  });
const PIECES = [
  " ",
  "\n",
  "0",
  "-",
  ".0",
  "e1",
  '"',
  '"":1,',
  '"a":1,',
  "null",
  "true",
  "é",
  "\\n",
  "\u007f",
];

test("what is plain is canonical by somebody else's hand, whatever was done to it", () => {
  const seen = { plain: 0, other: 0 };
  fc.assert(
    fc.property(changed, (text) => {
      fc.pre(isJson(text));
      const canonical = isCanonical(text);
      const plain = isPlain(text);
      expect({ text, sound: !plain || canonical }).toEqual({ text, sound: true });
      seen.plain += plain ? 1 : 0;
      seen.other += canonical ? 0 : 1;
    }),
    { numRuns: RUNS },
  );
  expect(seen.plain).toBeGreaterThan(RUNS / 10);
  expect(seen.other).toBeGreaterThan(RUNS / 10);
}, 600_000);

test.each([
  '{"a":1,"aa":2,"b":{"z":[{"y":"x"},"b","a",true,false,-1,0]},"c":"d"}',
  '{"10":"a","9":"b","B":"c","a":"d"}',
  `{"n":${"9".repeat(15)}}`,
  "{}",
  "[[],{}]",
])("%s is plain", (text) => {
  expect(isPlain(text)).toBe(true);
});

test.each([
  ['{"b":1,"a":2}', "members out of order"],
  ['{"a":1,"a":1}', "a member twice"],
  ['{"aa":1,"a":2}', "the longer name first"],
  ['{"a":{"c":1,"b":2}}', "out of order within"],
  ['{"":1}', "no name"],
  ['{"a":""}', "an empty string"],
  ['{"a":null}', "null"],
  ['{"a":1.0}', "a fraction"],
  ['{"a":1e2}', "an exponent"],
  ['{"a":-0}', "minus zero"],
  ['{"a":9007199254740992}', "an integer that no double holds"],
  ['{"a": 1}', "a space"],
  ['{"a":"\\u0062"}', "an escape"],
  ['{"a":"\u007f"}', "DEL"],
  ['{"é":1}', "a name that is not ASCII"],
  [`${"[".repeat(33)}${"]".repeat(33)}`, "deep"],
])("%s is for the long way: %s", (text) => {
  expect(isPlain(text)).toBe(false);
});
