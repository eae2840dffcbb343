import { expect, test } from "vitest";
import { draftDecision, draftOutcome, draftStart, type DecisionFields } from "./draft.ts";
import { errorCode } from "./error.ts";
import type { Check, CountersignEvent } from "./event.ts";
import { findLeak, leakInIds } from "./leak.ts";
import { encodeObjectId } from "./object-id.ts";
import { GENESIS, seal, type SealedEvent, unseal, withheldEvent } from "./seal.ts";
import { uuidv7 } from "./uuid.ts";
import { validateClosed, validateOpen } from "./validate.ts";

const CHAIN = { emitter: "e-1", epoch: "b".repeat(32), seq: 0, prev: GENESIS };
const TIME = "2026-11-22T09:00:00.000Z";
const FIELDS: DecisionFields = {
  id: "01a2027b-e3d4-728a-9347-6e9986773eb1",
  tenant: "acme",
  mode: "enforce",
  decision: "deny",
  reason: "forbidden",
  effect: "block",
  call: { method: "tools/call", name: "read", transport: "stdio", gate: "guard" },
  nameKnown: true,
  server: { id: "urn:mcp:s", name: "s" },
  policy: { digest: `sha256:${"a".repeat(64)}` },
  agent: { claimed: { name: "agent" } },
  durationUs: 7,
};

function sealed(): SealedEvent {
  return seal(draftDecision(FIELDS), CHAIN, TIME);
}

type Loose = Record<string, unknown> & { data: Record<string, unknown> };

function plain(): Loose {
  return JSON.parse(Buffer.from(sealed().bytes).toString("utf8")) as Loose;
}

function failure(action: () => unknown): { code: unknown; message: string } {
  try {
    action();
  } catch (error) {
    return { code: errorCode(error), message: (error as Error).message };
  }
  return { code: undefined, message: "" };
}

test("unseal refuses what is not the one form of an event", () => {
  const text = Buffer.from(sealed().bytes).toString("utf8");
  const refused: readonly (readonly [string, string | Uint8Array])[] = [
    ["not JSON", text.slice(0, -1)],
    ["not JSON", `\ufeff${text}`],
    ["not UTF-8", Buffer.concat([Buffer.from(text), Buffer.from([0xff])])],
    ["not in canonical form", `${text}\n`],
    ["not in canonical form", ` ${text}`],
    ["not in canonical form", JSON.stringify({ z: 1, a: 2 })],
    ["not in canonical form", '{"a":1,"a":1}'],
    ["not in canonical form", '{"a":1.0}'],
    ["not in canonical form", '{"a":-0}'],
    ["not in canonical form", '{"a":"\\u0061"}'],
    ["not in canonical form", '{"__proto__":{"b":1},"__proto__":{"b":1}}'],
    ["null and empty strings", '{"a":null}'],
    ["null and empty strings", '{"a":""}'],
    ["not an integer", '{"a":1.5}'],
    ["not an integer", '{"a":9007199254740993}'],
    ["not Unicode", '{"a":"\\ud800"}'],
    ["not ASCII", '{"é":1}'],
    ["nested deeper", `{"a":${"[".repeat(5000)}${"]".repeat(5000)}}`],
    ["not a JSON object", "[]"],
    ["not a JSON object", "1"],
    ["not a JSON object", "null"],
    ["over 32768 bytes", `{"a":"${"x".repeat(32_768)}"}`],
  ];
  for (const [why, bytes] of refused) {
    const { code, message } = failure(() => unseal(Buffer.from(bytes)));
    expect(`${String(code)} ${message}`).toContain(`INPUT_INVALID unseal: `);
    expect(message).toContain(why);
  }
  expect(unseal(Buffer.from('{"10":1,"9":2,"a":{"b":[1,"x",true]}}')).hash).toHaveLength(64);
});

test("a refused seal names the path, never the value, and a draft is sealed once", () => {
  const secret = "s3cret value";
  const bad = draftDecision({ ...FIELDS, tenant: "t", policy: { digest: secret } });
  const { code, message } = failure(() => seal(bad, CHAIN, TIME));
  expect(code).toBe("BUG");
  expect(message).toContain("/data/policy/digest");
  expect(message).not.toContain(secret);
  expect(failure(() => seal(draftDecision(FIELDS), CHAIN, "yesterday")).message).toContain("/time");
  expect(failure(() => seal(draftDecision(FIELDS), { ...CHAIN, seq: -1 }, TIME)).code).toBe("BUG");
  const draft = draftDecision(FIELDS);
  seal(draft, CHAIN, TIME);
  expect(failure(() => seal(draft, CHAIN, TIME))).toMatchObject({ code: "BUG" });
});

test("the closed form refuses what the open form lets pass", () => {
  const cases: readonly ((event: Loose) => unknown)[] = [
    (event) => (event["extra"] = 1),
    (event) => (event.data["extra"] = { deep: [1] }),
    (event) => ((event.data["call"] as Loose)["extra"] = "x"),
    (event) => (event.data["reason"] = "a_later_reason"),
  ];
  for (const change of cases) {
    const event = plain();
    change(event);
    expect(validateOpen(event)).toEqual([]);
    expect(validateClosed(event)).toHaveLength(1);
  }
});

test("both forms refuse what is wrong", () => {
  const cases: readonly (readonly [string, (event: Loose) => unknown])[] = [
    ["/type", (event) => (event["type"] = "dev.countersign.decision.v2")],
    ["/type", (event) => (event["type"] = "dev.countersign.grant.v1")],
    ["/type", (event) => delete event["type"]],
    ["/id", (event) => (event["id"] = "x")],
    ["/time", (event) => (event["time"] = "2026-11-22T09:00:00Z")],
    ["/source", (event) => (event["source"] = "urn:other:e")],
    ["/data/effect", (event) => (event.data["effect"] = "run")],
    ["/data", (event) => (event.data["evidence"] = "hearsay")],
    ["/data", (event) => delete event.data["chain"]],
    ["/data", (event) => (event.data["evidence"] = "span")],
    ["/data/reason", (event) => (event.data["reason"] = "Not A Reason")],
    ["/data/checks", (event) => (event.data["checks"] = [])],
    ["/data/human", (event) => (event.data["human"] = { issuer: "i", subject: "s" })],
    ["/data/chain/seq", (event) => ((event.data["chain"] as Loose)["seq"] = 2 ** 53)],
    ["/data/call/nameWithheld", (event) => ((event.data["call"] as Loose)["nameWithheld"] = false)],
  ];
  for (const [path, change] of cases) {
    for (const validate of [validateClosed, validateOpen]) {
      const event = plain();
      change(event);
      expect(validate(event).map((problem) => problem.path)).toEqual([path]);
    }
  }
  for (const value of [null, 1, "x", [], {}]) expect(validateOpen(value)).toHaveLength(1);
});

test("evidence from a span has no chain, and passes both forms", () => {
  const event = plain();
  delete event.data["chain"];
  event.data["evidence"] = "span";
  event["source"] = "urn:countersign:connector:decisions";
  expect(validateClosed(event)).toEqual([]);
  expect(validateOpen(event)).toEqual([]);
});

test("a withheld event stands for the original: same bytes each time, valid at intake, not sealable", () => {
  const original = sealed();
  const withheld = withheldEvent(original, "card", "data.checks[0].resource.id");
  expect(withheld.event).toMatchObject({
    source: "urn:countersign:connector:intake",
    time: TIME,
    data: { detector: "card", of: { seq: 0, hash: original.hash }, tenant: "acme" },
  });
  expect(withheld.event.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8/);
  expect(withheldEvent(original, "card", "data.checks[0].resource.id").hash).toBe(withheld.hash);
  expect(validateOpen(withheld.event)).toEqual([]);
  expect(validateClosed(withheld.event)).toHaveLength(1);
  expect(unseal(withheld.bytes).hash).toBe(withheld.hash);
});

const CHECK: Check = {
  permission: "read",
  resource: { type: "ticket", id: "T-1" },
  subject: { type: "user", id: "u" },
  verdict: "deny",
  engine: "spicedb",
  durationUs: 1,
};

const withIds = (resource: string, subject: string): Parameters<typeof leakInIds>[0] => [
  CHECK,
  {
    resource: { type: "t", id: encodeObjectId(resource) },
    subject: { type: "user", id: encodeObjectId(subject, true) },
  },
];

test("leaks in ids are found behind the encoding, and addresses are no leak", () => {
  expect(leakInIds(withIds("alice@example.com", "bob@example.com"))).toBeUndefined();
  expect(leakInIds(withIds("pay 4111 1111 1111 1111", "u"))).toEqual({
    detector: "card",
    member: "checks[1].resource.id",
  });
  expect(leakInIds(withIds("x", `sk-ant-${"a1B2".repeat(8)}`))).toEqual({
    detector: "api_key",
    member: "checks[1].subject.id",
  });
  expect(leakInIds(withIds("175298230041234567890", "1732267200000"))).toBeUndefined();
});

test("intake looks where the builders look, and finds nothing in what they made", () => {
  const card = "4111 1111 1111 1111";
  const leaky = draftDecision({
    ...FIELDS,
    call: { ...FIELDS.call, name: card },
    agent: { claimed: { name: card, version: card } },
    server: { id: "s", name: card, version: card },
    checks: [CHECK],
  });
  expect(findLeak(seal(leaky, CHAIN, TIME).event)).toBeUndefined();
  const members: readonly (readonly [string, (event: Loose) => unknown])[] = [
    ["subject", (event) => (event["subject"] = card)],
    ["data.call.name", (event) => ((event.data["call"] as Loose)["name"] = card)],
    ["data.call.method", (event) => ((event.data["call"] as Loose)["method"] = card)],
    ["data.agent.claimed.name", (event) => (event.data["agent"] = { claimed: { name: card } })],
    [
      "data.agent.claimed.version",
      (event) => (event.data["agent"] = { claimed: { version: card } }),
    ],
    ["data.server.name", (event) => (event.data["server"] = { id: "s", name: card })],
    ["data.server.version", (event) => (event.data["server"] = { id: "s", version: card })],
    [
      "data.checks[0].resource.id",
      (event) => {
        const resource = { type: "t", id: encodeObjectId(card) };
        event.data["checks"] = [{ ...CHECK, resource }];
      },
    ],
  ];
  for (const [member, change] of members) {
    const event = plain();
    change(event);
    expect(validateOpen(event)).toEqual([]);
    expect(findLeak(event as unknown as CountersignEvent)).toEqual({ detector: "card", member });
  }
});

test("other kinds have fewer places to look", () => {
  const outcome = draftOutcome({
    id: uuidv7(),
    tenant: "t",
    decisionId: FIELDS.id,
    status: "completed",
    call: { method: "tools/call", name: "alice@example.com" },
    durationUs: 1,
  });
  expect(findLeak(outcome.event)).toBeUndefined();
  const start = draftStart({
    tenant: "t",
    epochNumber: 1,
    mode: "enforce",
    durability: "journal",
    gate: "guard",
    server: { id: "s", name: "alice@example.com" },
    policy: { digest: FIELDS.policy.digest, default: "deny" },
    runtime: { countersign: "1", node: "2", os: "3" },
    coverage: { sdks: [] },
  });
  expect(start.withheld).toBe(1);
  expect(findLeak(start.event)).toBeUndefined();
});
