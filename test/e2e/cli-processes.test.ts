import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";

const root = join(import.meta.dirname, "..", "..");
const bin = join(root, "packages", "cli", "bin", "countersign.js");
const everything = join(
  root,
  "test/node_modules/@modelcontextprotocol/server-everything/dist/index.js",
);
const DEADLINE_MS = 30_000;

let directory: string;
const running: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "countersign-processes-"));
});
afterEach(() => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

interface Running {
  readonly child: ChildProcess;
  readonly exited: Promise<number | null>;
  readonly stdout: () => string;
  readonly stderr: () => string;
}

function countersign(args: readonly string[], env: Record<string, string> = {}): Running {
  const child = spawn(process.execPath, [bin, ...args], {
    cwd: directory,
    env: { PATH: process.env["PATH"] ?? "", HOME: directory, ...env },
  });
  running.push(child);
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, exited, stdout: () => stdout, stderr: () => stderr };
}

async function until(condition: () => boolean, what: () => string): Promise<void> {
  const end = Date.now() + DEADLINE_MS;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`never came: ${what()}`);
    await delay(25);
  }
}

function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

/** The configuration that the repository ships, on ports that the system chooses. */
function configuration(otlp = "127.0.0.1:0"): string {
  return file(
    "processor.yaml",
    readFileSync(join(root, "config", "embedded.yaml"), "utf8")
      .replaceAll(/127\.0\.0\.1:(13133|8888|4180)\b/g, "127.0.0.1:0")
      .replace("127.0.0.1:4318", otlp),
  );
}

const POLICY = `version: 1
server: urn:mcp:everything
tenant: acme
mode: enforce
identity:
  minimum: asserted
  subject: "user:{human.subject}"
authorizer:
  relationships: ["tool:echo#use@user:alice"]
tools:
  echo: { permission: use, resource: "tool:echo" }
default: deny
`;
const asserted = { COUNTERSIGN_ASSERTED_HUMAN: "alice" };

function request(id: number, method: string, params: object): string {
  return `${JSON.stringify({ jsonrpc: "2.0", id, method, params })}\n`;
}

const INITIALIZE =
  request(0, "initialize", {
    protocolVersion: "2025-11-25",
    capabilities: {},
    clientInfo: { name: "t", version: "1" },
  }) + `${JSON.stringify({ jsonrpc: "2.0", method: "notifications/initialized" })}\n`;

test("processor runs until SIGTERM, then drains: 0; the page's address is on stderr", async () => {
  const { child, exited, stdout, stderr } = countersign(["processor", "--config", configuration()]);
  await until(() => /The page: http:\/\/127\.0\.0\.1:\d+\/\?token=\S+\n/.test(stderr()), stderr);
  const page = /The page: (\S+)/.exec(stderr())?.[1] as string;
  const answer = await fetch(page);
  expect(answer.status).toBe(401); // fetch keeps no cookie: the token is in no address after the first
  child.kill("SIGTERM");
  expect({ code: await exited, stdout: stdout() }).toEqual({ code: 0, stdout: "" });
});

test("processor with a port that is taken: 69, which port, and what to do", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => taken.once("listening", resolve));
  const { port } = taken.address() as { port: number };
  const { exited, stderr } = countersign([
    "processor",
    "--config",
    configuration(`127.0.0.1:${port}`),
  ]);
  expect(await exited).toBe(69);
  expect(stderr()).toContain(`127.0.0.1:${port}`);
  taken.close();
});

test("processor with a wrong configuration: 78, every problem with its place", async () => {
  const config = file(
    "wrong.yaml",
    readFileSync(configuration(), "utf8")
      .replace("preset: mcp", "preset: none")
      .replace("exporters: [memory]", "exporters: [memori]"),
  );
  const { exited, stderr } = countersign(["processor", "--config", config]);
  expect(await exited).toBe(78);
  expect(stderr()).toMatch(/wrong\.yaml:\d+:\d+: .*preset/);
  expect(stderr()).toMatch(/wrong\.yaml:\d+:\d+: .*memori/);
});

test("guard: JSON-RPC only on stdout, the server's exit code, and tail follows the decisions", async () => {
  const policy = file("policy.yaml", POLICY);
  const journal = join(directory, "journal");
  const tail = countersign(["tail", "--journal", journal]);
  const guard = countersign(
    ["guard", "--policy", policy, "--journal", journal, "--", process.execPath, everything],
    asserted,
  );
  guard.child.stdin?.write(INITIALIZE);
  const answers = (): {
    id?: number;
    result?: { isError?: boolean; content: { text: string }[] };
  }[] =>
    guard
      .stdout()
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as { id?: number });
  const answered = (id: number): Promise<void> =>
    until(
      () => answers().some((answer) => answer.id === id),
      () => guard.stdout() + guard.stderr(),
    );
  const call = (id: number, name: string): void => {
    guard.child.stdin?.write(
      request(id, "tools/call", { name, arguments: { message: "hunter2" } }),
    );
  };
  call(1, "echo");
  await answered(1);
  call(2, "get-env");
  await answered(2);
  expect(answers().find(({ id }) => id === 1)?.result?.content[0]?.text).toContain("hunter2");
  expect(answers().find(({ id }) => id === 2)?.result).toMatchObject({ isError: true });
  guard.child.stdin?.end();
  expect({ code: await guard.exited, stderr: guard.stderr() }).toMatchObject({ code: 0 });

  await until(
    () => tail.stdout().split("\n").length > 2,
    () => tail.stdout() + tail.stderr(),
  );
  expect(tail.stdout()).toMatch(
    /alice \(asserted\).*tools\/call echo.*tool:echo.*granted.*permitted/,
  );
  expect(tail.stdout()).toMatch(/alice \(asserted\).*tools\/call get-env.*denied.*unmapped/);
  expect(tail.stdout()).not.toContain("hunter2");
  tail.child.kill("SIGINT");
  expect(await tail.exited).toBe(0);

  const past = countersign(["tail", "--no-follow", "--json", "--lines", "1", "--journal", journal]);
  expect(await past.exited).toBe(0);
  expect(JSON.parse(past.stdout())).toMatchObject({
    data: { decision: "deny", reason: "unmapped" },
  });
});

test("guard with a policy that is missing (66) or wrong (78) starts nothing", async () => {
  const ran = join(directory, "ran");
  const server = [
    "--",
    process.execPath,
    "-e",
    `require("node:fs").writeFileSync(${JSON.stringify(ran)}, "")`,
  ];
  const missing = countersign(["guard", "--policy", "missing.yaml", ...server]);
  expect(await missing.exited).toBe(66);
  const wrong = countersign([
    "guard",
    "--policy",
    file("wrong.yaml", POLICY.replace("enforce", "relaxed")),
    ...server,
  ]);
  expect(await wrong.exited).toBe(78);
  expect(wrong.stderr()).toMatch(/wrong\.yaml:4:\d+/);
  expect([missing.stdout(), wrong.stdout()]).toEqual(["", ""]);
  expect(() => readFileSync(ran)).toThrow("ENOENT");
});

test("guard gives a secret to the server and to nobody else", async () => {
  const policy = file("policy.yaml", POLICY);
  const secret = file("secret", "hunter2");
  const server = `process.stderr.write(JSON.stringify([process.env.API_KEY, process.env.COUNTERSIGN_POLICY ?? null])); process.stdin.resume()`;
  const guard = countersign(
    [
      "guard",
      "--policy",
      policy,
      "--journal",
      join(directory, "journal"),
      "--secret",
      `API_KEY=file:${secret}`,
      "--",
      process.execPath,
      "-e",
      server,
    ],
    { ...asserted, COUNTERSIGN_POLICY: policy },
  );
  await until(() => guard.stderr().includes("]"), guard.stderr);
  guard.child.stdin?.end();
  await guard.exited;
  expect(guard.stderr()).toContain('["hunter2",null]');
  expect(guard.stdout()).toBe("");
});
