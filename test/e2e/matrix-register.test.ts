// `--import @countersign/server/register` on programs that do not know of it: it gates what it can, and ends what it cannot.
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import type { DecisionEvent, StopEvent } from "@countersign/model";
import { afterEach, beforeEach, expect, test } from "vitest";
import {
  type Ended,
  type Running,
  type Scene,
  eventually,
  makeScene,
  run,
} from "./fixtures/sdk/harness.ts";
import { readJournal } from "./fixtures/sdk/journal-events.ts";

const REGISTER = ["--import", "@countersign/server/register"];
const CONFIG = 78;

let scene: Scene;
beforeEach(() => {
  scene = makeScene();
});
afterEach(() => scene.remove());

function program(name: string, text: string): string {
  const file = join(scene.directory, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}

/** A package in the program's own node_modules that says it is the SDK. */
function fakeSdk(protocol: string): void {
  program(
    "node_modules/@modelcontextprotocol/sdk/package.json",
    '{"name":"@modelcontextprotocol/sdk","version":"9.9.9","type":"module"}',
  );
  program("node_modules/@modelcontextprotocol/sdk/dist/esm/shared/protocol.js", protocol);
}

const start = (file: string, env: Record<string, string> = {}): Running =>
  run([...REGISTER, file], { ...scene.env, ...env });
const end = (file: string, env: Record<string, string> = {}): Promise<Ended> => {
  const running = start(file, env);
  running.child.stdin?.end();
  return running.ended;
};

const USES_SDK = `import "./node_modules/@modelcontextprotocol/sdk/dist/esm/shared/protocol.js"; setTimeout(() => console.log("served"), 2000);`;

test("a copy of the SDK without the patch point ends the process", async () => {
  fakeSdk("export class Protocol { request() {} _dispatch() {} }");
  const { code, stdout, stderr } = await end(program("server.mjs", USES_SDK));
  expect([code, stdout]).toEqual([CONFIG, ""]);
  expect(stderr).toContain("@modelcontextprotocol/sdk@9.9.9 (esm) is built differently");
});

test("a copy that has the patch point and runs handlers past it ends the process: the patch is proven, not assumed", async () => {
  fakeSdk(`export class Protocol {
    request() {}
    _onrequest(request) { Promise.resolve().then(() => this.elsewhere?.(request)); }
  }`);
  const { code, stdout, stderr } = await end(program("server.mjs", USES_SDK));
  expect([code, stdout]).toEqual([CONFIG, ""]);
  expect(stderr).toContain("@modelcontextprotocol/sdk@9.9.9 (esm) is built differently");
});

test.each([
  ["reads its standard input", `process.stdin.on("data", () => console.log("served"));`, "stdin"],
  [
    "reads it by iteration",
    `for await (const chunk of process.stdin) console.log("served");`,
    "stdin",
  ],
  [
    "serves HTTP",
    `import { createServer } from "node:http"; createServer(() => {}).listen(0, () => console.log("served"));`,
    "listen",
  ],
  [
    "serves HTTP and says to whom afterwards",
    `import { createServer } from "node:http"; createServer().listen(0).on("request", () => {}).once("listening", () => console.log("served"));`,
    "listen",
  ],
  [
    "serves HTTP/2 streams",
    `import { createServer } from "node:http2"; createServer().on("stream", () => {}).listen(0, () => console.log("served"));`,
    "listen",
  ],
  [
    "reads its standard input before anybody else",
    `process.stdin.prependListener("data", () => console.log("served"));`,
    "stdin",
  ],
])("a program with no gated SDK (bundled, say) that %s ends", async (_what, text, door) => {
  const { code, stdout, stderr } = await end(program("bundle.mjs", text));
  expect([code, stdout]).toEqual([CONFIG, ""]);
  expect(stderr).toContain(`begins to serve (${door})`);
  expect(stderr).toContain("instrumentServer()");
});

test("a program that serves nothing is left alone, and leaves no trace", async () => {
  const { code, stdout, stderr } = await end(
    program("tool.mjs", "console.log(process.stdin.isTTY === true);"),
  );
  expect([code, stdout, stderr]).toEqual([0, "false\n", ""]);
  expect(readJournal(scene.journal)).toEqual([]);
});

test("npx and its like inherit NODE_OPTIONS and serve nothing: left alone, without a policy too", async () => {
  const { code, stdout } = await end(
    program("npx-cli.js", `process.stdin.on("data", () => {}); console.log("ran");`),
    { COUNTERSIGN_POLICY: "" },
  );
  expect([code, stdout]).toEqual([0, "ran\n"]);
});

test.each([
  ["no policy is named", "", "COUNTERSIGN_POLICY"],
  ["the policy is not there", "/nowhere/policy.yaml", "/nowhere/policy.yaml"],
])("%s: exit 78 and a sentence", async (_what, policy, named) => {
  const { code, stderr } = await end(program("server.mjs", "console.log(1)"), {
    COUNTERSIGN_POLICY: policy,
  });
  expect(code).toBe(CONFIG);
  expect(stderr).toContain(named);
});

test("a wrong policy: exit 78, with file, line and column", async () => {
  const policy = program(
    "policy.yaml",
    "version: 1\nserver: urn:mcp:tickets\ntenant: acme\nmode: sometimes\n",
  );
  const { child, ended } = start(join(import.meta.dirname, "fixtures/sdk/server-v2.mjs"), {
    COUNTERSIGN_POLICY: policy,
  });
  const { code, stdout, stderr } = await ended;
  child.stdin?.end();
  expect([code, stdout]).toEqual([CONFIG, ""]);
  expect(stderr).toMatch(/policy\.yaml:4:\d+/);
});

const stopOf = (): StopEvent | undefined =>
  readJournal(scene.journal).find((event): event is StopEvent => event.type.endsWith("stop.v1"));

const initialize = `${JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  method: "initialize",
  params: {
    protocolVersion: "2025-06-18",
    capabilities: {},
    clientInfo: { name: "agent", version: "1" },
  },
})}\n`;
const call = `${JSON.stringify({ jsonrpc: "2.0", id: 2, method: "tools/call", params: { name: "read_ticket", arguments: { id: "T-1" } } })}\n`;

test.each(["server-v1.mjs", "server-v2.cjs"])(
  "%s dies of SIGTERM as it would have, after a stop event",
  async (name) => {
    const { child, ended } = start(join(import.meta.dirname, "fixtures/sdk", name));
    child.stdin?.write(initialize + call);
    await eventually(
      () => scene.effects().length === 1,
      () => "the call did not run",
    );
    child.kill("SIGTERM");
    const { signal, code } = await ended;
    expect([signal, code]).toEqual(["SIGTERM", null]);
    expect(stopOf()?.data.reason).toBe("signal");
  },
);

test("end of input ends the process with 0, after a stop event", async () => {
  const { child, ended } = start(join(import.meta.dirname, "fixtures/sdk/server-v2.mjs"));
  child.stdin?.write(initialize + call);
  await eventually(
    () => scene.effects().length === 1,
    () => "the call did not run",
  );
  child.stdin?.end();
  const { code, signal } = await ended;
  expect([code, signal]).toEqual([0, null]);
  expect(stopOf()?.data.reason).toBe("stdin_closed");
});

test("an unmodified server of somebody else is gated", async () => {
  const require = createRequire(import.meta.url);
  const entry = join(
    dirname(require.resolve("@modelcontextprotocol/server-everything/package.json")),
    "dist/index.js",
  );
  const policy = program(
    "everything.yaml",
    `version: 1
server: urn:mcp:everything
tenant: acme
mode: enforce
identity: { minimum: asserted, subject: "user:{human.subject}" }
authorizer: { relationships: ["echo:hello#say@user:alice"] }
tools:
  echo: { permission: say, resource: "echo:{arguments.message}" }
default: deny
`,
  );
  const client = new Client({ name: "agent", version: "1" });
  await client.connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [...REGISTER, entry, "stdio"],
      cwd: join(import.meta.dirname, "fixtures/sdk"),
      env: { ...scene.env, COUNTERSIGN_POLICY: policy },
      stderr: "pipe",
    }),
  );
  const { tools } = await client.listTools();
  const said = await client.callTool({ name: "echo", arguments: { message: "hello" } });
  const refused = await client.callTool({ name: "echo", arguments: { message: "goodbye" } });
  await client.close();
  expect(tools.map(({ name }) => name)).toEqual(["echo"]);
  expect(said).toMatchObject({ content: [{ type: "text", text: "Echo: hello" }] });
  expect(refused).toMatchObject({
    isError: true,
    content: [{ type: "text", text: expect.stringContaining("Access denied.") }],
  });
  const decisions = readJournal(scene.journal).filter((event): event is DecisionEvent =>
    event.type.endsWith("decision.v1"),
  );
  expect(decisions.map(({ data }) => [data.call.method, data.decision])).toEqual([
    ["tools/list", "allow"],
    ["tools/call", "allow"],
    ["tools/call", "deny"],
  ]);
});
