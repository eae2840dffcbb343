import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type ScanRules, fold, member, scan } from "./scan.ts";

const STRICT: ScanRules = { strict: true, maxDepth: 64, interest: { params: { _meta: {} } } };
const TOLERANT: ScanRules = { strict: false, maxDepth: 64, interest: { params: {} } };

function strict(text: string | Uint8Array): string {
  return scan(Buffer.from(text), STRICT).problem ?? "ok";
}

function tolerant(text: string | Uint8Array): string {
  return scan(Buffer.from(text), TOLERANT).problem ?? "ok";
}

function parses(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

/** Everything that the strict scan refuses beyond JSON.parse, told from the parsed value alone. */
function unambiguous(value: unknown, depth = 1): boolean {
  if (typeof value === "string") return value.isWellFormed();
  if (typeof value !== "object" || value === null) return true;
  if (depth > 64) return false;
  const entries = Object.entries(value);
  const folded = new Set(Array.isArray(value) ? [] : entries.map(([key]) => fold(key)));
  if (!Array.isArray(value) && folded.size < entries.length) return false;
  return entries.every(([key, inner]) => key.isWellFormed() && unambiguous(inner, depth + 1));
}

const anyObject = fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue());

test("what JSON.stringify writes is taken, unless two readers could read it differently", () => {
  fc.assert(
    fc.property(anyObject, fc.nat(2), (value, indent) => {
      const text = JSON.stringify(value, null, indent === 2 ? " " : "").replaceAll("\n", " ");
      expect(strict(text) === "ok").toBe(unambiguous(JSON.parse(text)));
    }),
  );
});

test("arbitrary damage: the scan takes nothing that JSON.parse does not, and refuses only for a named reason", () => {
  const damaged = fc
    .tuple(
      anyObject,
      fc.array(fc.tuple(fc.nat(), fc.string({ unit: "grapheme-ascii", maxLength: 3 })), {
        maxLength: 3,
      }),
    )
    .map(([value, edits]) =>
      edits.reduce((text, [at, put]) => {
        const index = at % (text.length + 1);
        return text.slice(0, index) + put + text.slice(index + (put.length % 2));
      }, JSON.stringify(value)),
    );
  fc.assert(
    fc.property(damaged, (text) => {
      const [found, parsed] = [strict(text), parses(text)];
      expect(parsed).toBe(found === "ok" || (found !== "syntax" && parsed));
      const tolerated = ["ok", "duplicate_key", "depth"].includes(tolerant(text));
      expect(tolerated).toBe(parsed || tolerated);
    }),
    { numRuns: 2_000 },
  );
});

test.each([
  ["empty", "", "syntax"],
  ["two objects", "{}{}", "syntax"],
  ["trailing garbage", '{"a":1} x', "syntax"],
  ["trailing comma", '{"a":1,}', "syntax"],
  ["batch", '[{"jsonrpc":"2.0"}]', "not_an_object"],
  ["bare value", "7", "not_an_object"],
  ["byte order mark", "\uFEFF{}", "not_an_object"],
  ["leading zero", '{"a":01}', "syntax"],
  ["plus sign", '{"a":+1}', "syntax"],
  ["NaN", '{"a":NaN}', "syntax"],
  ["hex escape", String.raw`{"a":"\x41"}`, "syntax"],
  ["raw control character", '{"a":"\u0001"}', "syntax"],
  ["comment", '{"a":1/**/}', "syntax"],
  ["duplicate key", '{"a":1,"a":1}', "duplicate_key"],
  ["duplicate key, one escaped", String.raw`{"method":1,"m\u0065thod":2}`, "duplicate_key"],
  ["duplicate key, deep", '{"a":[{"b":{"c":1,"c":2}}]}', "duplicate_key"],
  ["keys that differ in case only", '{"method":"ping","Method":"tools/call"}', "duplicate_key"],
  ["the long s is an s to Go", '{"params":{},"param\u017F":{}}', "duplicate_key"],
  ["the Kelvin sign is a k", '{"k":1,"\u212A":2}', "duplicate_key"],
  ["a NUL ends a key in C", String.raw`{"params":{"name":1,"name\u0000x":2}}`, "duplicate_key"],
  ["lone high surrogate", String.raw`{"a":"\ud800"}`, "lone_surrogate"],
  ["lone low surrogate", String.raw`{"a":"\udc00"}`, "lone_surrogate"],
  ["reversed pair", String.raw`{"a":"\udc00\ud800"}`, "lone_surrogate"],
  ["lone surrogate in a key", String.raw`{"\udbff":1}`, "lone_surrogate"],
  ["surrogate pair", String.raw`{"a":"\ud83d\ude00"}`, "ok"],
  ["bare carriage return", '{"params":{"x":\r{"method":"tools/call"}\r}}', "carriage_return"],
  ["carriage return before the object", "\r{}", "carriage_return"],
  ["carriage return after the object", "{}\r ", "carriage_return"],
  ["CRLF at the end", "{}\r\n", "ok"],
  ["64 deep", "{" + '"a":{'.repeat(63) + "}".repeat(64), "ok"],
  ["65 deep", "{" + '"a":{'.repeat(64) + "}".repeat(65), "depth"],
  ["65 deep, arrays", `{"a":${"[".repeat(64)}${"]".repeat(64)}}`, "depth"],
])("%s", (_what, text, expected) => {
  expect(strict(text)).toBe(expected);
});

test("100,000 levels end the scan, not the stack", () => {
  expect(strict(`{"a":${"[".repeat(100_000)}`)).toBe("depth");
  expect(tolerant(`{"a":${"[".repeat(100_000)}`)).toBe("depth");
});

test.each([
  ["overlong slash", Buffer.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d])],
  ["surrogate in UTF-8", Buffer.from([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d])],
  ["latin-1", Buffer.from('{"é":1}', "latin1")],
])("invalid UTF-8: %s", (_what, bytes) => {
  expect(strict(bytes)).toBe("encoding");
});

test("a tolerant scan lets pass what only the client reads, and no ambiguity in what the guard reads", () => {
  expect(tolerant(Buffer.from('{"params":{"text":"é"}}', "latin1"))).toBe("ok");
  expect(tolerant(String.raw`{"params":{"deep":{"a":1,"a":2}},"x":"\ud800"}`)).toBe("ok");
  expect(tolerant('{"params":{"a":1,"A":2}}')).toBe("duplicate_key");
  expect(tolerant('{"id":1,"id":2}')).toBe("duplicate_key");
  expect(tolerant(`{"a":"${String.raw`\\`}"}`)).toBe("ok");
  expect(tolerant(String.raw`{"a":"\"}`)).toBe("syntax");
});

test("offsets are those of the bytes", () => {
  const text = Buffer.from(
    '{"jsonrpc":"2.0", "é":"ü", "params" : { "_meta": {"a":1 , "b":[2]} } }\r\n',
  );
  const { root } = scan(text, STRICT) as Extract<ReturnType<typeof scan>, { root: unknown }>;
  const params = member(root, "params");
  const meta = member(params?.object, "_meta");
  expect(text.toString("utf8", meta?.start, meta?.end)).toBe('{"a":1 , "b":[2]}');
  const b = member(meta?.object, "b");
  expect(text.toString("utf8", b?.keyStart, b?.end)).toBe('"b":[2]');
  expect(text.toString("utf8", root.start, root.end)).toBe(text.toString("utf8").trimEnd());
});

test("a thousand keys are compared as few are", () => {
  const keys = Array.from({ length: 1_000 }, (_, index) => `"k${index}":${index}`);
  expect(strict(`{${keys.join(",")}}`)).toBe("ok");
  expect(strict(`{${keys.join(",")},"K0":0}`)).toBe("duplicate_key");
});
