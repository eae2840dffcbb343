import canonicalize from "canonicalize";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { BOUNDS, overBound } from "./bounds.ts";
import {
  type DecisionFields,
  draftDecision,
  draftHeartbeat,
  draftLost,
  draftOutcome,
  draftStart,
  draftStop,
  type EventDraft,
} from "./draft.ts";
import type { Check, Counters, Human } from "./event.ts";
import { encodeObjectId } from "./object-id.ts";
import { decisionOf, REASONS } from "./reason.ts";
import { GENESIS, seal, type SealedEvent, unseal } from "./seal.ts";
import { uuidv7 } from "./uuid.ts";
import { validateClosed } from "./validate.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const CHAIN = { emitter: "e-1", epoch: "b".repeat(32), seq: 0, prev: GENESIS };
const TIME = "2026-11-22T09:00:00.000Z";
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-53995c3f42cd8ad8-01";

const CALL = { method: "tools/call", name: "read", transport: "stdio", gate: "guard" } as const;
const FIELDS: DecisionFields = {
  id: "01a2027b-e3d4-728a-9347-6e9986773eb1",
  tenant: "acme",
  mode: "enforce",
  decision: "allow",
  reason: "permitted",
  effect: "run",
  call: CALL,
  nameKnown: true,
  server: { id: "urn:mcp:s" },
  policy: { digest: DIGEST },
  durationUs: 7,
};
const HUMAN: Human = { issuer: "i", subject: "s", assurance: "bearer", method: "bearer" };
const CHECK: Check = {
  permission: "read",
  resource: { type: "ticket", id: "T-1" },
  subject: { type: "user", id: "u" },
  verdict: "allow",
  engine: "spicedb",
  durationUs: 1,
};

/** Hostile text: any UTF-16, often too long. */
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.string({ unit: "grapheme", maxLength: 400 }),
  fc.constantFrom("\ud800", "\\", "\u202e\u202e", '"', "a\nb", "é".repeat(200)),
);
const name = text.filter((value) => value !== "");
const count = fc.oneof(
  fc.nat(),
  fc.double(),
  fc.integer(),
  fc.constantFrom(NaN, Infinity, 2 ** 60),
);
const id = fc
  .string({ unit: "binary", minLength: 1, maxLength: 40 })
  .map((value) => encodeObjectId(value));
const object = fc.record({ type: fc.constantFrom("user", "a/b"), id });
const principal = fc.record({
  issuer: fc.string({ unit: "binary", minLength: 1, maxLength: 60 }),
  subject: fc.string({ unit: "binary", minLength: 1, maxLength: 30 }),
});
const check: fc.Arbitrary<Check> = fc.record(
  {
    permission: fc.stringMatching(/^[a-z_]{1,64}$/),
    resource: object,
    subject: object,
    verdict: fc.constantFrom("allow", "deny", "conditional", "error"),
    reason: fc.constantFrom("timeout", "missing_context"),
    engine: fc.constantFrom("spicedb", "relationships"),
    consistencyToken: fc.string({ unit: "binary", maxLength: 80 }),
    expiresAt: fc.constant(TIME),
    contextKeys: fc.array(fc.string(), { maxLength: 20 }),
    durationUs: count,
  },
  { requiredKeys: ["permission", "resource", "subject", "verdict", "engine", "durationUs"] },
);
const binding = fc.record(
  {
    jkt: fc.constant("a".repeat(43)),
    jti: fc.string({ minLength: 1, maxLength: 100 }),
    tokenSha256: fc.constant("c".repeat(64)),
  },
  { requiredKeys: [] },
);
const human: fc.Arbitrary<Human> = fc
  .tuple(
    principal,
    fc.record(
      {
        assurance: fc.constantFrom("call_bound", "bearer", "os_user"),
        method: fc.constantFrom("call_proof", "bearer", "os_account"),
        authTime: fc.constant(TIME),
        binding,
      },
      { requiredKeys: ["assurance", "method"] },
    ),
  )
  .map(([who, how]) => ({ ...how, ...who }) as Human);
const agent = fc.record(
  {
    id: fc.string({ unit: "binary", minLength: 1, maxLength: 30 }),
    claimed: fc.record({ name: text, version: text }, { requiredKeys: [] }),
    actors: fc.array(principal, { maxLength: 8 }),
  },
  { requiredKeys: [] },
);
const server = fc.record(
  { id: fc.string({ minLength: 1, maxLength: 60 }), name: text, version: text },
  { requiredKeys: ["id"] },
);
const call = fc.record(
  {
    method: text,
    name,
    transport: fc.constantFrom("stdio", "http"),
    gate: fc.constantFrom("in_process", "guard"),
    protocolVersion: text,
    requestId: fc.oneof(text, fc.integer(), fc.double()),
    digest: fc.constant(`hmac-sha256:k1:${"a".repeat(43)}`),
  },
  { requiredKeys: ["method", "transport", "gate"] },
);
const reason = fc.constantFrom(...REASONS.allow, ...REASONS.deny, ...REASONS.error);
const decisionFields = fc
  .tuple(
    fc.record(
      {
        call,
        nameKnown: fc.boolean(),
        human,
        agent,
        checks: fc.array(check, { maxLength: 32 }),
        list: fc.record({ offered: count, shown: count }),
        server,
        durationUs: count,
        traceparent: fc.oneof(text, fc.constant(TRACEPARENT)),
      },
      { requiredKeys: ["call", "nameKnown", "server", "durationUs"] },
    ),
    reason,
    fc.option(text, { nil: undefined }),
  )
  .map(([fields, why, rule]): DecisionFields => {
    const verdict = decisionOf(why);
    return {
      ...FIELDS,
      ...(fields as Partial<DecisionFields>),
      reason: why,
      decision: verdict,
      effect: verdict === "allow" ? "run" : "block",
      policy: rule === undefined ? { digest: DIGEST } : { digest: DIGEST, rule },
    };
  })
  .filter((fields) => overBound(fields) === undefined);
const counters = fc.record({
  allow: fc.nat(),
  deny: fc.nat(),
  error: fc.nat(),
  outcomes: fc.nat(),
  notRun: fc.nat(),
  auditDenied: fc.nat(),
  unrecorded: fc.nat(),
  withheld: fc.nat(),
  droppedNotifications: fc.nat(),
}) as fc.Arbitrary<Counters>;

/** What every sealed event must be: valid, canonical by somebody else's hand, and readable again. */
function holds(draft: EventDraft): SealedEvent {
  const sealed = seal(draft, CHAIN, TIME);
  const json = Buffer.from(sealed.bytes).toString("utf8");
  expect(json).toBe(canonicalize(sealed.event));
  expect(validateClosed(JSON.parse(json))).toEqual([]);
  const read = unseal(sealed.bytes);
  expect(read.hash).toBe(sealed.hash);
  expect(read.event).toEqual(sealed.event);
  return sealed;
}

test("decisions of any fields are valid, and in RFC 8785 order as they are built", () => {
  fc.assert(
    fc.property(decisionFields, (fields) => {
      expect(holds(draftDecision(fields)).bytes.length).toBeLessThanOrEqual(BOUNDS.eventBytes);
    }),
    { numRuns: 300 },
  );
});

test("so are all other kinds", () => {
  const outcome = fc.record(
    { call, durationUs: count, rpcCode: fc.oneof(fc.integer(), fc.double()), traceparent: text },
    { requiredKeys: ["call", "durationUs"] },
  );
  const sdk = fc.record({
    package: text,
    version: text,
    format: fc.constantFrom("esm", "cjs"),
    patched: fc.boolean(),
  });
  const start = fc.record(
    {
      epochNumber: fc.integer({ min: 1, max: 1e6 }),
      previous: fc.constant({ epoch: "c".repeat(32), seq: 3, hash: GENESIS, end: "stop" as const }),
      server,
      coverage: fc.record({ sdks: fc.array(sdk, { maxLength: 20 }) }),
      runtime: fc.record({ countersign: text, node: text, os: text }),
      auditDenied: fc.nat(),
    },
    { requiredKeys: ["epochNumber", "server", "coverage", "runtime"] },
  );
  fc.assert(
    fc.property(outcome, start, counters, fc.nat(), (one, two, three, uptimeMs) => {
      holds(
        draftOutcome({
          id: uuidv7(),
          tenant: "acme",
          decisionId: uuidv7(),
          status: "completed",
          ...(one as { call: DecisionFields["call"]; durationUs: number }),
        } as Parameters<typeof draftOutcome>[0]),
      );
      holds(
        draftStart({
          tenant: "acme",
          mode: "observe",
          durability: "journal",
          gate: "guard",
          policy: { digest: DIGEST, default: "deny" },
          ...two,
        } as Parameters<typeof draftStart>[0]),
      );
      const journal = { bytes: 1, unacknowledged: 2, oldestUnacknowledgedMs: 3 };
      holds(draftHeartbeat({ tenant: "acme", uptimeMs, counters: three, journal }));
      const last = holds(
        draftStop({ tenant: "acme", reason: "signal", uptimeMs, counters: three }),
      );
      expect(last.event.type).toBe("dev.countersign.stop.v1");
    }),
  );
  const records = { epoch: "d".repeat(32), fromSeq: 1, toSeq: 2 };
  holds(draftLost({ tenant: "t", what: "records", count: 2, reason: "journal_corrupt", records }));
  const calls = { since: TIME, until: TIME };
  holds(draftLost({ tenant: "t", what: "calls", count: 2, reason: "observe", calls }));
});

const long = (length: number): Check => ({
  ...CHECK,
  permission: "p".repeat(64),
  resource: { type: "t", id: "r".repeat(length) },
  subject: { type: "t", id: "s".repeat(length) },
  consistencyToken: '"'.repeat(512),
  contextKeys: Array.from({ length: 16 }, (_, key) => `"${key}`.padEnd(64, '"')),
  expiresAt: TIME,
  reason: "invalid_request",
  verdict: "conditional",
  engine: "relationships",
  durationUs: Number.MAX_SAFE_INTEGER,
});

test("the largest event that overBound lets through can be sealed", () => {
  const actors = Array.from({ length: 2 }, () => ({
    issuer: "i".repeat(512),
    subject: '"'.repeat(256),
  }));
  const most: Partial<DecisionFields> = {
    human: { ...HUMAN, issuer: '"'.repeat(512), subject: '"'.repeat(256) },
    agent: {
      id: '"'.repeat(256),
      actors,
      claimed: { name: '"'.repeat(300), version: '"'.repeat(300) },
    },
    server: { id: '"'.repeat(256), name: '"'.repeat(256), version: '"'.repeat(256) },
    call: { ...CALL, name: '"'.repeat(256) },
    policy: { digest: DIGEST, rule: '"'.repeat(256) },
    durationUs: Number.MAX_SAFE_INTEGER,
  };
  let sealedOne = 0;
  for (let checks = 1; checks <= 32; checks += 1) {
    for (let length = 1024; length > 0; length -= 33) {
      const fields = {
        ...FIELDS,
        ...most,
        checks: Array.from({ length: checks }, () => long(length)),
      };
      if (overBound(fields) !== undefined) continue;
      sealedOne += 1;
      holds(draftDecision(fields));
      break;
    }
  }
  expect(sealedOne).toBe(32);
});
