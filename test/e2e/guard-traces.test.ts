import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Scene, makeScene } from "./fixtures/guard/scene.ts";
import { type Wire, wire } from "./fixtures/guard/wire.ts";
import { type TraceReceiver, receiveTraces } from "./fixtures/sdk/trace-receiver.ts";

const ODD = join(import.meta.dirname, "fixtures", "guard", "odd-server.mjs");
const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";

let scene: Scene;
let receiver: TraceReceiver;
let guard: Wire;

beforeEach(async () => {
  scene = makeScene({
    entries: `tools:
  echo: { permission: use, resource: "tool:echo" }
  crash: { permission: use, resource: "tool:crash" }`,
    relationships: ["tool:echo#use@user:alice"],
  });
  receiver = await receiveTraces();
  guard = wire(scene.guard([process.execPath, ODD]), {
    ...scene.env,
    RECEIVED: join(scene.directory, "received"),
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
  });
  await guard.initialize();
});

afterEach(async () => {
  guard.child.stdin.end();
  await guard.exit;
  await receiver.close();
  scene.remove();
});

/** Spelled as no serialiser would. */
function line(meta: string): string {
  return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{ "name":"\\u0065cho","_meta":{${meta}},"arguments":{"text":"x","n":1.50} }}`;
}

test("the server's span hangs from the caller's, the server gets its context, the rest is the caller's bytes", async () => {
  guard.say(line(`"a":1, "traceparent":"00-${TRACE_ID}-00f067aa0ba902b7-01","tracestate":"v=1"`));
  guard.say({ jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "crash" } });
  await guard.answer(1);
  await guard.answer(2);
  guard.child.stdin.end();
  await guard.exit;
  const span = (name: string): (typeof receiver.spans)[number] | undefined =>
    receiver.spans.find((one) => one.name === name);
  const server = span("tools/call echo");
  expect(server).toMatchObject({ traceId: TRACE_ID, parentSpanId: "00f067aa0ba902b7" });
  expect(
    receiver.spans.filter(({ parentSpanId }) => parentSpanId === server?.spanId),
  ).toMatchObject([
    {
      name: "authorize",
      attributes: { "countersign.decision": "allow", "countersign.gate": "guard" },
    },
  ]);
  const received = readFileSync(join(scene.directory, "received"), "utf8").split("\n");
  expect(received).toContain(
    line(`"a":1, "traceparent":"00-${TRACE_ID}-${server?.spanId ?? ""}-01","tracestate":"v=1"`),
  );
  expect(
    receiver.spans.find(({ attributes }) => attributes["countersign.decision"] === "deny"),
  ).toBeDefined();
  expect(receiver.problems).toEqual([]);
  const decision = scene
    .events()
    .find(({ id }) => id === server?.attributes["countersign.event.id"]);
  expect(decision).toMatchObject({ traceparent: expect.stringContaining(TRACE_ID) as string });
  expect(decision).not.toHaveProperty("tracestate");
});

test("a request without _meta gets one; an invalid context is replaced, with its tracestate", async () => {
  guard.say({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "echo", arguments: { text: "x" } },
  });
  await guard.answer(1);
  guard.say({
    jsonrpc: "2.0",
    id: 2,
    method: "tools/call",
    params: { name: "echo", _meta: { traceparent: "00-zz", tracestate: "secret=1" } },
  });
  await guard.answer(2);
  guard.say({ jsonrpc: "2.0", id: 3, method: "ping" });
  await guard.answer(3);
  const received = readFileSync(join(scene.directory, "received"), "utf8");
  const metas = received
    .split("\n")
    .filter((one) => /"id":[123]/.test(one))
    .map((one) => (JSON.parse(one) as { params: { _meta: object } }).params)
    .map(({ _meta: meta }) => meta);
  const own = { traceparent: expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/) as string };
  expect(metas).toEqual([own, own, own]);
});
