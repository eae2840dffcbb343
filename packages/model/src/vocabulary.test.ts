import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { generatedFiles } from "../scripts/validators.ts";
import { ASSURANCES, assuranceAtLeast } from "./assurance.ts";
import { canonicalJson } from "./canonical.ts";
import { CountersignError, errorCode } from "./error.ts";
import { type Check, deciding } from "./event.ts";
import { stderrLogger } from "./log.ts";
import { dataSchema, eventName, eventType, kindOf, META_DENIAL } from "./names.ts";
import { decisionOf, type Reason, REASONS } from "./reason.ts";
import { equal, ucs2length } from "./schema/runtime.ts";
import { MCP_ALLOWLIST, SPAN_ATTRIBUTES } from "./span-attributes.ts";
import { eventTime } from "./time.ts";
import { uuidv7, uuidv8From } from "./uuid.ts";

const schemas = join(import.meta.dirname, "schema");

interface EventSchema {
  $defs: {
    event_decision: { properties: { data: { properties: { reason: { enum: string[] } } } } };
  };
}

test("the generated validators are those of the schemas", () => {
  for (const [name, text] of Object.entries(generatedFiles())) {
    expect(readFileSync(join(schemas, name), "utf8") === text).toBe(true);
    expect(text).not.toMatch(/\brequire\(|\beval\(|new Function|from "ajv/);
  }
});

test("reasons are those of the schema, each of one decision", () => {
  const schema = JSON.parse(
    readFileSync(join(schemas, "event.schema.json"), "utf8"),
  ) as EventSchema;
  const all = [...REASONS.allow, ...REASONS.deny, ...REASONS.error];
  expect(all).toEqual(schema.$defs.event_decision.properties.data.properties.reason.enum);
  expect(REASONS.allow.map(decisionOf)).toEqual(["allow", "allow"]);
  expect(new Set(REASONS.deny.map(decisionOf))).toEqual(new Set(["deny"]));
  expect(new Set(REASONS.error.map(decisionOf))).toEqual(new Set(["error"]));
  expect(decisionOf("made_up" as Reason)).toBe("error");
});

test("assurances have one order, and a word that is none is never enough", () => {
  for (const [have, name] of ASSURANCES.entries()) {
    for (const [need, floor] of ASSURANCES.entries()) {
      expect(assuranceAtLeast(name, floor)).toBe(have <= need);
    }
  }
  expect(assuranceAtLeast("root" as "none", "none")).toBe(false);
  expect(assuranceAtLeast("call_bound", "" as "none")).toBe(false);
});

test("errors are told apart by code, also those of another copy", () => {
  const error = new CountersignError("OVERLOADED", "queue: full", { retryAfterMs: 5, failed: [1] });
  expect(error).toMatchObject({ name: "CountersignError", retryAfterMs: 5, failed: [1] });
  expect(errorCode(error)).toBe("OVERLOADED");
  expect(errorCode({ code: "BUG" })).toBe("BUG");
  expect(errorCode({ code: "ENOENT" })).toBeUndefined();
  expect(errorCode(null)).toBeUndefined();
  expect("cause" in new CountersignError("BUG", "x")).toBe(false);
});

test("names", () => {
  expect(eventType("decision")).toBe("dev.countersign.decision.v1");
  expect(dataSchema("lost")).toBe("urn:countersign:schema:lost:1");
  expect(eventName("decision")).toBe("countersign.decision");
  expect(META_DENIAL).toBe("dev.countersign/denial");
  expect(kindOf("dev.countersign.withheld.v1")).toBe("withheld");
  expect(kindOf("dev.countersign.decision.v2")).toBeUndefined();
  expect(kindOf("dev.countersign.toString.v1")).toBeUndefined();
  expect(kindOf(7)).toBeUndefined();
});

const check = (verdict: Check["verdict"], id: string): Check => ({
  permission: "p",
  resource: { type: "t", id },
  subject: { type: "u", id: "u" },
  verdict,
  engine: "spicedb",
  durationUs: 0,
});

test("the deciding check is the first that is not allow, else the first", () => {
  expect(deciding(undefined)).toBeUndefined();
  expect(deciding([check("allow", "1"), check("allow", "2")])?.resource.id).toBe("1");
  expect(deciding([check("allow", "1"), check("error", "2")])?.resource.id).toBe("2");
});

test("ids sort as they were made, and are of their version", () => {
  const ids = Array.from({ length: 2_000 }, () => uuidv7(1_795_338_003_412));
  expect(ids).toEqual(ids.toSorted());
  expect(new Set(ids).size).toBe(2_000);
  expect(ids[0]).toMatch(/^01a2027b-e3d4-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(uuidv7(1_795_338_003_413) > (ids[1_999] as string)).toBe(true);
  expect(uuidv7()).not.toBe(uuidv7());
  expect(uuidv8From("a")).toBe(uuidv8From(Buffer.from("a")));
  expect(uuidv8From("a")).toMatch(
    /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
});

test("time has three decimals", () => {
  expect(eventTime(1_795_338_003_412)).toBe("2026-11-22T09:00:03.412Z");
  expect(eventTime(0)).toBe("1970-01-01T00:00:00.000Z");
});

test("canonical JSON: numbers as documents have them, and nothing that JSON cannot say", () => {
  expect(canonicalJson({ b: 1e21, a: [0.1, -0, null, ""], "\u20ac": "\r" })).toBe(
    '{"a":[0.1,0,null,""],"b":1e+21,"€":"\\r"}',
  );
  // Order is by UTF-16 units: the surrogate of an emoji comes before U+FB33 (RFC 8785, section 3.2.3).
  expect(canonicalJson({ "\ufb33": 1, "😀": 2, "10": 3, "9": 4 })).toBe(
    '{"10":3,"9":4,"😀":2,"\ufb33":1}',
  );
  for (const bad of [undefined, NaN, { a: undefined }, ["\ud800"], { "\udc00": 1 }, 1n, () => 1]) {
    expect(() => canonicalJson(bad)).toThrow("canonical: ");
  }
});

test("redact's preset allows the attributes below opt-in, and nothing that carries payload or people", () => {
  const { keys, prefixes } = MCP_ALLOWLIST;
  for (const key of [
    "mcp.method.name",
    "gen_ai.tool.name",
    "countersign.permission",
    "user.hash",
  ]) {
    expect(keys.has(key)).toBe(true);
  }
  for (const key of [
    "mcp.session.id",
    "mcp.resource.uri",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "countersign.resource.id",
    "countersign.human.subject",
    "client.address",
    "url.full",
    "exception.message",
  ]) {
    expect(keys.has(key)).toBe(false);
    expect(prefixes.some((prefix) => key.startsWith(prefix))).toBe(false);
  }
  const names = SPAN_ATTRIBUTES.map((attribute) => attribute.key);
  expect(new Set(names).size).toBe(names.length);
});

test("a log line is one line on standard error, with nothing in it that moves a terminal", () => {
  const lines: string[] = [];
  const write = vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    lines.push(String(text));
    return true;
  });
  try {
    const log = stderrLogger("gate");
    log.debug("silent");
    log.warn("policy changed", { file: "a b\n\u001b[31m", count: 2, ok: true, quote: 'x"y' });
    log.error("x".repeat(2_000));
  } finally {
    write.mockRestore();
  }
  expect(lines).toHaveLength(2);
  expect(lines[0]).toMatch(
    /^\S+ warn gate: policy changed file="a b\\u\{A\}\\u\{1B\}\[31m" count=2 ok=true quote="x\\u\{22\}y"\n$/,
  );
  expect((lines[1] as string).length).toBeLessThan(600);
});

test("what generated code needs of ajv's runtime", () => {
  expect(ucs2length("aé😀\ud800")).toBe(4);
  expect(equal({ a: [1, { b: 2 }] }, { a: [1, { b: 2 }] })).toBe(true);
  expect(equal({ a: 1 }, { b: 1 })).toBe(false);
  expect(equal([], {})).toBe(false);
  expect(equal([1], [1, 2])).toBe(false);
  expect(equal(null, {})).toBe(false);
});
