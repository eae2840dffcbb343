import { expect, test } from "vitest";
import { overBound } from "./bounds.ts";
import { type DecisionFields, draftDecision, draftOutcome, draftStart } from "./draft.ts";
import { errorCode } from "./error.ts";
import type { Check, DecisionEvent, Human, OutcomeEvent, StartEvent } from "./event.ts";
import { uuidv7 } from "./uuid.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
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

function decision(fields: Partial<DecisionFields>): DecisionEvent["data"] {
  return (draftDecision({ ...FIELDS, ...fields }).event as DecisionEvent).data;
}

const named = (value: string, nameKnown: boolean): DecisionEvent["data"]["call"] =>
  decision({ nameKnown, call: { ...CALL, name: value } }).call;

const traced = (traceparent: string): unknown =>
  (draftDecision({ ...FIELDS, traceparent }).event as DecisionEvent).traceparent;

test("a name that nobody knows is recorded only if it looks like one", () => {
  expect(named("read_ticket", false)).toMatchObject({ name: "read_ticket" });
  expect(named("read ticket", false)).toMatchObject({ nameWithheld: true });
  expect(named("read ticket", false)).not.toHaveProperty("name");
  expect(named("read ticket", true)).toMatchObject({ name: "read ticket" });
  expect(named("a".repeat(129), false)).toMatchObject({ nameWithheld: true });
  expect(named("a".repeat(129), true)).toMatchObject({ name: "a".repeat(129) });
  expect(named("a\u202eb", true)).toMatchObject({ name: "a\\u{202E}b" });
  // The text of an escape is no escape.
  expect(named("a\\u{202E}b", true)).toMatchObject({ name: "a\\u{5C}u{202E}b" });
  expect(named("4111111111111111", false)).toMatchObject({ nameWithheld: true });
  expect(named("mail alice@example.com", true)).toMatchObject({ nameWithheld: true });
  expect(named("é".repeat(200), true).name).toBe(`${"é".repeat(126)}…`);
});

test("a secret that the cut would have split is seen all the same", () => {
  const value = `${"a ".repeat(122)}4111 1111 1111 1111`;
  expect(decision({ call: { ...CALL, name: value } }).call).toMatchObject({ nameWithheld: true });
});

test("what is withheld is counted, and the subject does not name it", () => {
  const draft = draftDecision({
    ...FIELDS,
    call: { ...CALL, name: "alice@example.com" },
    agent: { id: "a", claimed: { name: "4111111111111111", version: "1" } },
    server: { id: "s", name: "ok", version: "123-45-6789" },
  });
  const event = draft.event as DecisionEvent;
  expect(draft.withheld).toBe(3);
  expect(event.subject).toBe("tools/call");
  expect(event.data.agent).toEqual({ claimed: { version: "1" }, id: "a" });
  expect(event.data.server).toEqual({ id: "s", name: "ok" });
});

test("an agent of which nothing may be recorded is absent", () => {
  expect(decision({ agent: { claimed: { name: "a@b.example" } } })).not.toHaveProperty("agent");
  expect(decision({ agent: {} })).not.toHaveProperty("agent");
});

test("method, request id, protocol version and traceparent are recorded in their form or not at all", () => {
  expect(decision({ call: { ...CALL, method: "x y\n" } }).call.method).toBe("_OTHER");
  expect(decision({ call: { ...CALL, method: "vendor/alice@example.com" } }).call.method).toBe(
    "_OTHER",
  );
  expect(decision({ call: { ...CALL, method: "vendor/do.it" } }).call.method).toBe("vendor/do.it");
  const requestId = (value: string | number): string | undefined =>
    decision({ call: { ...CALL, requestId: value } }).call.requestId;
  expect(requestId(7)).toBe("7");
  expect(requestId(-7)).toBe("-7");
  expect(requestId("2024000000000000123")).toBe("2024000000000000123");
  expect(requestId("6f2c1c52-8b44-4b0e-9f0d-0f5a1f0d8a11")).toBe(
    "6f2c1c52-8b44-4b0e-9f0d-0f5a1f0d8a11",
  );
  expect(requestId("a:b")).toBe("a:b");
  const cards = ["4111111111111111", 4111111111111111, "b:4111-1111-1111-1111"];
  for (const bad of [1.5, NaN, "a b", "", "a".repeat(65), `sk_live_${"a1".repeat(12)}`, ...cards]) {
    expect(requestId(bad)).toBeUndefined();
  }
  const version = (protocolVersion: string): string | undefined =>
    decision({ call: { ...CALL, protocolVersion } }).call.protocolVersion;
  expect(version("2026-07-28")).toBe("2026-07-28");
  expect(version("<script>")).toBeUndefined();
  expect(traced(TRACEPARENT)).toBe(TRACEPARENT);
  expect(traced(`00-${"0".repeat(32)}-53995c3f42cd8ad8-01`)).toBeUndefined();
  expect(traced("garbage")).toBeUndefined();
});

test("an outcome repeats the call as its decision recorded it", () => {
  const recorded = decision({ call: { ...CALL, name: "a\\b\u202e" } }).call;
  const draft = draftOutcome({
    id: uuidv7(),
    tenant: "t",
    decisionId: FIELDS.id,
    status: "completed",
    call: recorded,
    durationUs: 1,
  });
  expect((draft.event as OutcomeEvent).data.call).toEqual({
    method: "tools/call",
    name: recorded.name,
  });
  expect((draft.event as OutcomeEvent).subject).toBe(`tools/call/${recorded.name}`);
});

test("what identifies is never cut: over the bound is asked before, and refused after", () => {
  const bad: readonly (readonly [string, Partial<DecisionFields>])[] = [
    ["human.subject", { human: { ...HUMAN, subject: "é".repeat(129) } }],
    ["human.issuer", { human: { ...HUMAN, issuer: "i".repeat(513) } }],
    ["human.subject", { human: { ...HUMAN, subject: "" } }],
    ["human.binding.jti", { human: { ...HUMAN, binding: { jti: "j".repeat(129) } } }],
    ["agent.id", { agent: { id: "\u202e".repeat(40) } }],
    ["agent.actors", { agent: { actors: Array.from({ length: 9 }, () => HUMAN) } }],
    ["agent.actors[0]", { agent: { actors: [{ issuer: "i", subject: "s".repeat(257) }] } }],
    ["checks", { checks: Array.from({ length: 33 }, () => CHECK) }],
    ["checks[0]", { checks: [{ ...CHECK, permission: "p".repeat(65) }] }],
  ];
  for (const [path, fields] of bad) {
    expect(overBound({ ...FIELDS, ...fields })).toBe(path);
    let code: unknown;
    try {
      draftDecision({ ...FIELDS, ...fields });
    } catch (error) {
      code = errorCode(error);
    }
    expect(`${path} ${String(code)}`).toBe(`${path} BUG`);
  }
  expect(overBound({ human: HUMAN, agent: { id: "a" }, checks: [CHECK] })).toBeUndefined();
});

test("of many checks with long tokens, the first keeps its token and all keep what identifies", () => {
  const contextKeys = Array.from({ length: 16 }, (_, key) => `key${key}`.padEnd(40, "k"));
  const long = { ...CHECK, consistencyToken: "t".repeat(512), contextKeys };
  const checks = Array.from({ length: 32 }, () => long);
  const recorded = decision({ checks }).checks as readonly Check[];
  expect(recorded).toHaveLength(32);
  expect(recorded[0]).toHaveProperty("consistencyToken");
  expect(recorded[1]).not.toHaveProperty("consistencyToken");
  expect(recorded[31]).toMatchObject({ resource: CHECK.resource, verdict: "allow" });
});

test("a start names every SDK copy, up to 16", () => {
  const sdk = { package: "p", version: "1", format: "esm", patched: true } as const;
  const draft = draftStart({
    tenant: "t",
    epochNumber: 1,
    mode: "enforce",
    durability: "journal",
    gate: "guard",
    server: { id: "s" },
    policy: { digest: DIGEST, default: "deny" },
    runtime: { countersign: "1", node: "2", os: "3" },
    coverage: { sdks: Array.from({ length: 20 }, () => sdk) },
  });
  expect((draft.event as StartEvent).data.coverage.sdks).toHaveLength(16);
});
