// An instrumented agent in front of an instrumented server, or of a guard: who asked is proven for each call.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type TestIssuer, testIssuer } from "../../packages/identity/src/testing/issuer.ts";
import { freePort } from "../free-port.ts";
import { type BoundScene, type Kind, openBound } from "./fixtures/bound/scene.ts";
import type { Running } from "./fixtures/sdk/harness.ts";

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

const clients = [
  { sdk: "v1", era: "2025" },
  { sdk: "v2", era: "2025" },
  { sdk: "v2", era: "2026" },
] as const;
const kinds: Kind[] = [
  ...clients.flatMap((client) =>
    (["stdio", "http"] as const).flatMap((transport) =>
      (["explicit", "register"] as const).map((mode) => ({ ...client, transport, mode })),
    ),
  ),
  // The server behind the guard is not instrumented, and knows of nothing.
  ...clients.map((client) => ({ ...client, transport: "stdio", mode: "guard" }) as const),
  { sdk: "v2", era: "auto", transport: "stdio", mode: "register" },
];

const read = { name: "read_ticket", arguments: { id: "T-1" } };

/** Nothing that could be used again, anywhere but between the two ends. */
function expectNoSecrets(text: string): void {
  const { token, loginKey } = scene.login;
  for (const secret of [token, token.split(".")[1], token.split(".")[2], loginKey.d]) {
    expect(text).not.toContain(secret);
  }
  expect(text).not.toContain("call-proof");
}

describe.each(kinds)("SDK $sdk ($era), $transport, $mode", (kind) => {
  test("each call is bound to its human; handler, environment and record see no proof", async () => {
    if (kind.transport === "http") server = await scene.serveHttp(kind);
    const odd = {
      meta: { "dev.countersign/call-proof": { token: "foreign" }, "com.example/a": 1 },
    };
    const { answers, stderr } = await scene.agent(kind, [read, { ...read, ...odd }]);
    expect(answers.map(({ result }) => result?.content?.[0]?.text)).toEqual([
      "read_ticket T-1 done",
      "read_ticket T-1 done",
    ]);
    const decisions = scene.decisions("tools/call");
    expect(decisions.map(({ human }) => human)).toMatchObject([
      { issuer: issuer.issuer, subject: "alice", assurance: "call_bound", method: "call_proof" },
      { issuer: issuer.issuer, subject: "alice", assurance: "call_bound", method: "call_proof" },
    ]);
    const jtis = decisions.map(({ human }) => human?.binding?.jti);
    expect(new Set(jtis).size).toBe(2);
    const ran = scene.ran();
    expect(ran.map(({ what }) => what)).toEqual(["read_ticket T-1", "read_ticket T-1"]);
    for (const { seen } of ran) expectNoSecrets(seen);
    expect(ran[1]?.seen).toContain("com.example/a");
    expectNoSecrets(JSON.stringify(scene.events()));
    expectNoSecrets(stderr + (server?.stderr() ?? ""));
    // One helper run for all calls to one audience.
    expect(scene.asked()).toEqual([kind.transport === "http" ? scene.url : "urn:mcp:tickets"]);
  });
});
