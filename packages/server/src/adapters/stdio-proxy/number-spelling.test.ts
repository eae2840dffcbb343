import { META_CALL_PROOF } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { readCallerLine } from "./message.ts";
import { areNumbersPlain } from "./number-spelling.ts";

const isPlain = (text: string): boolean => areNumbersPlain(Buffer.from(text), 0, text.length);

test.each([
  "9007199254740993",
  "1.0",
  "1e0",
  "1E2",
  "1e+2",
  "-0",
  "-0.0",
  "0.10",
  "0.1000000000000000055",
  "99999999999999991611392",
  "1e400",
  '{"a":[1,{"b":-0}]}',
  '["\\\\",1.0]',
])("%s is read in two ways", (text) => {
  expect(isPlain(text)).toBe(false);
});

function expectPlain(value: unknown): void {
  expect(isPlain(JSON.stringify(value))).toBe(true);
}

test("what JSON.stringify writes is read in one way", () => {
  expect.hasAssertions();
  fc.assert(fc.property(fc.jsonValue(), expectPlain));
  fc.assert(fc.property(fc.double(), expectPlain));
});

test("numbers in strings and keys are text", () => {
  expect(isPlain('{"1.0":"-0","a\\"1e0":["1.0\\\\","\\u0031.0",true,null,false]}')).toBe(true);
});

function lineWith(id: string, other: string): Buffer {
  return Buffer.from(
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":{"id":${id}},"_meta":{"a":${other},"${META_CALL_PROOF}":{"token":"t"}}}}`,
  );
}

test("a proof is none where somebody wrote a number in another way; `_meta` is not what it is about", () => {
  const proven = readCallerLine(lineWith("9007199254740992", "1.0"));
  expect(proven).toMatchObject({ proof: { token: "t" } });
  expect(readCallerLine(lineWith("9007199254740993", "1"))).toMatchObject({ proof: null });
});
