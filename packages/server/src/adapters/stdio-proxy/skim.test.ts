import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createSkimmer, skim } from "./skim.ts";

test.each([
  ['{"id":1,"method":"a"}', { id: 1, method: "a" }],
  [
    '{"params":{"id":9,"method":"x","a":[{"id":8}]},"id":"k","method":"ping"}',
    { id: "k", method: "ping" },
  ],
  [String.raw`{"a":"\",\"id\":5","id":6}`, { id: 6 }],
  [String.raw`{"\u0069d":6}`, { id: 6 }],
  ['{"id":1,"id":2,"method":"m"}', { method: "m" }],
  ['{"id":1.5}', {}],
  ['{"id":null}', {}],
  ['{"id":{"id":3}}', {}],
  ['{"id":99999999999999999999}', {}],
  ['[{"id":1,"method":"a"}]', {}],
  ['{"id":1,"method":"a"', { id: 1 }],
  ["not json", {}],
  ["", {}],
  [`{"id":"${"x".repeat(600)}","method":"m"}`, { method: "m" }],
])("%s", (text, expected) => {
  expect(skim(Buffer.from(text))).toEqual(expected);
});

test("it finds what JSON.parse finds, however the bytes arrive", () => {
  const id = fc.oneof(fc.integer(), fc.string({ maxLength: 20 }));
  const other = fc.dictionary(
    fc.string().filter((key) => key !== "id" && key !== "method"),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(
      id,
      fc.string({ minLength: 1, maxLength: 20 }),
      other,
      fc.integer({ min: 1, max: 9 }),
      (one, method, rest, size) => {
        const bytes = Buffer.from(JSON.stringify({ ...rest, id: one, method }));
        const skimmer = createSkimmer();
        for (let at = 0; at < bytes.length; at += size) skimmer.push(bytes.subarray(at, at + size));
        expect(skimmer.result()).toEqual({ id: Object.is(one, -0) ? 0 : one, method });
      },
    ),
  );
});
