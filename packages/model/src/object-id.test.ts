import * as fc from "fast-check";
import { expect, test } from "vitest";
import { errorCode } from "./error.ts";
import {
  decodeObjectId,
  encodeObjectId,
  isObjectId,
  isObjectType,
  MAX_OBJECT_ID_BYTES,
  unescapeObjectId,
} from "./object-id.ts";

const SPICEDB = /^[a-zA-Z0-9/_|\-=+]{1,1024}$/;
const value = fc.string({ unit: "binary", minLength: 1, maxLength: 60 });

function codeOf(action: () => unknown): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return errorCode(error);
  }
}

test("the examples of the contract", () => {
  expect(encodeObjectId("alice@example.com")).toBe("alice=40example=2Ecom");
  expect(encodeObjectId("*")).toBe("=2A");
  expect(encodeObjectId("r&d")).toBe("r=26d");
  expect(encodeObjectId("auth0|5f7c8ec7c33c6c004bbafe82")).toBe("auth0|5f7c8ec7c33c6c004bbafe82");
  expect(encodeObjectId("a/b|c+d=é", true)).toBe("a=2Fb=7Cc=2Bd=3D=C3=A9");
});

test("every value has an id in SpiceDB's alphabet, and comes back from it", () => {
  fc.assert(
    fc.property(value, fc.boolean(), (text, separators) => {
      const id = encodeObjectId(text, separators);
      expect(id).toMatch(SPICEDB);
      expect(isObjectId(id)).toBe(true);
      expect(decodeObjectId(id, separators)).toBe(text);
      expect(unescapeObjectId(id)).toBe(text);
    }),
  );
});

const join = (texts: readonly string[]): string =>
  texts.map((text) => encodeObjectId(text, true)).join("/");

test("two values never get one id; values joined by a separator neither", () => {
  const parts = fc.array(value, { minLength: 2, maxLength: 3 });
  fc.assert(
    fc.property(parts, parts, (one, other) => {
      expect(join(one) === join(other)).toBe(JSON.stringify(one) === JSON.stringify(other));
    }),
  );
  expect(join(["a/b", "c"])).not.toBe(join(["a", "b/c"]));
});

/** The id that the value behind an id has, or why there is no value. */
function spellingOf(id: string, separators: boolean): string | undefined {
  try {
    return encodeObjectId(decodeObjectId(id, separators), separators);
  } catch (error) {
    return errorCode(error);
  }
}

test("a decoder takes the one spelling and no other", () => {
  const ids = fc
    .array(fc.constantFrom(..."aZ09/_|+-=24AFf".split("")), { minLength: 1, maxLength: 12 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(ids, fc.boolean(), (id, separators) => {
      const spelling = spellingOf(id, separators);
      expect(spelling === id || spelling === "INPUT_INVALID").toBe(true);
    }),
  );
  const others = ["=41", "=2a", "=2", "=", "=2F", "=FF", "a b", "", "=C3"];
  expect(others.filter((id) => spellingOf(id, false) !== "INPUT_INVALID")).toEqual([]);
  expect(codeOf(() => decodeObjectId("a/b", true))).toBe("INPUT_INVALID");
});

test("what has no id is refused", () => {
  expect(codeOf(() => encodeObjectId(""))).toBe("INPUT_INVALID");
  expect(codeOf(() => encodeObjectId("\ud800"))).toBe("INPUT_INVALID");
  expect(encodeObjectId("a".repeat(MAX_OBJECT_ID_BYTES))).toHaveLength(MAX_OBJECT_ID_BYTES);
  expect(codeOf(() => encodeObjectId("a".repeat(MAX_OBJECT_ID_BYTES + 1)))).toBe("INPUT_INVALID");
  expect(codeOf(() => encodeObjectId("é".repeat(200)))).toBe("INPUT_INVALID");
});

test("raw ids and types", () => {
  expect(isObjectId("*")).toBe(false);
  expect(isObjectId("a:b")).toBe(false);
  expect(isObjectId("a\n")).toBe(false);
  expect(isObjectId("a/b|c+d-e_f=")).toBe(true);
  expect(isObjectType("ticket")).toBe(true);
  expect(isObjectType("app/ticket")).toBe(true);
  expect(isObjectType("Ticket")).toBe(false);
  expect(isObjectType("ticket/")).toBe(false);
});
