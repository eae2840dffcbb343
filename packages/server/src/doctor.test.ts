import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { examine, examineNode } from "./doctor.ts";
import type { Finding } from "./doctor-finding.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "doctor-"));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const POLICY = `
version: 1
server: urn:mcp:tickets
tenant: acme
mode: enforce
identity: { minimum: asserted, subject: "user:{human.subject}" }
authorizer: { relationships: ["ticket:T-1#read@user:alice"] }
tools: { read_ticket: { permission: read, resource: "ticket:{arguments.id}" } }
default: deny
`;

function policyFile(text: string): string {
  const file = join(directory, "policy.yaml");
  writeFileSync(file, text);
  return file;
}

const about = (findings: readonly Finding[], id: Finding["id"]) =>
  findings.filter((one) => one.id === id);
const state = () => ({ COUNTERSIGN_STATE_DIR: directory });

test("a host that is set up: every copy of the SDK is proven, the rest is reachable", async () => {
  const processor = createServer(
    (request, response) => void request.resume().on("end", () => response.end("{}")),
  );
  await new Promise<void>((resolve) => processor.listen(0, "127.0.0.1", resolve));
  const { port } = processor.address() as AddressInfo;
  const findings = await examine({
    policy: policyFile(POLICY),
    program: import.meta.filename,
    env: {
      ...state(),
      COUNTERSIGN_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
      COUNTERSIGN_ASSERTED_HUMAN: "alice",
    },
  });
  processor.closeAllConnections();
  processor.close();
  expect(findings.filter(({ level }) => level !== "ok")).toEqual([]);
  expect(about(findings, "sdk").map(({ message }) => message)).toEqual([
    expect.stringMatching(/^@modelcontextprotocol\/sdk@1\.\S+ \(esm\): can be gated/),
    expect.stringMatching(/^@modelcontextprotocol\/sdk@1\.\S+ \(cjs\): can be gated/),
    expect.stringMatching(/^@modelcontextprotocol\/server@2\.\S+ \(esm\): can be gated/),
    expect.stringMatching(/^@modelcontextprotocol\/server@2\.\S+ \(cjs\): can be gated/),
  ]);
  expect(new Set(findings.map(({ id }) => id))).toEqual(
    new Set(["node", "policy", "journal", "sdk", "identity", "checker", "processor", "clock"]),
  );
});

test("a host with nothing: what is missing, and what to do about it", async () => {
  writeFileSync(join(directory, "file"), "");
  const findings = await examine({
    program: join(directory, "server.js"),
    env: {
      COUNTERSIGN_JOURNAL: join(directory, "file", "journal"),
      COUNTERSIGN_OTLP_ENDPOINT: "http://127.0.0.1:1",
    },
    timeoutMs: 500,
  });
  const levels = Object.fromEntries(findings.map(({ id, level }) => [id, level]));
  expect(levels).toEqual({
    node: "ok",
    policy: "fail",
    journal: "fail",
    sdk: "warn",
    processor: "fail",
  });
  for (const { level, fix } of findings) expect(level === "ok" || fix !== undefined).toBe(true);
});

test("a journal that is almost full is a warning", async () => {
  const journal = join(directory, "almost", "journal");
  const epoch = join(journal, "tickets", "0000000001");
  mkdirSync(epoch, { recursive: true });
  // Sparse: it takes no space.
  writeFileSync(join(epoch, "00000000.wal"), "");
  truncateSync(join(epoch, "00000000.wal"), 900 * 1024 * 1024);
  const env = { COUNTERSIGN_JOURNAL: journal };
  const findings = await examine({ program: join(directory, "server.js"), env, timeoutMs: 500 });
  expect(about(findings, "journal")).toMatchObject([
    { level: "warn", message: expect.stringContaining("tickets is 87 % full") },
  ]);
});

test("a wrong policy is shown with its place", async () => {
  const findings = await examine({
    policy: policyFile(`${POLICY}surprise: 1\n`),
    env: state(),
    program: directory,
  });
  expect(about(findings, "policy")).toMatchObject([
    { level: "fail", message: expect.stringContaining("policy.yaml:") },
  ]);
  expect(about(findings, "checker")).toEqual([]);
});

test.each([
  ["22.14.0", "fail"],
  ["20.20.2", "fail"],
  ["22.15.0", "ok"],
  ["24.0.0", "ok"],
])("Node %s: %s", (version, level) => {
  expect(examineNode(version).level).toBe(level);
});
