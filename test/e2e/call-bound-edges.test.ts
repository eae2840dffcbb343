// What is not a plain call: rounds, subscriptions, traces; and what happens without a login, a helper or an audience.
import { inspect } from "node:util";
import type { DecisionEvent } from "@countersign/model";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type TestIssuer, testIssuer } from "../../packages/identity/src/testing/issuer.ts";
import { freePort } from "../free-port.ts";
import { type BoundScene, type Kind, openBound } from "./fixtures/bound/scene.ts";
import { type Running, eventually } from "./fixtures/sdk/harness.ts";
import { receiveTraces } from "./fixtures/sdk/trace-receiver.ts";

let issuer: TestIssuer;
let scene: BoundScene;
let server: Running | undefined;

beforeAll(async () => {
  issuer = await testIssuer();
});
afterAll(() => issuer.close());
beforeEach(async () => {
  scene = await openBound(issuer, await freePort());
});
afterEach(async () => {
  server?.child.kill("SIGTERM");
  await server?.ended;
  server = undefined;
  scene.remove();
});

const read = { name: "read_ticket", arguments: { id: "T-1" } };
const ask = { name: "ask", arguments: { id: "T-1" } };
const v1: Kind = { sdk: "v1", era: "2025", transport: "stdio", mode: "register" };
const v2: Kind = { sdk: "v2", era: "2026", transport: "stdio", mode: "register" };

async function start(kind: Kind): Promise<void> {
  if (kind.transport === "http") server = await scene.serveHttp(kind);
}

const modern: Kind[] = [
  v2,
  { ...v2, transport: "http", mode: "explicit" },
  { ...v2, mode: "guard" },
];

describe.each(modern)("2026 era, $transport, $mode", (kind) => {
  test("each leg of a multi-round call has a proof of its own, over what that leg sends", async () => {
    await start(kind);
    const { answers } = await scene.agent(kind, [ask]);
    expect(answers[0]?.result?.content?.[0]?.text).toBe("ask T-1 second done");
    const decisions = scene.decisions("tools/call");
    expect(decisions.map(({ reason, human }) => [reason, human?.assurance])).toEqual([
      ["permitted", "call_bound"],
      ["permitted", "call_bound"],
    ]);
    expect(new Set(decisions.map(({ human }) => human?.binding?.jti)).size).toBe(2);
    expect(scene.ran().map(({ what }) => what)).toEqual(["ask T-1 first", "ask T-1 second"]);
  });
});

test("2025 era: the SDK asks within one request, so one proof and one decision", async () => {
  const { answers } = await scene.agent({ ...v2, era: "2025" }, [ask]);
  expect(answers[0]?.result?.content?.[0]?.text).toBe("ask T-1 second done");
  expect(scene.decisions("tools/call").map(({ human }) => human?.assurance)).toEqual([
    "call_bound",
  ]);
});

test.each([v2, { ...v2, transport: "http", mode: "explicit" } as const])(
  "a subscription is bound as well: $transport",
  async (kind) => {
    await start(kind);
    const { answers } = await scene.agent(kind, [
      { listen: { resourceSubscriptions: ["ticket://T-1"] } },
    ]);
    expect(answers).toEqual([{ result: {} }]);
    expect(scene.decisions("subscriptions/listen").map(({ human }) => human)).toMatchObject([
      { subject: "alice", assurance: "call_bound" },
    ]);
  },
);

test.each([v1, v2, { ...v2, mode: "guard" } as const])(
  "with traces: the proof names the trace, and no span holds a proof: $sdk, $mode",
  async (kind) => {
    const traces = await receiveTraces();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: traces.endpoint, OTEL_LOG_LEVEL: "debug" };
    const { answers, stderr } = await scene.agent(kind, [read], { env });
    expect(answers[0]?.result?.isError).toBeUndefined();
    await eventually(
      () =>
        ["tools/call read_ticket", "authorize"].every((name) =>
          traces.spans.some((span) => span.name === name),
        ),
      () => traces.spans.map(({ name }) => name).join(),
    );
    await traces.close();
    const [decision] = scene
      .events()
      .filter((event): event is DecisionEvent => event.type.endsWith("decision.v1"));
    expect(traces.spans.map(({ traceId }) => traceId)).toContain(
      decision?.traceparent?.split("-")[1],
    );
    const { token } = scene.login;
    for (const text of [
      inspect(traces.spans, { depth: 9, maxArrayLength: null, maxStringLength: null }),
      stderr,
    ]) {
      expect(text).not.toContain(token.split(".")[1]);
      expect(text).not.toContain("call-proof");
    }
    expect(scene.decisions("tools/call")[0]?.human?.assurance).toBe("call_bound");
  },
);

describe.each([v1, v2])("SDK $sdk", (kind) => {
  test("nobody is logged in: the call goes without a proof, and a sentence says so once", async () => {
    const loginFile = scene.nobody;
    const { answers, stderr } = await scene.agent(kind, [read, read], { loginFile });
    expect(answers.map(({ result }) => result?.isError)).toEqual([true, true]);
    expect(scene.decisions("tools/call").map(({ reason }) => reason)).toEqual([
      "identity_missing",
      "identity_missing",
    ]);
    expect(stderr.match(/nobody is logged in/g)).toHaveLength(1);
  });

  test("the helper fails: the caller is told, nothing is sent, and what it said is not repeated", async () => {
    const { answers, stderr } = await scene.agent(kind, [read], { env: { HELPER_FAILS: "1" } });
    expect(answers).toMatchObject([{ error: { code: "UNAVAILABLE" } }]);
    expect(scene.decisions("tools/call")).toEqual([]);
    expect(scene.ran()).toEqual([]);
    expect(stderr + JSON.stringify(answers)).not.toContain("keychain says no");
  });

  test("a server without an audience: no proof for anybody to guess with, and a sentence", async () => {
    const { answers, stderr } = await scene.agent(kind, [read, read], {
      env: { COUNTERSIGN_AUDIENCE: "" },
    });
    expect(answers.map(({ result }) => result?.isError)).toEqual([true, true]);
    expect(scene.asked()).toEqual([]);
    expect(stderr.match(/no audience/g)).toHaveLength(1);
    expect(scene.decisions("tools/call").map(({ reason }) => reason)).toEqual([
      "identity_missing",
      "identity_missing",
    ]);
  });

  test("a command that cannot be one: no call goes without the proof that was asked for", async () => {
    const env = { COUNTERSIGN_CREDENTIAL: "[not json" };
    const { answers, stderr } = await scene.agent(kind, [read], { env });
    expect(answers).toMatchObject([{ error: { code: "UNAVAILABLE" } }]);
    expect(stderr).toContain("COUNTERSIGN_CREDENTIAL must be");
    expect(scene.ran()).toEqual([]);
  });
});
