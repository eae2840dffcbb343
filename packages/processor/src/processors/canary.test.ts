// Planted secrets: none may come out, in no form. And what is taken out of spans that hold none.
import { isDeepStrictEqual } from "node:util";
import type { AnyValue, KeyValue, Span, Traces } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { decodeProto } from "../otlp/decode-proto.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { TRACE_REQUEST } from "../otlp/message.ts";
import { CLEAN_KEYS, cleanSpan } from "../testing/clean.ts";
import { CLOSED_FORMS } from "./closed-forms.ts";
import { ENCODINGS, plantedRequest } from "../testing/planted.ts";
import { createRandom } from "../testing/random.ts";
import { type PlainRules, wireRules } from "../testing/reference.ts";
import { KINDS, secretOf } from "../testing/secrets.ts";
import { type ScrubRules, scrubWire } from "./scrub-wire.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";
const SECRETS = LONG ? 100_000 : 1_400;
const CLEAN = LONG ? 100_000 : 5_000;

const RULES: PlainRules = {
  pass: ["error.type", "mcp.method.name"],
  prefixes: ["otel."],
  pseudonymise: [],
  action: "mask",
};

const MASK = wireRules(RULES);
const DROP = wireRules({ ...RULES, action: "drop" });

/** As it is, or as an escape of JSON. */
const INVISIBLE = /\\n|[\p{Cc}\u200b-\u200f\\]/gu;
const BESIDE = /[ .-]/g;

/** Everything that a reader of the output could see as text. */
function readable(bytes: Buffer): string {
  const { value } = decodeProto<Traces>(bytes, TRACE_REQUEST);
  const texts: string[] = [];
  const collect = (one: unknown): void => {
    if (typeof one === "string" || typeof one === "number") texts.push(String(one));
    else if (typeof one === "object" && one !== null) Object.values(one).forEach(collect);
  };
  collect(value);
  return `${bytes.toString("utf8")}\n${texts.join("\n")}`
    .normalize("NFKC")
    .replaceAll(INVISIBLE, "");
}

/** A secret, and what is left of one that was taken out but for an end. */
function needlesOf(secret: string): readonly string[] {
  const seen = secret.normalize("NFKC").replaceAll(INVISIBLE, "");
  const dense = seen.replaceAll(BESIDE, "");
  return dense.length < 24 ? [seen, dense] : [seen, dense, dense.slice(-16), dense.slice(16, 32)];
}

/** The needles that a scrubbed request still has. */
function leaks(request: Traces, secret: string, rules: ScrubRules): readonly string[] {
  const { bytes } = scrubWire(encodeProto(request, TRACE_REQUEST), rules);
  const text = readable(bytes);
  const dense = text.replaceAll(BESIDE, "");
  return needlesOf(secret).filter((needle) => text.includes(needle) || dense.includes(needle));
}

test.each(ENCODINGS)(
  "secrets of every kind in every field, %s: none comes out",
  (encoding) => {
    const found: string[] = [];
    const random = createRandom(ENCODINGS.indexOf(encoding) + 1);
    for (let count = 0; count < SECRETS; count += 1) {
      const kind = KINDS[count % KINDS.length] ?? "card";
      const secret = secretOf(kind, random);
      const rules = count % 16 < 8 ? MASK : DROP;
      const request = plantedRequest(secret, encoding);
      if (leaks(request, secret, rules).length > 0) found.push(`${kind} ${secret}`);
    }
    expect(found).toEqual([]);
  },
  900_000,
);

test.each(ENCODINGS)("the search would see one that came out, %s", (encoding) => {
  const random = createRandom(7);
  for (const kind of KINDS) {
    const secret = secretOf(kind, random);
    const text = readable(encodeProto(plantedRequest(secret, encoding), TRACE_REQUEST));
    expect(needlesOf(secret).some((needle) => text.includes(needle))).toBe(true);
  }
});

/** How often each attribute was changed. */
function changes(before: Span, after: Traces, counts: Map<string, number>): void {
  const [span] = after.resourceSpans[0]?.scopeSpans?.[0]?.spans ?? [];
  for (const { key, value } of before.attributes ?? []) {
    const kept = span?.attributes?.find((one) => one.key === key);
    if (isDeepStrictEqual(kept?.value, value)) continue;
    counts.set(key ?? "", (counts.get(key ?? "") ?? 0) + 1);
  }
}

test("what is taken out of spans without a secret", () => {
  const random = createRandom(11);
  const rules = wireRules({ ...RULES, pass: CLEAN_KEYS });
  const byKey = new Map<string, number>();
  const byKind = new Map<string, number>();
  for (let count = 0; count < CLEAN; count += 1) {
    const span = cleanSpan(random);
    const request = { resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] };
    const scrubbed = scrubWire(encodeProto(request, TRACE_REQUEST), rules);
    for (const [kind, amount] of scrubbed.counts) {
      byKind.set(kind, (byKind.get(kind) ?? 0) + amount);
    }
    if (scrubbed.counts.size === 0) continue;
    changes(span, decodeProto<Traces>(scrubbed.bytes, TRACE_REQUEST).value, byKey);
  }
  const figures = { ...Object.fromEntries(byKind), ...Object.fromEntries(byKey) };
  console.log(`${CLEAN} clean spans of ${CLEAN_KEYS.length} attributes:`, JSON.stringify(figures));
  // A number of 13 to 19 digits passes Luhn one time in ten, and a time in nanoseconds is one.
  expect((byKey.get("time.unix_nano") ?? 0) / CLEAN).toBeLessThan(0.12);
  byKey.delete("time.unix_nano");
  for (const key of CLOSED_FORMS.keys()) expect(byKey.get(key)).toBeUndefined();
  const others = [...byKey.values()].reduce((sum, amount) => sum + amount, 0);
  expect(others / CLEAN).toBeLessThan(0.05);
  expect([...byKind.keys()].filter((kind) => kind !== "card" && kind !== "iban")).toEqual([]);
}, 900_000);

const UNSEEN: readonly (readonly [string, (secret: string) => string])[] = [
  ["base64", (secret) => Buffer.from(secret).toString("base64")],
  ["hexadecimal", (secret) => Buffer.from(secret).toString("hex")],
  [
    "percent-encoded",
    (secret) => [...Buffer.from(secret)].map((byte) => `%${byte.toString(16)}`).join(""),
  ],
  [
    "JSON \\u escapes",
    (secret) =>
      Array.from(secret)
        .map((one) => `\\u00${one.charCodeAt(0).toString(16)}`)
        .join(""),
  ],
  ["backwards", (secret) => Array.from(secret).toReversed().join("")],
  ["parted by other characters", (secret) => Array.from(secret).join("/")],
];

test.each(UNSEEN)("is not claimed, and comes out: %s", (_how, encode) => {
  const text = encode("4539578763621486");
  const attributes: KeyValue[] = [{ key: "error.type", value: { stringValue: text } as AnyValue }];
  const span = { traceId: "a1".repeat(16), spanId: "b2".repeat(8), attributes };
  const request = { resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] };
  const { bytes } = scrubWire(encodeProto(request, TRACE_REQUEST), wireRules(RULES));
  expect(bytes.includes(text)).toBe(true);
});
