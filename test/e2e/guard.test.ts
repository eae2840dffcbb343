import { execFile } from "node:child_process";
import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { type Host, connectHost } from "./fixtures/guard/host.ts";
import { pythonTimeServer } from "./fixtures/guard/python.ts";
import { type Rules, type Scene, childrenOf, makeScene } from "./fixtures/guard/scene.ts";

const BIN = join(import.meta.dirname, "..", "node_modules", ".bin");
const DENIED = /^Access denied\. Reference: ([0-9a-f-]{36})$/;

const scenes: Scene[] = [];
const hosts: Host[] = [];

afterEach(async () => {
  await Promise.all(hosts.splice(0).map((host) => host.close()));
  for (const one of scenes.splice(0)) one.remove();
});

function scene(rules: Rules): Scene {
  const made = makeScene(rules);
  scenes.push(made);
  return made;
}

async function connect(
  at: Scene,
  server: readonly string[],
  env?: Record<string, string>,
): Promise<Host> {
  const host = await connectHost(at, server, env);
  hosts.push(host);
  return host;
}

function textOf(result: unknown): string {
  return (result as { content: { text: string }[] }).content[0]?.text ?? "";
}

function files(): Scene {
  return scene({
    entries: `tools:
  read_text_file: { permission: read, resource: "file:{arguments.path|path}" }
  write_file: { permission: write, resource: "file:{arguments.path|path}" }
paths: { root: DIRECTORY }`,
    relationships: [
      "file:DIRECTORY/a=2Etxt#read@user:alice",
      "file:DIRECTORY/big=2Etxt#read@user:alice",
    ],
  });
}

test("npm filesystem: a filtered list, an allowed call, a denied one, `..`, and the record of each", async () => {
  const at = files();
  writeFileSync(join(at.directory, "a.txt"), "hello");
  writeFileSync(join(at.directory, "b.txt"), "secret");
  const { client, close } = await connect(at, [join(BIN, "mcp-server-filesystem"), at.directory]);
  const { tools } = await client.listTools();
  expect(tools.map(({ name }) => name).toSorted()).toEqual(["read_text_file", "write_file"]);
  const read = (path: string): Promise<unknown> =>
    client.callTool({ name: "read_text_file", arguments: { path } });
  expect(textOf(await read(join(at.directory, "a.txt")))).toBe("hello");
  const denied = await read(join(at.directory, "b.txt"));
  expect(denied).toMatchObject({ isError: true });
  const [, decisionId] = DENIED.exec(textOf(denied)) ?? [];
  expect(textOf(await read(`${at.directory}/x/../b.txt`))).toMatch(DENIED);
  expect(textOf(await read("../../etc/passwd"))).toMatch(DENIED);
  const write = await client.callTool({
    name: "write_file",
    arguments: { path: join(at.directory, "a.txt"), content: "changed" },
  });
  expect(textOf(write)).toMatch(DENIED);
  expect(readFileSync(join(at.directory, "a.txt"), "utf8")).toBe("hello");
  await close();
  expect(at.decisions().map(({ reason, call }) => [call.method, reason])).toEqual([
    ["tools/list", "listed"],
    ["tools/call", "permitted"],
    ["tools/call", "forbidden"],
    ["tools/call", "forbidden"],
    ["tools/call", "resource_invalid"],
    ["tools/call", "forbidden"],
  ]);
  expect(at.decisions()[0]).toMatchObject({ list: { offered: 14, shown: 2 } });
  expect(at.events().find(({ id }) => id === decisionId)).toMatchObject({
    data: {
      decision: "deny",
      effect: "block",
      human: { subject: "alice", assurance: "asserted" },
      agent: { claimed: { name: "host", version: "1.0.0" } },
    },
  });
  expect(at.outcomes()).toMatchObject([{ status: "completed" }]);
  expect(at.stop()).toMatchObject({ reason: "stdin_closed", counters: { deny: 4 } });
  expect(JSON.stringify(at.events())).not.toContain("hello");
});

test("npm filesystem: a result of more than 5 MB", async () => {
  const at = files();
  const content = "0123456789abcdé\n".repeat(200_000);
  writeFileSync(join(at.directory, "big.txt"), content);
  const { client } = await connect(at, [join(BIN, "mcp-server-filesystem"), at.directory]);
  const result = await client.callTool({
    name: "read_text_file",
    arguments: { path: join(at.directory, "big.txt") },
  });
  expect(textOf(result)).toBe(content);
  expect(Buffer.byteLength(JSON.stringify(result))).toBeGreaterThan(5_000_000);
});

function everything(): Scene {
  return scene({
    entries: `tools:
  echo: { permission: use, resource: "tool:echo" }
  trigger-long-running-operation: { permission: use, resource: "tool:slow" }
  trigger-sampling-request: { permission: use, resource: "tool:sample" }
  get-env: { permission: use, resource: "tool:env" }
resources:
  "demo://resource/static/document/{name}": { permission: read, resource: "document:{name}" }
prompts:
  simple-prompt: { permission: use, resource: "prompt:{name}" }
  "*": { permission: use, resource: "prompt:other" }`,
    relationships: [
      "tool:echo#use@user:alice",
      "tool:slow#use@user:alice",
      "tool:sample#use@user:alice",
      "document:features=2Emd#read@user:alice",
      "prompt:simple-prompt#use@user:alice",
    ],
  });
}

const EVERYTHING = [join(BIN, "mcp-server-everything"), "stdio"];

test("npm everything: tools, resources, prompts, completion, ping, and the server's own request", async () => {
  const at = everything();
  const { client, close } = await connect(at, EVERYTHING);
  expect(textOf(await client.callTool({ name: "echo", arguments: { message: "hi" } }))).toContain(
    "hi",
  );
  expect(textOf(await client.callTool({ name: "get-env", arguments: {} }))).toMatch(DENIED);
  expect(
    textOf(
      await client.callTool({
        name: "trigger-sampling-request",
        arguments: { prompt: "p", maxTokens: 10 },
      }),
    ),
  ).toContain("sampled by the host");
  const { resources } = await client.listResources();
  expect(resources.length).toBeGreaterThan(0);
  const read = (name: string): Promise<unknown> =>
    client.readResource({ uri: `demo://resource/static/document/${name}` });
  expect(await read("features.md")).toMatchObject({ contents: [{}] });
  await expect(read("startup.md")).rejects.toMatchObject({
    code: -31403,
    message: expect.stringMatching(/Access denied\. Reference: /) as string,
  });
  expect(await client.getPrompt({ name: "simple-prompt" })).toMatchObject({ messages: [{}] });
  await expect(
    client.getPrompt({ name: "args-prompt", arguments: { city: "x" } }),
  ).rejects.toMatchObject({ code: -31403 });
  await expect(
    client.complete({
      ref: { type: "ref/prompt", name: "completable-prompt" },
      argument: { name: "department", value: "E" },
    }),
  ).rejects.toMatchObject({ code: -31403 });
  await expect(client.ping()).resolves.toEqual({});
  await close();
  expect(at.outcomes().map(({ status }) => status)).toEqual([
    "completed",
    "completed",
    "completed",
    "completed",
  ]);
});

test("npm everything: progress passes while a call runs; a cancel ends it", async () => {
  const at = everything();
  const { client, close } = await connect(at, EVERYTHING);
  const progress: number[] = [];
  const operation = (duration: number, options: object): Promise<unknown> =>
    client.callTool(
      { name: "trigger-long-running-operation", arguments: { duration, steps: 4 } },
      undefined,
      options,
    );
  // Not faster: the SDK's client forgets progress that it reads together with the answer.
  await operation(1, { onprogress: (one: { progress: number }) => progress.push(one.progress) });
  expect(progress.length).toBeGreaterThanOrEqual(3);
  const abort = new AbortController();
  const running = operation(60, {
    signal: abort.signal,
    onprogress: () => abort.abort("enough"),
    resetTimeoutOnProgress: true,
  });
  const slow = operation(1, { onprogress: () => abort.abort("enough") });
  await expect(running).rejects.toThrow("enough");
  await slow;
  await close();
  expect(
    at
      .outcomes()
      .map(({ status }) => status)
      .toSorted(),
  ).toEqual(["cancelled", "completed", "completed"]);
});

test("npm everything: killed in the middle of a call", async () => {
  const at = everything();
  const { client, pid } = await connect(at, EVERYTHING);
  const [server] = childrenOf(pid);
  const running = client.callTool(
    { name: "trigger-long-running-operation", arguments: { duration: 60, steps: 60 } },
    undefined,
    {
      onprogress: () => process.kill(server as number, "SIGKILL"),
    },
  );
  await expect(running).rejects.toThrow("The server ended before it answered.");
  await expect.poll(() => at.outcomes().map(({ status }) => status)).toEqual(["unknown"]);
});

test("npm memory: what is allowed changes its file, what is denied does not", async () => {
  const at = scene({
    entries: `tools:
  create_entities: { permission: write, resource: "entity:{arguments.entities[*].name}" }
  read_graph: { permission: read, resource: "graph:all" }`,
    relationships: ["entity:ours#write@user:alice", "graph:all#read@user:alice"],
  });
  const file = join(at.directory, "memory.jsonl");
  const { client } = await connect(at, [join(BIN, "mcp-server-memory")], {
    MEMORY_FILE_PATH: file,
  });
  const { tools } = await client.listTools();
  expect(tools.map(({ name }) => name).toSorted()).toEqual(["create_entities", "read_graph"]);
  const create = (...names: string[]): Promise<unknown> =>
    client.callTool({
      name: "create_entities",
      arguments: { entities: names.map((name) => ({ name, entityType: "t", observations: [] })) },
    });
  expect(await create("ours")).not.toMatchObject({ isError: true });
  expect(textOf(await create("ours", "theirs"))).toMatch(DENIED);
  expect(textOf(await create())).toMatch(DENIED);
  const graph = await client.callTool({ name: "read_graph", arguments: {} });
  expect(textOf(graph)).toContain("ours");
  expect(readFileSync(file, "utf8")).not.toContain("theirs");
  expect(at.decisions().map(({ reason }) => reason)).toEqual([
    "listed",
    "permitted",
    "forbidden",
    "no_checks",
    "permitted",
  ]);
});

const python = pythonTimeServer();

test.skipIf(python === undefined)(
  "PyPI mcp-server-time: an allowed call, a denied one, an unknown tool",
  async () => {
    const at = scene({
      entries: `tools:
  get_current_time: { permission: use, resource: "zone:{arguments.timezone}" }`,
      relationships: ["zone:UTC#use@user:alice"],
    });
    const { client, close } = await connect(at, [python as string]);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["get_current_time"]);
    const now = (timezone: string): Promise<unknown> =>
      client.callTool({ name: "get_current_time", arguments: { timezone } });
    expect(textOf(await now("UTC"))).toContain("UTC");
    expect(textOf(await now("Europe/Berlin"))).toMatch(DENIED);
    expect(textOf(await client.callTool({ name: "convert_time", arguments: {} }))).toMatch(DENIED);
    await close();
    expect(at.decisions().map(({ reason }) => reason)).toEqual([
      "listed",
      "permitted",
      "forbidden",
      "unmapped",
    ]);
    expect(at.outcomes()).toMatchObject([{ status: "completed" }]);
  },
);

test("MCP Inspector's CLI, an unmodified client of SDK v2: allowed with its own _meta, and denied", async () => {
  const at = everything();
  const inspect = (...args: string[]): Promise<{ stdout: string }> =>
    promisify(execFile)(
      join(BIN, "mcp-inspector"),
      [
        "--cli",
        ...Object.entries(at.env).flatMap(([name, value]) => ["-e", `${name}=${value}`]),
        ...args,
        "--",
        process.execPath,
        ...at.guard(EVERYTHING),
      ],
      { cwd: at.directory, env: { ...process.env, HOME: at.directory }, timeout: 50_000 },
    );
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const { stdout } = await inspect(
    "--method",
    "tools/call",
    "--tool-name",
    "echo",
    "--tool-arg",
    "message=hi",
    "--tool-metadata",
    `traceparent=${traceparent}`,
  );
  expect(stdout).toContain("hi");
  await expect(inspect("--method", "tools/call", "--tool-name", "get-env")).rejects.toMatchObject({
    stdout: expect.stringContaining("Access denied. Reference: ") as string,
  });
  const listed = await inspect("--method", "tools/list");
  expect(listed.stdout).toContain("echo");
  expect(listed.stdout).not.toContain("get-sum");
  const calls = at
    .events()
    .filter(
      (event) =>
        event.type === "dev.countersign.decision.v1" && event.data.call.method === "tools/call",
    );
  expect(calls).toMatchObject([
    { traceparent, data: { decision: "allow" } },
    { data: { decision: "deny", reason: "forbidden" } },
  ]);
});

test("a path through a symbolic link is decided by its text: the server's own check is still there", async () => {
  const at = files();
  writeFileSync(join(at.directory, "b.txt"), "secret");
  symlinkSync("/etc/hostname", join(at.directory, "a.txt"));
  const { client } = await connect(at, [join(BIN, "mcp-server-filesystem"), at.directory]);
  const result = await client.callTool({
    name: "read_text_file",
    arguments: { path: join(at.directory, "a.txt") },
  });
  expect(result).toMatchObject({ isError: true });
  expect(textOf(result)).not.toMatch(DENIED);
});
