import { ROOT_CONTEXT, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";
import { silentLogger } from "@countersign/model";
import {
  type Component,
  type Consumer,
  createMetrics,
  type Span,
  type Traces,
} from "@countersign/pipeline";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { decodeProto } from "../otlp/decode-proto.ts";
import { TRACE_REQUEST } from "../otlp/message.ts";
import { otlpReceiver } from "../receivers/otlp.ts";
import { type SpanFields, sdkSpans } from "../testing/spans.ts";
import { redactProcessor } from "./redact.ts";

const SIGNAL = new AbortController().signal;
const metrics = createMetrics();
const runtime = {
  id: "redact",
  log: silentLogger,
  metrics,
  report: () => undefined,
  service: {} as never,
};

interface Redacted {
  readonly batch: Traces;
  readonly text: string;
  readonly spans: readonly Span[];
}

async function redact(batch: Traces, config: object = {}): Promise<Redacted> {
  const out: Traces[] = [];
  const next: Consumer<Traces> = { consume: async (one) => void out.push(one) };
  const settings = { preset: "mcp", allow: [], action: "mask", ...config };
  const processor = redactProcessor.create(
    settings as never,
    runtime,
    next as never,
  ) as unknown as Consumer<Traces>;
  await processor.consume(batch, SIGNAL);
  const [first] = out;
  const result = first as Traces;
  const spans = result.resourceSpans
    .flatMap((one) => one.scopeSpans ?? [])
    .flatMap((one) => one.spans ?? []);
  return { batch: result, text: textOf(result), spans };
}

/** What is in a batch, and its bytes. */
function textOf(batch: Traces): string {
  const bytes = batch.wire?.parts.map((part) => Buffer.from(part).toString("latin1")) ?? [];
  return JSON.stringify(batch.resourceSpans) + bytes.join("");
}

function wire(fields: readonly SpanFields[]): Traces {
  return decodeProto<Traces>(
    ProtobufTraceSerializer.serializeRequest(sdkSpans(fields)) as Uint8Array,
    TRACE_REQUEST,
  ).value;
}

const CARD = "4111 1111 1111 1111";
const EMAIL = "alice.smith@example.com";
const KEY = `ghp_${"a1B2c3D4e5".repeat(4).slice(0, 36)}`;
const SECRETS = [CARD, EMAIL, KEY];

/** A secret in every place of a span that a real SDK lets an application write to. */
function everywhere(secret: string): SpanFields {
  return {
    name: `tools/call ${secret}`,
    attributes: {
      "mcp.method.name": secret,
      "gen_ai.tool.name": `read ${secret}`,
      "server.address": secret,
      "gen_ai.tool.call.arguments": secret,
      "my.own": secret,
      "error.type": [secret, "x"] as never,
      [`otel.${secret}`]: "value",
    },
    resource: {
      "service.name": secret,
      "service.version": secret,
      "process.command_args": [secret],
      "host.name": secret,
    },
    events: [{ name: secret, attributes: { "exception.message": secret, "error.type": secret } }],
    links: [{ "mcp.method.name": secret, other: secret }],
    statusMessage: secret,
  };
}

test.each(SECRETS)("%s in every place of a real span comes out nowhere", async (secret) => {
  for (const action of ["mask", "drop"]) {
    const { text, spans } = await redact(wire([everywhere(secret)]), { action });
    expect(spans).toHaveLength(1);
    expect(text).not.toContain(secret);
    expect(text).not.toContain(secret.replaceAll(" ", ""));
  }
});

test.each([
  ["a number", { "error.type": 4_111_111_111_111_111 }],
  ["full-width digits", { "error.type": "４１１１１１１１１１１１１１１１" }],
  ["invisible characters between", { "error.type": "4111\u200b1111\u200b1111\u200b1111" }],
])("a card number as %s comes out nowhere", async (_how, attributes) => {
  const { spans } = await redact(wire([{ name: "a", attributes }]));
  const kept = JSON.stringify(spans[0]?.attributes ?? []);
  expect(kept.normalize("NFKC").replaceAll(/[^0-9]/g, "")).not.toContain("4111111111111111");
});

test("nested values: lists, maps, keys, bytes", async () => {
  const values = [
    { stringValue: EMAIL },
    {
      kvlistValue: {
        values: [
          { key: EMAIL, value: { stringValue: "x" } },
          { key: "k", value: { stringValue: KEY } },
        ],
      },
    },
    { arrayValue: { values: [{ arrayValue: { values: [{ stringValue: CARD }] } }] } },
    { bytesValue: Buffer.from(EMAIL).toString("base64") },
    { doubleValue: 4_111_111_111_111_111 },
  ];
  const attributes = [{ key: "error.type", value: { arrayValue: { values } } }];
  const spans = [{ traceId: "a".repeat(32), spanId: "b".repeat(16), name: "x", attributes }];
  const { text } = await redact({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
  for (const secret of [...SECRETS, Buffer.from(EMAIL).toString("base64"), "4111111111111111"]) {
    expect(text).not.toContain(secret);
  }
});

function keys(attributes: Span["attributes"] = []): readonly string[] {
  return attributes.map(({ key }) => key ?? "").toSorted();
}

test("what our own spans carry passes; opt-in, never, and the unknown do not", async () => {
  const allowed = {
    "mcp.method.name": "tools/call",
    "gen_ai.tool.name": "read_ticket",
    "countersign.event.id": "01a2027b-e3d4-728a-9347-6e9986773eb1",
    "countersign.decision": "allow",
    "countersign.policy.digest": `sha256:${"0123456789abcdef".repeat(4)}`,
    "server.port": 443,
    "otel.scope.name": "x",
  };
  const refused = {
    "mcp.resource.uri": "ticket://T-1",
    "mcp.session.id": "s",
    "countersign.resource.id": "T-1",
    "countersign.human.subject": "auth0|1",
    "url.full": "http://x/?token=1",
    "url.query": "q",
    "exception.stacktrace": "at x",
    "gen_ai.prompt": "hello",
    "http.request.header.authorization": "Bearer x",
  };
  const resource = {
    "service.version": "1",
    "deployment.environment.name": "prod",
    "process.pid": 4,
    "host.name": "h",
  };
  const { spans, batch } = await redact(
    wire([{ name: "tools/call read_ticket", attributes: { ...allowed, ...refused }, resource }]),
  );
  expect(keys(spans[0]?.attributes)).toEqual(Object.keys(allowed).toSorted());
  expect(spans[0]?.droppedAttributesCount).toBe(Object.keys(refused).length);
  expect(spans[0]?.name).toBe("tools/call read_ticket");
  const kept = keys(batch.resourceSpans[0]?.resource?.attributes);
  expect(kept).toEqual(["deployment.environment.name", "service.name", "service.version"]);
});

test("trace state, status messages, foreign schema URLs, ids that are none, and unknown members are gone", async () => {
  const good = { traceId: "a".repeat(32), spanId: "b".repeat(16) };
  const spans = [
    {
      ...good,
      name: "a",
      traceState: "vendor=secret",
      status: { code: 2, message: "secret" },
      links: [{ ...good, traceState: "secret" }],
    },
    { traceId: Buffer.from("secret").toString("hex"), spanId: good.spanId, name: "b" },
    {
      ...good,
      name: "c",
      parentSpanId: Buffer.from("secret").toString("hex"),
      extra: "secret",
      links: [{ traceId: "00", spanId: "01" }],
    },
  ];
  const { text, spans: kept } = await redact({
    resourceSpans: [
      {
        schemaUrl: "https://evil.example/secret",
        scopeSpans: [{ spans, schemaUrl: "https://opentelemetry.io/schemas/1.45.0" }],
      },
    ],
  });
  expect(text).not.toContain("secret");
  expect(text).not.toContain(Buffer.from("secret").toString("hex"));
  expect(text).toContain("https://opentelemetry.io/schemas/1.45.0");
  expect(kept.map(({ name }) => name)).toEqual(["a", "c"]);
  expect(kept[0]?.status).toEqual({ code: 2 });
});

test("values, lists and attributes are bounded", async () => {
  const many = Object.fromEntries(
    Array.from({ length: 300 }, (_, index) => [`otel.a${index}`, "x"]),
  );
  const long = { "error.type": "é".repeat(10_000) };
  const { spans } = await redact(
    wire([
      { name: "n".repeat(9000), attributes: many },
      { name: "b", attributes: long },
    ]),
  );
  expect(spans[0]?.attributes).toHaveLength(128);
  expect(Buffer.byteLength(spans[0]?.name ?? "")).toBeLessThanOrEqual(4096);
  expect(
    Buffer.byteLength(spans[1]?.attributes?.[0]?.value?.stringValue ?? ""),
  ).toBeLessThanOrEqual(4096);
});

test("`allow` adds keys, and what it lets through is scanned", async () => {
  const attributes = { "my.own": `mail ${EMAIL}`, other: "x" };
  const { spans } = await redact(wire([{ name: "a", attributes }]), { allow: ["my.own"] });
  expect(spans[0]?.attributes).toEqual([{ key: "my.own", value: { stringValue: "mail [email]" } }]);
});

/** A card fires in both. */
const ID = "019ab6c0-cba2-7107-8684-365503dad4bb";
const DIGEST = "sha256:87cb720f86956b30498011198181fe816f4e1492ec88ed81f8baee0d15674a29";
const CARDS = /7107-8684-365503|30498011198181/;

async function redactOne(key: string, value: string | string[]): Promise<string> {
  return (await redact(wire([{ name: "authorize", attributes: { [key]: value } }]))).text;
}

test("an event id and a policy's digest pass whatever their digits spell, and only in their own form", async () => {
  expect(await redactOne("countersign.event.id", ID)).toContain(ID);
  expect(await redactOne("countersign.policy.digest", DIGEST)).toContain(DIGEST);
  const others: readonly (readonly [string, string | string[]])[] = [
    ["countersign.event.id", DIGEST],
    ["countersign.policy.digest", ID],
    ["countersign.event.id", ID.toUpperCase()],
    ["countersign.event.id", `${ID}\n`],
    ["countersign.event.id", `${ID} ${ID}`],
    ["countersign.policy.digest", DIGEST.slice(0, -1)],
    ["countersign.event.id", [ID]],
    ["countersign.permission", ID],
  ];
  const texts = await Promise.all(others.map(([key, value]) => redactOne(key, value)));
  expect(texts.map((text) => CARDS.test(text))).toEqual(others.map(() => false));
});

test("every hit is counted by kind, once for each place", async () => {
  const fresh = createMetrics();
  const next: Consumer<Traces> = { consume: () => Promise.resolve() };
  const config = { preset: "mcp", allow: [], action: "mask" };
  const processor = redactProcessor.create(
    config as never,
    { ...runtime, metrics: fresh },
    next as never,
  ) as unknown as Consumer<Traces>;
  await processor.consume(
    wire([
      { name: EMAIL, attributes: { "error.type": CARD, x: "1", y: "2" }, statusMessage: "no" },
    ]),
    SIGNAL,
  );
  const counts = [...fresh.render().matchAll(/redacted_items_total\{kind="(\w+)".*\} (\d+)/g)].map(
    ([, kind, value]) => `${kind}=${value}`,
  );
  expect(counts.toSorted()).toEqual([
    "card=1",
    "email=1",
    "status_message=1",
    "unknown_attribute=2",
  ]);
});

test("no secret in free text survives, wherever it stands in it", async () => {
  const noise = fc.string({ maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...SECRETS), noise, noise, async (secret, before, after) => {
      const value = `${before} ${secret} ${after}`;
      const { text } = await redact(wire([{ name: value, attributes: { "error.type": value } }]));
      expect(text).not.toContain(secret);
    }),
    { numRuns: 200 },
  );
});

test("a real SDK and its real exporter over HTTP: planted secrets arrive nowhere", async () => {
  const out: Traces[] = [];
  const config = { preset: "mcp", allow: [], action: "mask" };
  const last: Consumer<Traces> = { consume: async (batch) => void out.push(batch) };
  const redactor = redactProcessor.create(
    config as never,
    runtime,
    last as never,
  ) as unknown as Consumer<Traces>;
  const http = {
    endpoint: "127.0.0.1:0",
    max_request_body_size: "4MiB",
    max_decompressed_size: "4MiB",
    max_concurrent_requests: 4,
    max_connections: 16,
    idle_timeout: "60s",
    header_timeout: "5s",
    read_timeout: "5s",
  };
  const receiver = otlpReceiver.create(
    { protocols: { http } } as never,
    { ...runtime, id: "otlp" },
    {
      traces: [{ pipeline: "traces", consumer: redactor }],
      logs: [],
      decisions: [],
    },
  ) as Component & { readonly url: string };
  await receiver.start(SIGNAL);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      "service.name": "tickets",
      "process.command": `run ${KEY}`,
    }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter: new OTLPTraceExporter({ url: `${receiver.url}/v1/traces` }),
      } as never),
    ],
  });
  const tracer = provider.getTracer("app");
  const parent = tracer.startSpan("tools/call read_ticket", {
    attributes: { "mcp.method.name": "tools/call", "app.card": CARD },
  });
  const child = tracer.startSpan(`charge ${CARD}`, {}, trace.setSpan(ROOT_CONTEXT, parent));
  child.recordException(new Error(`no such customer ${EMAIL}`));
  child.setStatus({ code: SpanStatusCode.ERROR, message: `refused ${EMAIL}` });
  child.addEvent(`key ${KEY}`);
  child.end();
  parent.end();
  await provider.forceFlush();
  await provider.shutdown();
  await receiver.stop(AbortSignal.timeout(5000));
  const text = out.map(textOf).join("");
  expect(text).toContain("tools/call read_ticket");
  expect(text).toContain("charge [card]");
  for (const secret of SECRETS) expect(text).not.toContain(secret);
});
