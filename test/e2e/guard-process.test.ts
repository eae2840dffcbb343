import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Scene, childrenOf, makeScene } from "./fixtures/guard/scene.ts";
import { type Wire, wire } from "./fixtures/guard/wire.ts";

const ODD = join(import.meta.dirname, "fixtures", "guard", "odd-server.mjs");

let scene: Scene;
let guards: Wire[] = [];

beforeEach(() => {
  scene = makeScene({
    entries: `tools:
  "*": { permission: use, resource: "tool:any" }`,
    relationships: ["tool:any#use@user:alice"],
  });
});

afterEach(async () => {
  for (const guard of guards) guard.child.stdin.end();
  await Promise.all(guards.map(({ exit }) => exit));
  guards = [];
  scene.remove();
});

function start(
  modes: readonly string[] = [],
  options: readonly string[] = [],
  env: Record<string, string> = {},
): Wire {
  const guard = wire(scene.guard([process.execPath, ODD, ...modes], options), {
    ...scene.env,
    ...env,
  });
  guards.push(guard);
  return guard;
}

function call(id: number, name: string): Record<string, unknown> {
  return { jsonrpc: "2.0", id, method: "tools/call", params: { name, arguments: { text: "x" } } };
}

const GONE = { error: { code: -32603, message: "The server ended before it answered." } };

test("a server that crashes mid-call: an error for each open id, outcomes unknown, its exit code", async () => {
  const guard = start();
  await guard.initialize();
  guard.say(call(1, "sleep"));
  guard.say(call(2, "sleep"));
  guard.say(call(3, "crash"));
  for (const id of [1, 2, 3]) expect(await guard.answer(id)).toMatchObject(GONE);
  expect(await guard.exit).toEqual({ code: 41, signal: null });
  expect(scene.outcomes().map(({ status }) => status)).toEqual(["unknown", "unknown", "unknown"]);
  expect(scene.stop()).toMatchObject({ reason: "shutdown" });
});

test("a server that a signal ends: 128 + n", async () => {
  const guard = start();
  await guard.initialize();
  guard.say(call(1, "killed"));
  expect(await guard.answer(1)).toMatchObject(GONE);
  expect(await guard.exit).toEqual({ code: 137, signal: null });
});

test("a server that answers and ends: nothing of the answer is lost", async () => {
  const guard = start();
  await guard.initialize();
  guard.say(call(1, "exit_after"));
  const { result } = (await guard.answer(1)) as { result: { content: { text: string }[] } };
  expect(result.content[0]?.text).toHaveLength(3_000_000);
  expect(await guard.exit).toEqual({ code: 0, signal: null });
  expect(scene.outcomes()).toMatchObject([{ status: "completed" }]);
});

test.each<[NodeJS.Signals, number]>([
  ["SIGTERM", 7],
  ["SIGINT", 8],
  ["SIGHUP", 8],
])("%s goes to the server, its exit code comes back", async (name, code) => {
  const guard = start(["graceful"]);
  await guard.initialize();
  guard.say(call(1, "echo"));
  await guard.answer(1);
  guard.child.kill(name);
  expect(await guard.exit).toEqual({ code, signal: null });
  expect(scene.stop()).toMatchObject({ reason: "signal" });
});

test("a server that outlives its input, and SIGTERM, is killed after the graces", async () => {
  const guard = start(["stubborn"], ["--grace=100"]);
  await guard.initialize();
  const [server] = childrenOf(guard.child.pid as number);
  guard.child.stdin.end();
  expect(await guard.exit).toEqual({ code: 137, signal: null });
  expect(existsSync(`/proc/${server}`)).toBe(false);
});

test("the end of the input reaches the server after everything before it", async () => {
  const guard = start();
  await guard.initialize();
  for (let id = 1; id <= 20; id += 1) guard.say(call(id, "echo"));
  guard.child.stdin.end();
  expect(await guard.exit).toEqual({ code: 0, signal: null });
  expect(guard.lines).toHaveLength(21);
  expect(scene.outcomes()).toHaveLength(20);
  expect(scene.stop()).toMatchObject({ reason: "stdin_closed", counters: { allow: 20 } });
});

test("garbage on the server's stdout is reported and not forwarded", async () => {
  const guard = start(["garbage"]);
  await guard.initialize();
  guard.child.stdin.end();
  await guard.exit;
  expect(guard.lines).toHaveLength(1);
  const stderr = guard.stderr().toString("utf8");
  expect(stderr).toContain("no JSON-RPC messages");
  expect(stderr).toContain("3 times");
  expect(stderr).not.toContain("4111");
});

test("the server's stderr passes byte for byte, and is in no record", async () => {
  const guard = start(["stderr"]);
  await guard.initialize();
  guard.child.stdin.end();
  await guard.exit;
  expect(guard.stderr().includes(Buffer.from([0x00, 0xff, 0x41, 0x0a, 0xc3]))).toBe(true);
});

test("a question of the server passes during a pending call, and its answer back", async () => {
  const guard = start();
  await guard.initialize();
  guard.say(call(1, "ask"));
  const question = await guard.heard((one) => one["method"] === "roots/list");
  guard.say({ jsonrpc: "2.0", id: question["id"], result: { roots: [{ uri: "file:///a" }] } });
  expect(await guard.answer(1)).toMatchObject({ result: { content: [{ text: "roots: 1" }] } });
});

test("cancelled while it runs: outcome cancelled, and the late answer is dropped quietly", async () => {
  const guard = start();
  await guard.initialize();
  guard.say(call(1, "sleep"));
  guard.say(call(2, "echo"));
  await guard.answer(2);
  guard.say({ jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } });
  guard.say(call(3, "echo"));
  await guard.answer(3);
  guard.child.stdin.end();
  await guard.exit;
  expect(guard.lines.filter((line) => line.includes("too late"))).toEqual([]);
  expect(guard.stderr().toString("utf8")).not.toContain("not open");
  expect(
    scene
      .outcomes()
      .map(({ status }) => status)
      .toSorted(),
  ).toEqual(["cancelled", "completed", "completed"]);
});

test.each([
  ["a result", ["discover"], { result: { supportedVersions: ["2026-07-28"] } }],
  ["an error", [], { error: { code: -32601 } }],
])("server/discover: %s", async (_what, modes, expected) => {
  const guard = start(modes);
  guard.say({ jsonrpc: "2.0", id: 1, method: "server/discover", params: {} });
  expect(await guard.answer(1)).toMatchObject(expected);
  guard.say(call(2, "echo"));
  expect(await guard.answer(2)).toMatchObject({ result: { content: [{ text: "x" }] } });
});

test("server/discover: silence; the connection goes on, in the newest protocol without initialize", async () => {
  const guard = start(["silent"]);
  guard.say({ jsonrpc: "2.0", id: 1, method: "server/discover", params: {} });
  guard.say({
    jsonrpc: "2.0",
    id: 2,
    method: "tools/call",
    params: {
      name: "echo",
      arguments: { text: "x" },
      _meta: {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { name: "modern", version: "3" },
      },
    },
  });
  expect(await guard.answer(2)).toMatchObject({ result: { content: [{ text: "x" }] } });
  guard.child.stdin.end();
  await guard.exit;
  expect(scene.decisions()).toMatchObject([
    {
      call: { protocolVersion: "2026-07-28" },
      agent: { claimed: { name: "modern", version: "3" } },
    },
  ]);
});

test("the server gets its secrets and nothing of the guard's own", async () => {
  const file = join(scene.directory, "token");
  writeFileSync(file, "from-a-file\n");
  const environment = join(scene.directory, "environment");
  const guard = start([], ["--secret=TOKEN=file:" + file, "--secret=KEY=env:GUARD_KEY"], {
    ENVIRONMENT: environment,
    GUARD_KEY: "from-the-environment",
    COUNTERSIGN_CREDENTIAL: "ours",
    OTHER: "stays",
  });
  await guard.initialize();
  const env = JSON.parse(readFileSync(environment, "utf8")) as Record<string, string>;
  expect(env).toMatchObject({ TOKEN: "from-a-file", KEY: "from-the-environment", OTHER: "stays" });
  expect(
    Object.keys(env).filter((name) => name.startsWith("COUNTERSIGN_") || name === "GUARD_KEY"),
  ).toEqual([]);
});

test.each([
  ["no such variable", ["--secret=KEY=env:NOT_THERE"], "NOT_THERE is not set"],
  ["no such file", ["--secret=KEY=file:/nowhere"], "/nowhere cannot be read (ENOENT)"],
  ["a value on the command line", ["--secret=KEY=hunter2"], "NAME=env:VARIABLE or NAME=file:PATH"],
])(
  "a secret that cannot be had ends the guard before the server starts: %s",
  async (_what, options, text) => {
    const guard = start([], options);
    expect(await guard.exit).toEqual({ code: 78, signal: null });
    expect(guard.stderr().toString("utf8")).toContain(text);
    expect(guard.stderr().toString("utf8")).not.toContain("hunter2");
    expect(guard.lines).toEqual([]);
  },
);

test("a server that cannot be started is a clear message and 66", async () => {
  const guard = wire(scene.guard(["/nowhere/server"]), scene.env);
  expect(await guard.exit).toEqual({ code: 66, signal: null });
  expect(guard.stderr().toString("utf8")).toContain(
    'the server "/nowhere/server" could not be started (ENOENT)',
  );
  expect(guard.lines).toEqual([]);
});

test("standard input that somebody connected to over the network is refused: nothing starts", async () => {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const caller = connect((listener.address() as AddressInfo).port, "127.0.0.1");
  const [accepted] = (await once(listener, "connection")) as [Socket];
  const child = spawn(process.execPath, scene.guard([process.execPath, ODD]), {
    env: scene.env,
    stdio: [accepted, "pipe", "pipe"],
  });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [code] = (await once(child, "close")) as [number | null];
  caller.destroy();
  listener.close();
  expect(code).toBe(78);
  expect(said).toContain("standard input is a network connection");
  expect(scene.decisions()).toEqual([]);
});
