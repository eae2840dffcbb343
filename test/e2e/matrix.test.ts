/* oxlint-disable no-underscore-dangle -- names of the wire */
import { join } from "node:path";
import type { CountersignEvent, DecisionEvent, OutcomeEvent } from "@countersign/model";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  FIXTURES,
  type Scene,
  type Running,
  eventually,
  makeScene,
  run,
} from "./fixtures/sdk/harness.ts";
import { readJournal } from "./fixtures/sdk/journal-events.ts";
import {
  type ReceivedSpan,
  type TraceReceiver,
  receiveTraces,
} from "./fixtures/sdk/trace-receiver.ts";

interface Answers {
  readonly tools: string[];
  readonly allowed: { isError?: boolean; content: { text: string }[] };
  readonly denied: {
    isError?: boolean;
    content: { text: string }[];
    _meta?: Record<string, { decisionId: string }>;
  };
  readonly unsampled: { isError?: boolean };
}

interface Run {
  readonly scene: Scene;
  readonly receiver: TraceReceiver;
  readonly answers: Answers;
  readonly events: readonly CountersignEvent[];
}

const SERVER = 2;
const CLIENT = 3;
const INTERNAL = 1;

const combinations = ["v1", "v2"].flatMap((sdk) =>
  ["mjs", "cjs"].flatMap((format) =>
    ["stdio", "http"].flatMap((transport) =>
      ["explicit", "register"].map((mode) => ({ sdk, format, transport, mode })),
    ),
  ),
);
type Combination = (typeof combinations)[number];

function serverArgs({ sdk, format, mode }: Combination): string[] {
  const script = join(FIXTURES, `server-${sdk}.${format}`);
  return mode === "register" ? ["--import", "@countersign/server/register", script] : [script];
}

async function startHttpServer(
  combination: Combination,
  env: Record<string, string>,
): Promise<{ server: Running; url: string }> {
  const server = run(serverArgs(combination), env);
  const port = await eventually(
    () => /PORT (\d+)/.exec(server.stderr())?.[1],
    () => `the server does not listen: ${server.stderr()}`,
  );
  return { server, url: `http://127.0.0.1:${port}/mcp` };
}

async function act(combination: Combination): Promise<Run> {
  const scene = makeScene();
  const receiver = await receiveTraces();
  const mode = { FIXTURE_MODE: combination.mode, FIXTURE_TRANSPORT: combination.transport };
  const telemetry = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint };
  const env = { ...scene.env, ...mode, ...telemetry };
  const http =
    combination.transport === "http" ? await startHttpServer(combination, env) : undefined;
  const target =
    http === undefined
      ? {
          SERVER_ARGS: JSON.stringify([join(FIXTURES, "tee.mjs"), ...serverArgs(combination)]),
          SERVER_ENV: JSON.stringify(env),
        }
      : { SERVER_URL: http.url };
  const script = join(FIXTURES, `agent-${combination.sdk}.${combination.format}`);
  const args =
    combination.mode === "register"
      ? ["--import", "@countersign/client/register", script]
      : [script];
  const agent = await run(args, {
    ...mode,
    ...telemetry,
    ...target,
    PATH: scene.env["PATH"] as string,
  }).ended;
  expect(agent.stderr).not.toMatch(/error/i);
  expect([agent.code, agent.stderr]).toEqual([0, ""]);
  http?.server.child.kill("SIGTERM");
  await http?.server.ended;
  const events = await eventually(
    () => {
      const found = readJournal(scene.journal);
      return found.filter(({ type }) => type.includes("outcome")).length >= 2 ? found : undefined;
    },
    () => `outcomes are missing: ${agent.stderr}`,
  );
  return { scene, receiver, answers: JSON.parse(agent.stdout) as Answers, events };
}

const decisionsOf = ({ events }: Run, method: string): DecisionEvent[] =>
  events.filter(
    (event): event is DecisionEvent =>
      event.type.endsWith("decision.v1") && (event as DecisionEvent).data.call.method === method,
  );

async function spanNamed(
  { receiver }: Run,
  name: string,
  kind: number,
  parent?: string,
): Promise<ReceivedSpan> {
  return eventually(
    () =>
      receiver.spans.find(
        (span) =>
          span.name === name &&
          span.kind === kind &&
          (parent === undefined || span.parentSpanId === parent),
      ),
    () =>
      `no span ${name}: ${receiver.spans.map((span) => `${span.kind} ${span.name}`).join(", ")}; ${receiver.problems.join()}`,
  );
}

describe.each(combinations)("SDK $sdk, $format, $transport, $mode", (combination) => {
  let got: Run;
  beforeAll(async () => {
    got = await act(combination);
  });
  afterAll(async () => {
    await got?.receiver.close();
    got?.scene.remove();
  });

  test("the SERVER span's parent is the CLIENT span; authorize is its child and ends before the handler starts", async () => {
    const client = await spanNamed(got, "tools/call read_ticket", CLIENT);
    const server = await spanNamed(got, "tools/call read_ticket", SERVER);
    expect([server.traceId, server.parentSpanId]).toEqual([client.traceId, client.spanId]);
    const authorize = await spanNamed(got, "authorize", INTERNAL, server.spanId);
    const handler = await spanNamed(got, "handler read_ticket", INTERNAL, server.spanId);
    expect(authorize.end <= handler.start).toBe(true);
    expect(authorize.attributes).toMatchObject({
      "countersign.decision": "allow",
      "countersign.evidence": "sealed",
      "countersign.assurance": "asserted",
      "countersign.permission": "read",
      "countersign.policy.rule": "tools.read_ticket",
    });
    expect(got.receiver.problems).toEqual([]);
  });

  test("one decision a call, one outcome for each that ran", () => {
    const calls = decisionsOf(got, "tools/call");
    expect(calls.map(({ data }) => [data.call.name, data.decision])).toEqual([
      ["read_ticket", "allow"],
      ["close_ticket", "deny"],
      ["read_ticket", "allow"],
    ]);
    const outcomes = got.events.filter((event): event is OutcomeEvent =>
      event.type.endsWith("outcome.v1"),
    );
    expect(outcomes.map(({ data }) => `${data.decisionId} ${data.status}`).toSorted()).toEqual(
      [calls[0], calls[2]].map((event) => `${event?.id} completed`).toSorted(),
    );
    expect(calls[0]?.data.call).toMatchObject({
      transport: combination.transport,
      gate: "in_process",
    });
  });

  test("a denied call never reaches the handler, and names its decision", async () => {
    expect(got.scene.effects().map(({ name }) => name)).toEqual(["read_ticket", "read_ticket"]);
    const denied = decisionsOf(got, "tools/call")[1];
    expect(got.answers.denied.isError).toBe(true);
    expect(got.answers.denied.content).toEqual([
      { type: "text", text: `Access denied. Reference: ${denied?.id}` },
    ]);
    expect(got.answers.denied._meta).toMatchObject({
      "dev.countersign/denial": { decisionId: denied?.id },
    });
    const server = await spanNamed(got, "tools/call close_ticket", SERVER);
    expect(server.attributes).toMatchObject({
      "error.type": "tool_error",
      "countersign.event.id": denied?.id,
    });
  });

  test("the list shows what may be called, and is decided once", () => {
    expect(got.answers.tools.toSorted()).toEqual(["close_ticket", "read_ticket"]);
    expect(decisionsOf(got, "tools/list").map(({ data }) => [data.reason, data.list])).toEqual([
      ["listed", { offered: 3, shown: 2 }],
    ]);
  });

  test("a traceparent with flag 00 changes nothing in the record", () => {
    const unsampled = decisionsOf(got, "tools/call")[2];
    expect(unsampled?.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/);
    expect(unsampled?.data.decision).toBe("allow");
    expect(got.receiver.spans.filter(({ traceId }) => traceId.startsWith("0af765"))).toEqual([]);
  });

  test("the caller's own _meta and its progress token reach the handler", () => {
    expect(got.scene.effects()[0]?.meta).toMatchObject({
      "com.example/mine": { kept: true },
      progressToken: expect.any(Number),
      traceparent: expect.stringMatching(/^00-/),
    });
  });

  test.runIf(combination.transport === "stdio")("stdout is JSON-RPC and nothing else", () => {
    const lines = got.scene.stdoutLines();
    expect(lines.length).toBeGreaterThan(4);
    for (const line of lines) expect(JSON.parse(line)).toMatchObject({ jsonrpc: "2.0" });
  });

  test.runIf(combination.mode === "register")(
    "coverage is in the start event; the resource names no path, host or process",
    () => {
      const start = got.events.find(({ type }) => type.endsWith("start.v1"));
      const name =
        combination.sdk === "v1" ? "@modelcontextprotocol/sdk" : "@modelcontextprotocol/server";
      const format = combination.format === "mjs" ? "esm" : "cjs";
      expect(start).toMatchObject({
        data: {
          coverage: { sdks: [expect.objectContaining({ package: name, format, patched: true })] },
        },
      });
      const resources = got.receiver.spans.map(({ resource }) => resource);
      expect(JSON.stringify(resources)).not.toMatch(/process\.|host\.|\//);
      expect(resources.map((resource) => resource["service.name"])).toContain("urn:mcp:tickets");
    },
  );
});
