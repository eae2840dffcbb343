// Events that no emitter seals: findings, and decisions that spans of other languages report.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { Check, FindingEvent } from "./event.ts";
import { findingEvent } from "./finding.ts";
import { findLeak } from "./leak.ts";
import { unseal } from "./seal.ts";
import { spanDecision, spanDecisionId, type SpanDecisionFields } from "./span-decision.ts";
import { validateClosed, validateOpen } from "./validate.ts";

const TIME = "2026-11-22T09:00:03.412Z";
const HASH = "ab".repeat(32);
const of = { emitter: "tickets-1", epoch: "5".repeat(32), seq: 7, hash: HASH };

const FINDINGS: readonly FindingEvent["data"][] = [
  { tenant: "acme", finding: "GAP", of, missing: { what: "events", from: 4, to: 6 } },
  {
    tenant: "acme",
    finding: "GAP",
    of: { emitter: "tickets-1" },
    missing: { what: "epochs", from: 2, to: 2 },
  },
  { tenant: "acme", finding: "FORK", of, expected: "cd".repeat(32) },
  { tenant: "acme", finding: "DUPLICATE", of },
  { tenant: "acme", finding: "NO_STOP", of },
  { tenant: "acme", finding: "SILENT", of },
  {
    tenant: "acme",
    finding: "NO_OUTCOME",
    of: { ...of, id: "01a2027b-e3d4-728a-9347-6e9986773eb1" },
  },
  { tenant: "acme", finding: "CLOCK_SKEW", of, clock: "ahead" },
  { tenant: "acme", finding: "POLICY_UNKNOWN", of, policy: { digest: `sha256:${HASH}` } },
];

test.each(FINDINGS.map((data) => [data.finding, data] as const))(
  "%s is a valid event, the same each time, and none that an emitter may seal",
  (_kind, data) => {
    const fields = { data, time: TIME, component: "continuity" };
    const made = findingEvent(fields);
    expect(validateOpen(made.event)).toEqual([]);
    expect(validateClosed(made.event)).toHaveLength(1);
    expect(unseal(made.bytes).hash).toBe(made.hash);
    expect(findingEvent(structuredClone(fields)).hash).toBe(made.hash);
    const other = { ...data, tenant: "other" };
    expect(findingEvent({ ...fields, data: other }).event.id).not.toBe(made.event.id);
  },
);

test("a finding of a newer version passes, one without what it is about does not", () => {
  const { event } = findingEvent({
    data: FINDINGS[0] as never,
    time: TIME,
    component: "continuity",
  });
  const data = event.data as FindingEvent["data"];
  const open = (changed: object): number =>
    validateOpen({ ...event, data: { ...data, ...changed } }).length;
  expect(open({ finding: "UNENROLLED", more: 1 })).toBe(0);
  expect(open({ missing: undefined })).toBe(1);
  expect(open({ of: undefined })).toBe(1);
  expect(open({ finding: "gap; drop table" })).toBe(1);
});

const check: Check = {
  permission: "read",
  resource: { type: "ticket", id: "T-1042" },
  subject: { type: "user", id: "auth0|alice" },
  verdict: "allow",
  engine: "spicedb",
  durationUs: 0,
};

const FIELDS: SpanDecisionFields = {
  source: "urn:countersign:connector:decisions",
  traceId: "4b".repeat(16),
  spanId: "53".repeat(8),
  time: TIME,
  tenant: "acme",
  mode: "enforce",
  decision: "allow",
  reason: "permitted",
  effect: "run",
  call: { method: "tools/call", name: "read_ticket", transport: "http", gate: "in_process" },
  nameKnown: false,
  human: {
    issuer: "https://idp.example",
    subject: "auth0|alice",
    assurance: "bearer",
    method: "bearer",
  },
  checks: [check],
  server: { id: "urn:mcp:tickets" },
  policy: { digest: `sha256:${HASH}` },
  durationUs: 900,
};

test("a decision span becomes an event without a chain, by the place of the span", () => {
  const made = spanDecision(FIELDS);
  expect(made.event).toMatchObject({
    id: spanDecisionId(FIELDS.source, FIELDS.traceId, FIELDS.spanId),
    source: FIELDS.source,
    data: { evidence: "span", decision: "allow", checks: [{ permission: "read" }] },
  });
  expect("chain" in made.event.data).toBe(false);
  expect(validateClosed(made.event)).toEqual([]);
  expect(unseal(made.bytes).hash).toBe(made.hash);
  expect(spanDecision(FIELDS).hash).toBe(made.hash);
  expect(spanDecision({ ...FIELDS, spanId: "54".repeat(8) }).event.id).not.toBe(made.event.id);
});

const bad: readonly (readonly [string, Partial<SpanDecisionFields>])[] = [
  ["data/effect", { decision: "deny", reason: "forbidden" }],
  ["data/reason", { reason: "because" as never }],
  ["data/checks/0/engine", { checks: [{ ...check, engine: "opa" as never }] }],
  ["resource.id is not encoded", { checks: [{ ...check, resource: { type: "t", id: "a b" } }] }],
  [
    "holds what looks like",
    { checks: [{ ...check, resource: { type: "t", id: "4111111111111111" } }] },
  ],
  ["server.id is empty", { server: { id: "s".repeat(257) } }],
  ["human.subject is empty", { human: { ...FIELDS.human, subject: "" } as never }],
  ["source", { source: "urn:other" }],
];

test.each(bad)("no event, and a reason without a value: %s", (reason, change) => {
  const made = (): unknown => spanDecision({ ...FIELDS, ...change });
  expect(made).toThrow(expect.objectContaining({ code: "INPUT_INVALID" }));
  expect(made).toThrow(reason);
  expect(made).not.toThrow("4111");
});

test("free text is bounded, neutral, and without what a detector knows, whatever a span says", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 400 }),
      fc.string({ unit: "binary", minLength: 1, maxLength: 300 }),
      (name, agent) => {
        const call = { ...FIELDS.call, name: `${name}alice@example.com` };
        const made = spanDecision({ ...FIELDS, call, agent: { claimed: { name: agent } } });
        expect(Buffer.from(made.bytes).toString()).not.toContain("alice@example.com");
        expect(findLeak(made.event)).toBeUndefined();
        expect(validateClosed(made.event)).toEqual([]);
      },
    ),
    { numRuns: 200 },
  );
});
