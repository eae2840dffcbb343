// The client's `--import`, and both instrumentation classes, in real processes.
import { join } from "node:path";
import type { DecisionEvent } from "@countersign/model";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FIXTURES, type Scene, eventually, makeScene, run } from "./fixtures/sdk/harness.ts";
import { readJournal } from "./fixtures/sdk/journal-events.ts";
import { type TraceReceiver, receiveTraces } from "./fixtures/sdk/trace-receiver.ts";

let scene: Scene;
let receiver: TraceReceiver;
beforeEach(async () => {
  scene = makeScene();
  receiver = await receiveTraces();
});
afterEach(async () => {
  await receiver.close();
  scene.remove();
});

const REGISTER = ["--import", "@countersign/client/register", join(FIXTURES, "call-and-wait.mjs")];
const names = () => receiver.spans.map(({ name }) => name);

function startAgent(how: string, env: Record<string, string> = {}) {
  return run([...REGISTER, how], {
    PATH: scene.env["PATH"] as string,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    ...env,
  });
}

test("an agent that runs to its end has sent its spans, and exits as it would have", async () => {
  const { code, signal, stdout } = await startAgent("end").ended;
  expect([code, signal, stdout]).toEqual([0, null, ""]);
  expect(names()).toContain("tools/call echo");
});

test.each(["SIGTERM", "SIGINT", "SIGHUP"] as const)(
  "%s: spans are sent, then it dies of the signal",
  async (sent) => {
    const { child, ended, ...agent } = startAgent("wait");
    await eventually(
      () => agent.stderr().includes("CALLED"),
      () => agent.stderr(),
    );
    child.kill(sent);
    const { code, signal } = await ended;
    expect([code, signal]).toEqual([null, sent]);
    expect(names()).toContain("tools/call echo");
  },
);

test("a signal that the agent handles itself is its own affair", async () => {
  const { child, ended, ...agent } = startAgent("own-handler");
  await eventually(
    () => agent.stderr().includes("CALLED"),
    () => agent.stderr(),
  );
  child.kill("SIGTERM");
  const { code, signal } = await ended;
  expect([code, signal]).toEqual([7, null]);
  expect(names()).toContain("tools/call echo");
});

test("diagnostics of the SDK go to stderr, at every level", async () => {
  const { stdout, stderr } = await startAgent("end", { OTEL_LOG_LEVEL: "debug" }).ended;
  expect(stdout).toBe("");
  expect(stderr).toContain("CALLED");
});

test("a console exporter would write to stdout: it is refused, with a line on stderr", async () => {
  const { code, stdout, stderr } = await startAgent("end", { OTEL_TRACES_EXPORTER: "console" })
    .ended;
  expect([code, stdout]).toEqual([0, ""]);
  expect(stderr).toContain("OTEL_TRACES_EXPORTER=console");
});

test.each([
  ["none asked for", { OTEL_EXPORTER_OTLP_ENDPOINT: "" }],
  ["OTEL_TRACES_EXPORTER=none", { OTEL_TRACES_EXPORTER: "none" }],
  ["OTEL_SDK_DISABLED", { OTEL_SDK_DISABLED: "true" }],
])("%s: nothing is sent", async (_what, env) => {
  const { code } = await startAgent("end", env).ended;
  expect([code, names()]).toEqual([0, []]);
});

test("the resource is named by the variables, and by nothing of the machine", async () => {
  await startAgent("end", {
    OTEL_SERVICE_NAME: "my-agent",
    OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test,service.name=other",
  }).ended;
  const resource = receiver.spans[0]?.resource;
  expect(resource).toMatchObject({
    "service.name": "my-agent",
    "deployment.environment.name": "test",
  });
  expect(Object.keys(resource ?? {}).filter((key) => /^(process|host|os)\./.test(key))).toEqual([]);
});

test.each([
  ["v1", "mjs"],
  ["v1", "cjs"],
  ["v2", "mjs"],
  ["v2", "cjs"],
])("the instrumentation classes in an application's own NodeSDK: %s, %s", async (sdk, format) => {
  const preload = ["--import", join(FIXTURES, "instrumentation-class.mjs")];
  const telemetry = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint };
  const agent = await run([...preload, join(FIXTURES, `agent-${sdk}.${format}`)], {
    PATH: scene.env["PATH"] as string,
    ...telemetry,
    FIXTURE_SIDE: "agent",
    SERVER_ARGS: JSON.stringify([...preload, join(FIXTURES, `server-${sdk}.${format}`)]),
    SERVER_ENV: JSON.stringify({ ...scene.env, ...telemetry, FIXTURE_SIDE: "server" }),
  }).ended;
  expect([agent.code, agent.stderr]).toEqual([0, ""]);
  const client = await eventually(
    () => receiver.spans.find((span) => span.name === "tools/call read_ticket" && span.kind === 3),
    () => names().join(),
  );
  const server = await eventually(
    () => receiver.spans.find((span) => span.name === "tools/call read_ticket" && span.kind === 2),
    () => names().join(),
  );
  expect([server.traceId, server.parentSpanId]).toEqual([client.traceId, client.spanId]);
  expect(scene.effects().map(({ name }) => name)).toEqual(["read_ticket", "read_ticket"]);
  const decisions = readJournal(scene.journal).filter(
    (event): event is DecisionEvent =>
      event.type.endsWith("decision.v1") &&
      (event as DecisionEvent).data.call.method === "tools/call",
  );
  expect(decisions.map(({ data }) => data.decision)).toEqual(["allow", "deny", "allow"]);
});

test("a server that is a client as well: both registers in one process, each minds its own side", async () => {
  const { code, signal, stderr } = await run(
    ["--import", "@countersign/server/register", ...REGISTER, "end"],
    {
      ...scene.env,
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
    },
  ).ended;
  expect([code, signal, stderr]).toEqual([0, null, "CALLED\n"]);
  const client = receiver.spans.find((span) => span.name === "tools/call echo" && span.kind === 3);
  const servers = receiver.spans.filter((span) => span.name === "tools/call" && span.kind === 2);
  expect(servers.map(({ parentSpanId }) => parentSpanId)).toEqual([client?.spanId]);
  const types = readJournal(scene.journal).map(({ type }) => type.split(".")[2]);
  expect(types).toEqual(["start", "decision", "stop"]);
});
