// Somebody sits between an agent and its server and changes what passes: the tool does not run, and the record says why.
import { join } from "node:path";
import type { DecisionEvent, Reason } from "@countersign/model";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type TestIssuer, testIssuer } from "../../packages/identity/src/testing/issuer.ts";
import { freePort } from "../free-port.ts";
import { type HttpMitm, httpMitm } from "./fixtures/bound/http-mitm.ts";
import { type BoundScene, type Kind, SOURCE, openBound } from "./fixtures/bound/scene.ts";
import type { Tamper } from "./fixtures/bound/tamper.ts";
import { type Running, eventually } from "./fixtures/sdk/harness.ts";
import { type TraceReceiver, receiveTraces } from "./fixtures/sdk/trace-receiver.ts";

const MITM = join(import.meta.dirname, "fixtures/bound/mitm.ts");
const read = { name: "read_ticket", arguments: { id: "T-1" } };

let issuer: TestIssuer;
let traces: TraceReceiver;
let scene: BoundScene;
let server: Running | undefined;
let proxy: HttpMitm | undefined;

beforeAll(async () => {
  [issuer, traces] = await Promise.all([testIssuer(), receiveTraces()]);
});
afterAll(async () => {
  await issuer.close();
  await traces.close();
});
beforeEach(async () => {
  scene = await openBound(issuer, await freePort());
});
afterEach(async () => {
  await proxy?.close();
  server?.child.kill("SIGTERM");
  await server?.ended;
  [proxy, server] = [undefined, undefined];
  scene.remove();
});

/** One call each, in this order: what is done to it, and what the record says then. */
const plan: readonly (readonly [Tamper, Reason])[] = [
  ["nothing", "permitted"],
  ["argument", "identity_invalid"],
  ["name", "identity_invalid"],
  ["method", "identity_invalid"],
  ["trace", "identity_invalid"],
  ["drop", "identity_missing"],
  ["nothing", "permitted"],
];
const DENIED = /^(?:MCP error -31403: )?Access denied\. Reference: /;

/** Runs an agent that calls through somebody in between, once for each entry. */
async function through(kind: Kind, hows: readonly Tamper[]): Promise<readonly string[]> {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: traces.endpoint };
  const calls = hows.map(() => read);
  let run;
  if (kind.transport === "stdio") {
    const between = [SOURCE, MITM, hows.join(","), process.execPath];
    const serverArgs = [...between, ...scene.serverArgs(kind)];
    run = await scene.agent(kind, calls, { serverArgs, env });
  } else {
    server = await scene.serveHttp(kind);
    proxy = await httpMitm(scene.url, hows);
    // By the policy's name: the agent is not told the server's own address.
    run = await scene.agent(kind, calls, { url: proxy.url, audience: "urn:mcp:tickets", env });
  }
  return run.answers.map(
    ({ result, error }) => error?.message ?? result?.content?.[0]?.text ?? "no answer",
  );
}

/** What was decided on calls and on what was made of them, in order. */
function reasons(): (Reason | undefined)[] {
  return scene
    .events()
    .filter((event): event is DecisionEvent => event.type.endsWith("decision.v1"))
    .map(({ data }) => data.reason);
}

const kinds: Kind[] = [
  { sdk: "v1", era: "2025", transport: "stdio", mode: "register" },
  { sdk: "v2", era: "2026", transport: "stdio", mode: "register" },
  { sdk: "v2", era: "2026", transport: "stdio", mode: "guard" },
  { sdk: "v1", era: "2025", transport: "http", mode: "explicit" },
  { sdk: "v2", era: "2026", transport: "http", mode: "explicit" },
];

describe.each(kinds)("SDK $sdk ($era), $transport, $mode", (kind) => {
  // Without traces there is no trace id to bind to, and explicit agents here have none.
  const possible = plan.filter(([how]) => how !== "trace" || kind.mode !== "explicit");

  test("whatever is changed, the record says why, and nothing runs", async () => {
    const answers = await through(
      kind,
      possible.map(([how]) => how),
    );
    expect(reasons()).toEqual(possible.map(([, reason]) => reason));
    for (const [index, [, reason]] of possible.entries()) {
      expect(answers[index]).toMatch(reason === "permitted" ? /^read_ticket T-1 done$/ : DENIED);
    }
    expect(scene.ran().map(({ what }) => what)).toEqual(["read_ticket T-1", "read_ticket T-1"]);
  });

  test("the same message twice: one of them runs, the other is identity_replayed", async () => {
    await through(kind, ["replay"]);
    const decided = await eventually(
      () => reasons().length >= 2 && reasons(),
      () => "the replay was not decided",
    );
    expect(new Set(decided)).toEqual(new Set(["identity_replayed", "permitted"]));
    expect(scene.ran().map(({ what }) => what)).toEqual(["read_ticket T-1"]);
  });

  test("a server that relays a call to another: the proof is for the one the agent meant", async () => {
    let answers;
    if (kind.transport === "stdio") {
      const env = { COUNTERSIGN_AUDIENCE: "urn:mcp:other" };
      ({ answers } = await scene.agent(kind, [read], { env }));
    } else {
      server = await scene.serveHttp(kind);
      proxy = await httpMitm(scene.url, []);
      ({ answers } = await scene.agent(kind, [read], { url: proxy.url }));
    }
    expect(answers[0]?.result?.content?.[0]?.text).toMatch(DENIED);
    expect(reasons()).toEqual(["identity_invalid"]);
    expect(scene.ran()).toEqual([]);
  });
});

test("a proof is of no use to another process of the same server either", async () => {
  const kind: Kind = { sdk: "v2", era: "2026", transport: "http", mode: "explicit" };
  server = await scene.serveHttp(kind);
  proxy = await httpMitm(scene.url, []);
  await scene.agent(kind, [read], { url: proxy.url, audience: "urn:mcp:tickets" });
  server.child.kill("SIGKILL");
  await server.ended;
  server = await scene.serveHttp(kind);
  const call = proxy.heard.find(({ method }) => method === "tools/call");
  const again = await fetch(scene.url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": "tools/call",
      "mcp-name": "read_ticket",
    },
    body: JSON.stringify(call),
  });
  expect(await again.text()).toContain("Access denied.");
  expect(reasons()).toEqual(["permitted", "identity_replayed"]);
  expect(scene.ran()).toHaveLength(1);
});
