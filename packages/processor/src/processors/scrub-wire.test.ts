import assert from "node:assert/strict";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { errorCode } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeProto } from "../otlp/decode-proto.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { type Field, type Message, TRACE_REQUEST, wireTypeOf } from "../otlp/message.ts";
import { WIRE, WireReader } from "../otlp/wire.ts";
import { HOSTILE_RULES, hostileRequest } from "../testing/hostile.ts";
import { plain } from "../testing/plain.ts";
import { type PlainRules, referenceScrub, wireRules } from "../testing/reference.ts";
import { sdkSpans, type SpanFields } from "../testing/spans.ts";
import { type Scrubbed, scrubWire } from "./scrub-wire.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";

const MASK: PlainRules = { ...HOSTILE_RULES, action: "mask" };
const DROP: PlainRules = { ...HOSTILE_RULES, action: "drop" };

function attempt(run: () => Scrubbed): Scrubbed | string {
  try {
    return run();
  } catch (error) {
    const code = errorCode(error);
    if (code !== "INPUT_INVALID") throw error;
    return code;
  }
}

/** Bits that no reader sees are a place to hide things in. */
function hidden(bytes: Buffer, message: Message, at = 0, end = bytes.length): string | undefined {
  const reader = new WireReader(bytes, at, end);
  const seen = new Set<number>();
  for (let rest = bytes.subarray(at, end); !reader.done;) {
    const { number, wire } = reader.tag();
    const field = message.fields.find((one) => one.number === number);
    if (field === undefined || wireTypeOf(field) !== wire) return `${message.name} ${number}`;
    const once = field.choice === true ? 0 : number;
    if (field.repeated !== true && seen.has(once)) return `${message.name}.${field.name} twice`;
    seen.add(once);
    let size = number * 8 + wire < 0x80 ? 1 : 2;
    if (wire === WIRE.varint) {
      const value = reader.varint();
      if (value !== narrow(value, field.type)) return `${message.name}.${field.name} is wide`;
      size += widthOf(value);
    } else if (wire === WIRE.bytes) {
      const value = reader.bytes();
      size += widthOf(BigInt(value.length)) + value.length;
      if (typeof field.type !== "string") {
        const within = hidden(value, field.type);
        if (within !== undefined) return within;
      }
    } else if (wire === WIRE.fixed64) {
      const value = reader.fixed64();
      const isNan =
        field.type === "double" && (value & INFINITE) === INFINITE && (value & FRACTION) !== 0n;
      if (isNan && value !== NAN) return `${message.name}.${field.name} is an odd NaN`;
      size += 8;
    } else size += 4 * Number(reader.fixed32() >= 0);
    // What was read, in as few bytes as it needs.
    rest = rest.subarray(size);
    if (rest.length !== reader.left) return `${message.name}.${field.name} is loose`;
  }
  return undefined;
}

const INFINITE = 0x7ff0_0000_0000_0000n;
const FRACTION = 0xf_ffff_ffff_ffffn;
const NAN = 0x7ff8_0000_0000_0000n;

/** As many bits as the type has. */
function narrow(value: bigint, type: Field["type"]): bigint {
  if (type === "bool") return value === 0n ? 0n : 1n;
  if (type === "uint32") return BigInt.asUintN(32, value);
  return type === "enum" ? BigInt.asUintN(64, BigInt.asIntN(32, value)) : value;
}

function widthOf(value: bigint): number {
  let width = 1;
  for (let rest = value >> 7n; rest > 0n; rest >>= 7n) width += 1;
  return width;
}

function compare(bytes: Buffer, rules: PlainRules): "refused" | "same" {
  const before = Buffer.from(bytes);
  const expected = attempt(() => referenceScrub(bytes, rules));
  const got = attempt(() => scrubWire(bytes, wireRules(rules)));
  assert.ok(bytes.equals(before), "the input is nobody's to change");
  if (typeof expected === "string" || typeof got === "string") {
    assert.equal(got, expected);
    return "refused";
  }
  assert.deepStrictEqual(
    plain(decodeProto(got.bytes, TRACE_REQUEST).value),
    plain(decodeProto(expected.bytes, TRACE_REQUEST).value),
  );
  assert.deepStrictEqual(Object.fromEntries(got.counts), Object.fromEntries(expected.counts));
  assert.equal(got.spans, expected.spans);
  assert.equal(hidden(got.bytes, TRACE_REQUEST), undefined);
  return "same";
}

test("the pass over the bytes does what decoding, scrubbing and encoding does: hostile requests", () => {
  const outcomes = { refused: 0, same: 0 };
  fc.assert(
    fc.property(fc.nat(), fc.boolean(), (seed, mask) => {
      outcomes[compare(hostileRequest(seed), mask ? MASK : DROP)] += 1;
    }),
    { numRuns: LONG ? 100_000 : 10_000, endOnFailure: true },
  );
  expect(outcomes.same).toBeGreaterThan(outcomes.refused);
  expect(outcomes.refused).toBeGreaterThan(100);
}, 3_600_000);

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 20 }).filter((one) => one.isWellFormed()),
  fc.constantFrom("alice@example.com", "4111 1111 1111 1111", "read_ticket", "x 123-45-6789"),
);
const attribute = fc.oneof(
  text,
  fc.boolean(),
  fc.integer(),
  fc.constantFrom(4_111_111_111_111_111, 0.1 + 0.2, -1e21, 12.5, 1e9, 5e-324),
  fc.double({ noNaN: true }),
  fc.array(text, { maxLength: 3 }),
);
const key = fc.oneof(
  fc.constantFrom("error.type", "otel.scope.name", "service.name", "user.id", "mcp.method.name"),
  fc.stringMatching(/^[a-z][a-z._]{0,10}$/),
);
const someAttributes = fc.dictionary(key, attribute, { maxKeys: 4, noNullPrototype: true });
const someSpan: fc.Arbitrary<SpanFields> = fc.record(
  {
    name: text,
    attributes: someAttributes,
    resource: someAttributes,
    events: fc.array(fc.record({ name: text, attributes: someAttributes }), { maxLength: 2 }),
    links: fc.array(someAttributes, { maxLength: 2 }),
    statusMessage: text,
  },
  { requiredKeys: ["name"] },
);
const sdkBytes = (fields: readonly SpanFields[]): Buffer =>
  Buffer.from(ProtobufTraceSerializer.serializeRequest(sdkSpans(fields)) as Uint8Array);

test("… spans of a real SDK", () => {
  fc.assert(
    fc.property(
      fc.array(someSpan, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      (fields, mask) => {
        expect(compare(sdkBytes(fields), mask ? MASK : DROP)).toBe("same");
      },
    ),
    { numRuns: LONG ? 20_000 : 500 },
  );
}, 3_600_000);

test("… the same with a byte changed, and cut short", () => {
  const bytes = sdkBytes([
    {
      name: "tools/call read_ticket",
      attributes: { "mcp.method.name": "tools/call", "error.type": ["a@b.cd", "x"], n: 3 },
      events: [{ name: "e", attributes: { "error.type": 4_111_111_111_111_111 } }],
      links: [{ "otel.a": true, "user.id": "alice" }],
      statusMessage: "no",
    },
  ]);
  const outcomes = { refused: 0, same: 0 };
  for (let at = 0; at < bytes.length; at += 1) {
    outcomes[compare(Buffer.from(bytes.subarray(0, at)), MASK)] += 1;
    for (const flip of [0xff, 0x80, 0x01, 0x08]) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] as number) ^ flip;
      outcomes[compare(changed, MASK)] += 1;
    }
  }
  expect(outcomes.refused).toBeGreaterThan(100);
  expect(outcomes.same).toBeGreaterThan(100);
});

test("a request of which everything stays is handed on as it is", () => {
  const bytes = sdkBytes([{ name: "tools/call", attributes: { "mcp.method.name": "tools/call" } }]);
  // The SDK writes no counts and an empty status: nothing changes.
  const first = scrubWire(bytes, wireRules(MASK)).bytes;
  const second = scrubWire(first, wireRules(MASK)).bytes;
  expect(second.buffer).toBe(first.buffer);
  expect(second.equals(first)).toBe(true);
});

const IDS = { traceId: "a1".repeat(16), spanId: "b2".repeat(8) };
const request = (span: object): Buffer =>
  encodeProto(
    { resourceSpans: [{ scopeSpans: [{ spans: [{ ...IDS, ...span }] }] }] },
    TRACE_REQUEST,
  );

test.each([127, 128, 129, 400])(
  "%s attributes, events, links, items",
  (many) => {
    const list = <Item>(item: Item): Item[] => Array.from({ length: many }, () => item);
    const values = list({ stringValue: "a" });
    const attributes = [
      { key: "error.type", value: { arrayValue: { values } } },
      {
        key: "error.type",
        value: { kvlistValue: { values: list({ key: "k", value: values[0] }) } },
      },
      ...list({ key: "error.type", value: { stringValue: "a@b.cd" } }),
    ];
    const events = list({ name: "e", attributes: [{ key: "no", value: { intValue: "1" } }] });
    const span = { attributes, events, links: list({ ...IDS, attributes: attributes.slice(-1) }) };
    for (const rules of [MASK, DROP]) expect(compare(request(span), rules)).toBe("same");
  },
  60_000,
);

test.each([26, 27, 28, 29, 30, 31, 32])(
  "values nested %s deep, and no deeper than 64 in all",
  (deep) => {
    for (const leaf of [{ stringValue: "a@b.cd" }, { arrayValue: {} }, { kvlistValue: {} }]) {
      let value: object = leaf;
      for (let level = 0; level < deep; level += 1) value = { arrayValue: { values: [value] } };
      const attributes = [{ key: "error.type", value }];
      expect(compare(request({ attributes }), MASK)).toBe(deep < 30 ? "same" : "refused");
    }
  },
);
