import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openGate } from "./open.ts";
import { policyText, TOOLS, toolCall, TUPLES } from "./testing/gate.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "countersign-open-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const coverage = (): { sdks: [] } => ({ sdks: [] });

function policyFile(text: string): string {
  const file = join(directory, "policy.yaml");
  writeFileSync(file, text);
  return file;
}

test("a policy file is all it takes: the decision is in the state directory's journal", async () => {
  const env = {
    COUNTERSIGN_STATE_DIR: join(directory, "state"),
    COUNTERSIGN_ASSERTED_HUMAN: "ada",
    COUNTERSIGN_EMITTER: "test",
  };
  const gate = await openGate({
    policyFile: policyFile(policyText(TOOLS, TUPLES)),
    gate: "in_process",
    coverage,
    env,
  });
  try {
    expect(await gate.decide(toolCall("read_ticket", { id: "T-1" }))).toMatchObject({
      reason: "permitted",
      effect: "run",
    });
    expect(readdirSync(join(directory, "state", "journal")).length).toBeGreaterThan(0);
  } finally {
    await gate.stop("shutdown", AbortSignal.timeout(1000));
  }
});

test("COUNTERSIGN_JOURNAL stands before the state directory, and a flag before both", async () => {
  const file = policyFile(policyText(TOOLS, TUPLES));
  const env = {
    COUNTERSIGN_STATE_DIR: join(directory, "state"),
    COUNTERSIGN_JOURNAL: join(directory, "own"),
    COUNTERSIGN_ASSERTED_HUMAN: "ada",
  };
  const byEnv = await openGate({ policyFile: file, gate: "in_process", coverage, env });
  await byEnv.decide(toolCall("read_ticket", { id: "T-1" }));
  await byEnv.stop("shutdown", AbortSignal.timeout(1000));
  const byFlag = await openGate({
    policyFile: file,
    gate: "in_process",
    coverage,
    env,
    journal: join(directory, "flag"),
  });
  await byFlag.decide(toolCall("read_ticket", { id: "T-1" }));
  await byFlag.stop("shutdown", AbortSignal.timeout(1000));
  expect(readdirSync(directory).toSorted()).toEqual(["flag", "own", "policy.yaml"]);
});

test("why nobody is known is on the log", async () => {
  const policy = `version: 1
server: urn:mcp:tickets
tenant: acme
mode: enforce
identity:
  minimum: token_bound
  subject: "user:{human.subject}"
  issuers: [{ issuer: "https://idp.example", algorithms: [ES256], clients: [cli] }]
  process: { exec: [/no/such/helper] }
authorizer: { relationships: [] }
default: deny
tools: { read_ticket: { permission: read, resource: "ticket:{arguments.id}" } }
`;
  const lines: string[] = [];
  const say = (message: string, fields = {}): void =>
    void lines.push(`${message} ${JSON.stringify(fields)}`);
  const log = { debug: () => undefined, info: () => undefined, warn: say, error: say };
  const env = { COUNTERSIGN_STATE_DIR: join(directory, "state") };
  const file = policyFile(policy);
  const gate = await openGate({ policyFile: file, gate: "guard", coverage, env, log });
  for (const id of ["T-1", "T-2"])
    expect(await gate.decide(toolCall("read_ticket", { id }))).toMatchObject({
      reason: "identity_unavailable",
    });
  await gate.stop("shutdown", AbortSignal.timeout(1000));
  expect(lines).toEqual([expect.stringContaining("/no/such/helper cannot be run (ENOENT)")]);
});

test("a file that is not there, and one that is no policy, are configuration errors", async () => {
  await expect(
    openGate({ policyFile: join(directory, "nope.yaml"), gate: "guard", coverage, env: {} }),
  ).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining("cannot read the policy file") as string,
  });
  await expect(
    openGate({ policyFile: policyFile("version: 3\n"), gate: "guard", coverage, env: {} }),
  ).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringContaining("policy.yaml:1:10: version: must be 1") as string,
  });
});
