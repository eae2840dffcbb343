// Decision spans become events, or dead letters that say why; everything else on a span stays where it is.
import {
  type DecisionEvent,
  findLeak,
  silentLogger,
  spanDecisionId,
  validateClosed,
} from "@countersign/model";
import {
  type AnyValue,
  type Component,
  type Consumer,
  createMetrics,
  type Decisions,
  type KeyValue,
  type Letter,
  type Runtime,
  type SentBy,
  type Traces,
} from "@countersign/pipeline";
import { expect, test } from "vitest";
import { encodeProto } from "../otlp/encode-proto.ts";
import { TRACE_REQUEST } from "../otlp/message.ts";
import { wireTraces } from "../otlp/wire-traces.ts";
import { SIGNAL } from "../testing/exporters.ts";
import { createRandom } from "../testing/random.ts";
import { decisionsConnector } from "./decisions.ts";

const SOURCE = "urn:countersign:connector:decisions";
const TRACE = "4b".repeat(16);
const SPAN = "53".repeat(8);

type Attributes = Readonly<Record<string, string | number | readonly string[] | undefined>>;

const DENIED: Attributes = {
  "countersign.decision": "deny",
  "countersign.reason": "forbidden",
  "countersign.effect": "block",
  "countersign.assurance": "bearer",
  "countersign.human.issuer": "https://idp.example",
  "countersign.human.subject": "auth0|alice",
  "countersign.tenant": "acme",
  "countersign.permission": "add_ticket",
  "countersign.resource.type": "queue",
  "countersign.resource.id": "r=26d/billing=2Eeu",
  "countersign.subject.type": "user",
  "countersign.subject.id": "auth0|5f7c",
  "countersign.engine": "spicedb",
  "countersign.policy.digest": `sha256:${"ab".repeat(32)}`,
  "countersign.policy.rule": "tools.move_ticket",
  "mcp.method.name": "tools/call",
  "gen_ai.tool.name": "move_ticket",
};

function valueOf(value: string | number | readonly string[]): AnyValue {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "number") return { intValue: String(value) };
  return { arrayValue: { values: value.map((one) => ({ stringValue: one })) } };
}

const pairs = (attributes: Attributes): readonly KeyValue[] =>
  Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value: valueOf(value) }],
  );

function spans(attributes: readonly KeyValue[], more: object = {}, sentBy?: SentBy): Traces {
  const span = {
    traceId: TRACE,
    spanId: SPAN,
    name: "authorize",
    flags: 0x100,
    startTimeUnixNano: "1795338003412000001",
    endTimeUnixNano: "1795338003413900001",
    attributes,
    ...more,
  };
  const resource = { attributes: pairs({ "service.name": "tickets" }) };
  return {
    resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }],
    ...(sentBy === undefined ? {} : { sentBy }),
  };
}

interface World {
  readonly connector: Component & Consumer<Traces>;
  readonly events: Decisions["events"][number][];
  readonly letters: Letter[];
}

function world(config: object = {}): World {
  const events: World["events"] = [];
  const letters: Letter[] = [];
  const runtime = {
    id: "decisions",
    log: silentLogger,
    metrics: createMetrics(),
    report: () => undefined,
    service: { deadLetters: { deposit: async (some: Letter[]) => void letters.push(...some) } },
  } as unknown as Runtime;
  const consumer = { consume: async (batch: Decisions) => void events.push(...batch.events) };
  const connector = decisionsConnector.create({ transport: "http", ...config } as never, runtime, {
    traces: [],
    logs: [],
    decisions: [{ pipeline: "decisions", consumer }],
  }) as World["connector"];
  return { connector, events, letters };
}

async function made(batch: Traces, config: object = {}): Promise<World> {
  const one = world(config);
  await one.connector.consume(batch, SIGNAL);
  return one;
}

test("a decision span becomes the event that it is evidence of", async () => {
  const { events, letters } = await made(spans(pairs(DENIED)));
  expect(letters).toEqual([]);
  expect(events.map(({ event }) => event)).toEqual([
    expect.objectContaining({
      id: spanDecisionId(SOURCE, TRACE, SPAN),
      source: SOURCE,
      time: "2026-11-22T09:00:03.413Z",
      subject: "tools/call/move_ticket",
      traceparent: `00-${TRACE}-${SPAN}-01`,
      data: {
        tenant: "acme",
        evidence: "span",
        mode: "enforce",
        decision: "deny",
        reason: "forbidden",
        effect: "block",
        durationUs: 1900,
        server: { id: "tickets" },
        policy: { digest: `sha256:${"ab".repeat(32)}`, rule: "tools.move_ticket" },
        call: {
          method: "tools/call",
          name: "move_ticket",
          transport: "http",
          gate: "in_process",
        },
        human: {
          issuer: "https://idp.example",
          subject: "auth0|alice",
          assurance: "bearer",
          method: "bearer",
        },
        checks: [
          {
            permission: "add_ticket",
            resource: { type: "queue", id: "r=26d/billing=2Eeu" },
            subject: { type: "user", id: "auth0|5f7c" },
            verdict: "deny",
            engine: "spicedb",
            durationUs: 0,
          },
        ],
      },
    }),
  ]);
  expect(validateClosed(events[0]?.event)).toEqual([]);
});

const TWO: Attributes = {
  ...DENIED,
  "countersign.check.count": 2,
  "countersign.check.permissions": ["edit", "add_ticket"],
  "countersign.check.resources": ["ticket:T-1", "queue:q"],
  "countersign.check.subjects": ["user:a", "user:a"],
  "countersign.check.verdicts": ["allow", "deny"],
};

async function dataOf(attributes: Attributes): Promise<DecisionEvent["data"]> {
  const { events, letters } = await made(spans(pairs(attributes)));
  expect(letters).toEqual([]);
  return events[0]?.event.data as DecisionEvent["data"];
}

test("several checks, other transports and servers, an allowed list, nobody at all", async () => {
  expect((await dataOf(TWO)).checks).toHaveLength(2);
  expect((await dataOf({ ...DENIED, "network.transport": "pipe" })).call.transport).toBe("stdio");
  expect((await dataOf({ ...DENIED, "countersign.server.id": "urn:mcp:t" })).server.id).toBe(
    "urn:mcp:t",
  );
  const listed = await dataOf({
    "countersign.decision": "allow",
    "countersign.reason": "listed",
    "countersign.effect": "run",
    "countersign.assurance": "none",
    "countersign.tenant": "acme",
    "mcp.method.name": "tools/list",
  });
  expect(listed).not.toHaveProperty("human");
  expect(listed.policy.digest).toBe(`sha256:${"0".repeat(64)}`);
});

const refused: readonly (readonly [string, string, Attributes])[] = [
  ["attribute_missing", "countersign.reason", { ...DENIED, "countersign.reason": undefined }],
  ["attribute_missing", "countersign.effect", { ...DENIED, "countersign.effect": undefined }],
  ["attribute_missing", "countersign.assurance", { ...DENIED, "countersign.assurance": undefined }],
  ["attribute_missing", "mcp.method.name", { ...DENIED, "mcp.method.name": undefined }],
  ["attribute_missing", "countersign.tenant", { ...DENIED, "countersign.tenant": undefined }],
  ["attribute_missing", "countersign.engine", { ...DENIED, "countersign.engine": undefined }],
  [
    "attribute_missing",
    "countersign.resource.id",
    { ...DENIED, "countersign.resource.id": undefined },
  ],
  ["attribute_missing", "human.subject", { ...DENIED, "countersign.human.subject": undefined }],
  ["reason_unknown", "countersign.reason", { ...DENIED, "countersign.reason": "no idea" }],
  ["contradiction", "countersign.reason", { ...DENIED, "countersign.reason": "permitted" }],
  ["contradiction", "countersign.effect", { ...DENIED, "countersign.effect": "run" }],
  ["attribute_invalid", "countersign.engine", { ...DENIED, "countersign.engine": "opa" }],
  ["attribute_invalid", "countersign.decision", { ...DENIED, "countersign.decision": 1 }],
  ["attribute_invalid", "countersign.assurance", { ...DENIED, "countersign.assurance": "none" }],
  ["contradiction", "check.count", { ...TWO, "countersign.check.count": 3 }],
  ["contradiction", "check.permissions", { ...TWO, "countersign.check.subjects": ["user:a"] }],
  [
    "contradiction",
    "check.verdicts",
    {
      ...TWO,
      "countersign.decision": "allow",
      "countersign.reason": "permitted",
      "countersign.effect": "run",
    },
  ],
  [
    "attribute_missing",
    "countersign.permission",
    {
      ...DENIED,
      "countersign.decision": "allow",
      "countersign.reason": "permitted",
      "countersign.effect": "run",
      "countersign.permission": undefined,
    },
  ],
  ["event_invalid", "resource.id is not encoded", { ...DENIED, "countersign.resource.id": "a b" }],
  [
    "event_invalid",
    "looks like card",
    { ...DENIED, "countersign.resource.id": "4111111111111111" },
  ],
  ["event_invalid", "tenant", { ...DENIED, "countersign.tenant": "t".repeat(65) }],
];

test.each(refused)(
  "no event, and a letter that says why: %s %s",
  async (reason, about, attributes) => {
    const { events, letters } = await made(spans(pairs(attributes)));
    expect(events).toEqual([]);
    expect(letters).toEqual([
      expect.objectContaining({ reason: `span_${reason}`, component: "decisions" }),
    ]);
    expect(letters[0]?.detail).toContain(about);
    expect(letters[0]?.detail).toContain(`trace ${TRACE} span ${SPAN}`);
    expect(letters[0]).not.toHaveProperty("bytes");
    expect(JSON.stringify(letters)).not.toMatch(/4111|no idea|opa"|alice/);
  },
);

test.each([
  ["span_id_invalid", { spanId: "0".repeat(16) }],
  ["span_id_invalid", { traceId: "x\u001b[31m" }],
  ["span_time_invalid", { endTimeUnixNano: "0" }],
  ["span_time_invalid", { endTimeUnixNano: "1795338003412000000" }],
  ["span_attribute_repeated", { attributes: [...pairs(DENIED), ...pairs(DENIED)] }],
])("%s", async (reason, more) => {
  const { events, letters } = await made(spans(pairs(DENIED), more));
  expect([events.length, letters.map((letter) => letter.reason)]).toEqual([0, [reason]]);
  expect(JSON.stringify(letters)).not.toContain("[31m");
});

test("our own spans, and spans that say nothing of a decision, are none of its business", async () => {
  for (const more of [{ "countersign.evidence": "sealed" }, { "countersign.event.id": "x" }]) {
    const { events, letters } = await made(spans(pairs({ ...DENIED, ...more })));
    expect([events, letters]).toEqual([[], []]);
  }
  const { "countersign.decision": _none, ...plain } = DENIED;
  const { events, letters } = await made(spans(pairs(plain)));
  expect([events, letters]).toEqual([[], []]);
});

async function tenantOf(tenant: string | undefined, config: object, by?: SentBy): Promise<unknown> {
  const batch = spans(pairs({ ...DENIED, "countersign.tenant": tenant }), {}, by);
  const { events, letters } = await made(batch, config);
  return events[0]?.event.data.tenant ?? letters[0]?.reason;
}

test("the tenant is that of the credential; a span that says another is refused", async () => {
  const sentBy: SentBy = { tenant: "acme", emitter: "*" };
  expect(await tenantOf(undefined, {}, sentBy)).toBe("acme");
  expect(await tenantOf("acme", {}, sentBy)).toBe("acme");
  expect(await tenantOf("other", {}, sentBy)).toBe("span_tenant_mismatch");
  expect(await tenantOf(undefined, { tenant: "mine" })).toBe("mine");
  expect(await tenantOf("said", { tenant: "mine" })).toBe("said");
});

const asBytes = (batch: Traces): Traces =>
  wireTraces(Buffer.from(encodeProto(batch as never, TRACE_REQUEST)));

test("spans as bytes: read only when a mark is in them, refused when they are no spans", async () => {
  const { events } = await made(asBytes(spans(pairs(DENIED))));
  expect(events).toHaveLength(1);
  expect((await made(asBytes(spans(pairs({ a: "b" }))))).events).toEqual([]);
  const torn = Buffer.from("0a08120612044a020a7f", "hex");
  await expect(made(wireTraces(torn))).rejects.toMatchObject({
    code: "INPUT_INVALID",
  });
});

test("whatever stands on a span: an event that is valid and leaks nothing, or a letter", async () => {
  const random = createRandom(7);
  const canary = "alice@example.com";
  const values = [
    canary,
    "4111 1111 1111 1111",
    "\u202ea\u0000",
    "x".repeat(5000),
    "deny",
    "",
    "user:a",
  ];
  const keys = [...Object.keys(TWO), "password", "gen_ai.tool.call.arguments", "user.email"];
  let events = 0;
  for (let round = 0; round < 1500; round += 1) {
    const attributes = { ...(random.chance(0.5) ? DENIED : TWO) } as Record<string, unknown>;
    for (let at = random.below(3); at >= 0; at -= 1) {
      const value = random.pick(values);
      attributes[random.pick(keys)] = random.chance(0.2) ? [value, value] : value;
    }
    const one = await made(spans(pairs(attributes as Attributes)));
    const { "countersign.decision": mark } = attributes;
    expect(one.events.length + one.letters.length).toBe(mark === undefined ? 0 : 1);
    for (const { event, bytes } of one.events) {
      expect(validateClosed(event)).toEqual([]);
      expect(findLeak(event)).toBeUndefined();
      expect(Buffer.from(bytes).toString()).not.toMatch(/password|arguments|user\.email/);
    }
    expect(JSON.stringify(one.letters)).not.toContain(canary);
    events += one.events.length;
  }
  expect(events).toBeGreaterThan(200);
});
