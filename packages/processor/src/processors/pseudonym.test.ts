import { createHmac } from "node:crypto";
import type { KeyValue, Traces } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { decodeProto } from "../otlp/decode-proto.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { TRACE_REQUEST } from "../otlp/message.ts";
import { createAllowedKeys } from "./allowed-keys.ts";
import { createPseudonym } from "./pseudonym.ts";
import { redactProcessor } from "./redact.ts";
import { scrubWire } from "./scrub-wire.ts";

const KEY = "correct horse battery staple, and more";

/** As somebody who has the key would make one by hand. */
function byHand(attribute: string, value: string, key = KEY): string {
  const mac = createHmac("sha256", key).update(`${attribute}\0${value}`).digest();
  return `ps1.p2026q4.${mac.subarray(0, 16).toString("base64url")}`;
}

function scrub(attributes: readonly KeyValue[], key = KEY): readonly KeyValue[] {
  const span = { traceId: "a1".repeat(16), spanId: "b2".repeat(8), attributes };
  const rules = {
    keys: createAllowedKeys({ pass: ["user.id", "other"], pseudonymise: ["user.id"] }),
    prefixes: [],
    pseudonym: createPseudonym({ key, kid: "p2026q4" }),
    action: "mask" as const,
  };
  const request = encodeProto(
    { resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] },
    TRACE_REQUEST,
  );
  const { value } = decodeProto<Traces>(scrubWire(request, rules).bytes, TRACE_REQUEST);
  return value.resourceSpans[0]?.scopeSpans?.[0]?.spans?.[0]?.attributes ?? [];
}

test("every scalar of the attribute becomes its pseudonym, and nothing else does", () => {
  const scrubbed = scrub([
    { key: "user.id", value: { stringValue: "alice@example.com" } },
    { key: "user.id", value: { intValue: "4111111111111111" } },
    { key: "user.id", value: { boolValue: true } },
    { key: "user.id", value: { doubleValue: 1.5 } },
    {
      key: "user.id",
      value: {
        arrayValue: {
          values: [
            { stringValue: "bob" },
            { bytesValue: "AAAA" },
            { kvlistValue: { values: [{ key: "k", value: { stringValue: "bob" } }] } },
          ],
        },
      },
    },
    { key: "user.id", value: { bytesValue: "AAAA" } },
    { key: "user.id", value: { stringValue: "" } },
    { key: "other", value: { stringValue: "alice" } },
  ]);
  const of = (value: string): KeyValue => ({
    key: "user.id",
    value: { stringValue: byHand("user.id", value) },
  });
  const bob = { stringValue: byHand("user.id", "bob") };
  expect(scrubbed).toEqual([
    of("alice@example.com"),
    of("4111111111111111"),
    of("true"),
    of("1.5"),
    {
      key: "user.id",
      value: {
        arrayValue: {
          values: [bob, { kvlistValue: { values: [{ key: "k", value: bob }] } }],
        },
      },
    },
    { key: "user.id", value: { stringValue: "" } },
    { key: "other", value: { stringValue: "alice" } },
  ]);
});

test("the same value has the same pseudonym, in one attribute and under one key only", () => {
  const pseudonym = createPseudonym({ key: KEY, kid: "p2026q4" });
  expect(pseudonym("user.id", "a")).toBe(pseudonym("user.id", "a"));
  expect(pseudonym("user.id", "a")).toMatch(/^ps1\.p2026q4\.[A-Za-z0-9_-]{22}$/);
  const others = [
    pseudonym("user.id", "b"),
    pseudonym("enduser.id", "a"),
    createPseudonym({ key: `${KEY}.`, kid: "p2026q4" })("user.id", "a"),
  ];
  expect(new Set([pseudonym("user.id", "a"), ...others]).size).toBe(4);
});

/** What is wrong with a configuration that has this key. */
function check(key: string): readonly string[] {
  const pseudonymise = { attributes: ["user.id"], key, kid: "k1" };
  const config = { allow: [], action: "mask", pseudonymise };
  const faults = redactProcessor.check?.(config as never) ?? [];
  return faults.map(({ path, message }) => `${JSON.stringify(path)} ${message}`);
}

test("the key is there, and long enough", () => {
  expect(check("")).toHaveLength(1);
  expect(check("k".repeat(31))).toEqual([expect.stringContaining('["pseudonymise","key"]')]);
  expect(check("k".repeat(32))).toEqual([]);
  expect(check("short secret").join(" ")).not.toContain("short secret");
});
