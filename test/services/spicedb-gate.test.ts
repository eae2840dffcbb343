// A whole gate over a real SpiceDB: what each state of the authorizer does to a call, and to its record.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Gate, type McpCall, openGate, type Verdict } from "@countersign/gate";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { findService } from "./find.ts";
import { type SpiceDbServer, spiceDbServer } from "./spicedb-server.ts";

const SCHEMA = `
caveat below(amount double, limit double) {
  amount <= limit
}

definition user {}

definition ticket {
  relation reader: user
  relation refunder: user with below
  permission read = reader
  permission refund = refunder
}
`;

const RELATIONSHIPS = [
  "ticket:T-1#reader@user:ada",
  "ticket:T-2#reader@user:ada",
  'ticket:T-1#refunder@user:ada[below:{"limit":100}]',
];

const found = findService("spicedb");
const program = found?.kind === "binary" ? found.path : undefined;

describe.skipIf(program === undefined)("a gate over a real SpiceDB", () => {
  const directory = mkdtempSync(join(tmpdir(), "countersign-gate-"));
  const gates: Gate[] = [];
  let server: SpiceDbServer;

  beforeAll(async () => {
    server = await spiceDbServer(program as string, {
      schema: SCHEMA,
      relationships: RELATIONSHIPS,
    });
    await server.start();
  });

  afterEach(async () => {
    await Promise.all(
      gates.splice(0).map((gate) => gate.stop("shutdown", AbortSignal.timeout(2000))),
    );
  });

  afterAll(async () => {
    await server.dispose();
    rmSync(directory, { recursive: true, force: true });
  });

  async function open(
    more: { readonly timeout?: string; readonly token?: string } = {},
  ): Promise<Gate> {
    const policyFile = join(directory, "policy.yaml");
    writeFileSync(
      policyFile,
      `version: 1
server: urn:mcp:tickets
tenant: acme
mode: enforce
identity: { minimum: asserted, subject: "user:{human.subject}" }
authorizer:
  spicedb: { endpoint: "${server.endpoint}", token: "\${env:TOKEN}", tls: false, consistency: fully_consistent, timeout: ${more.timeout ?? "2s"} }
tools:
  read: { permission: read, resource: "ticket:{arguments.ids[*]}" }
  fly: { permission: fly, resource: "ticket:{arguments.id}" }
  refund: { permission: refund, resource: "ticket:{arguments.id}", context: { amount: "{arguments.amount|number}" } }
  blind_refund: { permission: refund, resource: "ticket:{arguments.id}" }
default: deny
`,
    );
    const env = {
      TOKEN: more.token ?? server.token,
      COUNTERSIGN_STATE_DIR: mkdtempSync(join(directory, "state-")),
      COUNTERSIGN_ASSERTED_HUMAN: "ada",
    };
    const gate = await openGate({
      policyFile,
      gate: "in_process",
      coverage: () => ({ sdks: [] }),
      env,
    });
    gates.push(gate);
    return gate;
  }

  test("what SpiceDB says is what happens", async () => {
    const gate = await open();
    expect(await call(gate, "read", { ids: ["T-1", "T-2"] })).toMatchObject({
      reason: "permitted",
      effect: "run",
    });
    expect(await call(gate, "read", { ids: ["T-1", "T-9"] })).toMatchObject({
      reason: "forbidden",
      effect: "block",
    });
    expect(await call(gate, "refund", { id: "T-1", amount: 99.5 })).toMatchObject({
      reason: "permitted",
    });
    expect(await call(gate, "refund", { id: "T-1", amount: 101 })).toMatchObject({
      reason: "forbidden",
    });
    expect(await call(gate, "blind_refund", { id: "T-1" })).toMatchObject({
      reason: "conditional",
      effect: "block",
    });
    expect(await call(gate, "fly", { id: "T-1" })).toMatchObject({
      reason: "pdp_error",
      effect: "block",
    });
  });

  test("a wrong token is the authorizer's fault, not the human's", async () => {
    const gate = await open({ token: "wrong" });
    expect(await call(gate, "read", { ids: ["T-1"] })).toMatchObject({
      decision: "error",
      reason: "pdp_error",
      recorded: true,
    });
  });

  test("slow: the call waits for the timeout and no longer, is recorded, and does not run", async () => {
    const gate = await open({ timeout: "300ms" });
    await call(gate, "read", { ids: ["T-1"] });
    await server.freeze();
    try {
      const verdict = await call(gate, "read", { ids: ["T-1"] });
      expect(verdict).toMatchObject({ reason: "pdp_timeout", effect: "block", recorded: true });
      expect(verdict.checks).toMatchObject([{ verdict: "error", reason: "timeout" }]);
    } finally {
      server.thaw();
    }
    await expect
      .poll(async () => (await call(gate, "read", { ids: ["T-1"] })).reason, { timeout: 15_000 })
      .toBe("permitted");
  });

  test("down, and back again", async () => {
    const gate = await open({ timeout: "500ms" });
    await call(gate, "read", { ids: ["T-1"] });
    await server.kill();
    expect(await call(gate, "read", { ids: ["T-1"] })).toMatchObject({
      reason: "pdp_unavailable",
      effect: "block",
      recorded: true,
    });
    await server.start();
    await expect
      .poll(async () => (await call(gate, "read", { ids: ["T-1"] })).reason, { timeout: 15_000 })
      .toBe("permitted");
  });
});

function call(gate: Gate, name: string, args: unknown): Promise<Verdict> {
  const request: McpCall = {
    method: "tools/call",
    params: { name, arguments: args },
    requestId: 1,
    transport: "stdio",
    gate: "in_process",
    signal: new AbortController().signal,
  };
  return gate.decide(request);
}
