import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Scene, makeScene } from "./fixtures/guard/scene.ts";
import { type Wire, wire } from "./fixtures/guard/wire.ts";

const ODD = join(import.meta.dirname, "fixtures", "guard", "odd-server.mjs");
const DENIED = /^Access denied\. Reference: [0-9a-f-]{36}$/;
const UNDECIDED = /^Access could not be decided\. Reference: [0-9a-f-]{36}$/;

let scene: Scene;
let guard: Wire;

beforeEach(async () => {
  scene = makeScene({
    entries: `tools:
  echo: { permission: use, resource: "tool:echo" }
  sleep: { permission: use, resource: "tool:echo" }
  crash: { permission: use, resource: "tool:crash" }
  read: { permission: read, resource: "file:{arguments.path|path}" }
paths: { root: DIRECTORY }`,
    relationships: ["tool:echo#use@user:alice"],
  });
  guard = wire(scene.guard([process.execPath, ODD]), {
    ...scene.env,
    RECEIVED: join(scene.directory, "received"),
  });
  await guard.initialize();
});

afterEach(async () => {
  guard.child.stdin.end();
  await guard.exit;
  scene.remove();
});

function call(id: unknown, name: string, args: object = {}): string {
  return JSON.stringify({
    jsonrpc: "2.0",
    id,
    method: "tools/call",
    params: { name, arguments: args },
  });
}

function received(): string {
  return readFileSync(join(scene.directory, "received"), "utf8");
}

function textOf(message: Record<string, unknown>): string {
  const { result, error } = message as {
    result?: { content: { text: string }[] };
    error?: { message: string };
  };
  return error?.message ?? result?.content[0]?.text ?? "";
}

async function end(): Promise<void> {
  guard.child.stdin.end();
  await guard.exit;
}

test.each<[string, string, string | number | null]>([
  ["no JSON", "hello", null],
  ["half a message", '{"jsonrpc":"2.0","id":1,', 1],
  ["a batch", `[${call(1, "echo")},${call(2, "echo")}]`, null],
  [
    "duplicate keys",
    '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"echo"}}',
    1,
  ],
  ["keys that differ in case", '{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}', 1],
  [
    "duplicate keys in the arguments",
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"a","text":"b"}}}',
    1,
  ],
  [
    "two ids",
    '{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/call","params":{"name":"echo"}}',
    null,
  ],
  ["id null", '{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"echo"}}', null],
  [
    "id with a fraction",
    '{"jsonrpc":"2.0","id":1.5,"method":"tools/call","params":{"name":"echo"}}',
    null,
  ],
  [
    "huge id",
    '{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"tools/call","params":{"name":"echo"}}',
    null,
  ],
  [
    "result and method",
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"},"result":{}}',
    1,
  ],
  [
    "a lone surrogate",
    String.raw`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"\ud800"}}}`,
    1,
  ],
  [
    "65 deep",
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":${"[".repeat(62)}${"]".repeat(62)}}}}`,
    1,
  ],
  [
    "_meta nested too deep",
    `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":${'{"a":'.repeat(64)}1${"}".repeat(64)}}}`,
    1,
  ],
  [
    "_meta that is no object",
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","_meta":"x"}}',
    1,
  ],
  ["params that are a list", '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["echo"]}', 1],
  [
    "a request inside a request, between carriage returns",
    `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":\r${call(9, "crash")}\r}}`,
    1,
  ],
])("malformed: %s", async (_what, line, id) => {
  guard.say(line);
  expect(textOf(await guard.answer(id))).toMatch(DENIED);
  await end();
  expect(scene.decisions()).toMatchObject([
    {
      decision: "deny",
      reason: "malformed",
      effect: "block",
      call: { gate: "guard", transport: "stdio" },
    },
  ]);
  expect(received().split("\n").filter(Boolean)).toHaveLength(2);
});

test("invalid UTF-8 is malformed", async () => {
  guard.child.stdin.write(
    Buffer.concat([
      Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'),
      Buffer.of(0xff),
      Buffer.from('"}}\n'),
    ]),
  );
  expect(textOf(await guard.answer(1))).toMatch(DENIED);
  await end();
  expect(scene.decisions()).toMatchObject([{ reason: "malformed" }]);
});

test.each([
  ["arguments of 10 MB", { arguments: { text: "x".repeat(10_000_000) } }],
  ["a _meta of 5 MB", { _meta: { "example.com/a": "x".repeat(5_000_000) } }],
])("too large: %s; the next call is whole", async (_what, more) => {
  guard.say({ jsonrpc: "2.0", method: "tools/call", params: { name: "echo", ...more }, id: 1 });
  guard.say(call(2, "echo", { text: "after" }));
  const answer = await guard.answer(1);
  expect(answer).toMatchObject({ result: { isError: true } });
  expect(textOf(answer)).toMatch(UNDECIDED);
  expect(textOf(await guard.answer(2))).toBe("after");
  await end();
  expect(scene.decisions()).toMatchObject([
    { decision: "error", reason: "too_large", call: { method: "tools/call", requestId: "1" } },
    { decision: "allow" },
  ]);
});

test("a large _meta below the limit passes, with every byte", async () => {
  const line = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta" : {"example.com/a":"${"é".repeat(500_000)}"},"name":"\\u0065cho","arguments":{"text":"ok","n":1.50}}}`;
  guard.say(line);
  expect(textOf(await guard.answer(1))).toBe("ok");
  expect(received()).toContain(`${line}\n`);
});

test("an invalid traceparent hinders nothing and is in no record", async () => {
  guard.say({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: {
      name: "echo",
      arguments: { text: "ok" },
      _meta: { traceparent: "00-zz", tracestate: "secret=1" },
    },
  });
  expect(textOf(await guard.answer(1))).toBe("ok");
  await end();
  expect(scene.events().every((event) => !("traceparent" in event))).toBe(true);
});

test("a valid traceparent is in the record, also with flag 00", async () => {
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
  guard.say({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "echo", arguments: {}, _meta: { traceparent } },
  });
  await guard.answer(1);
  await end();
  const decision = scene.events().find((event) => event.type === "dev.countersign.decision.v1");
  expect(decision).toMatchObject({ traceparent });
});

test("a re-used open id is refused without an answer to that id", async () => {
  guard.say(call(1, "sleep"));
  guard.say(call(1, "echo", { text: "second" }));
  expect(textOf(await guard.answer(null))).toMatch(DENIED);
  await end();
  expect(received()).not.toContain("second");
  expect(guard.lines.filter((line) => line.includes('"id":1'))).toHaveLength(1);
  expect(
    scene
      .decisions()
      .map(({ reason }) => reason)
      .toSorted(),
  ).toEqual(["malformed", "permitted"]);
});

test("what may not pass as a notification is dropped and counted, tools/call without id too", async () => {
  guard.say({
    jsonrpc: "2.0",
    method: "tools/call",
    params: { name: "echo", arguments: { text: "no id" } },
  });
  guard.say({ jsonrpc: "2.0", method: "notifications/unheard/of", params: { text: "no id" } });
  guard.say({ jsonrpc: "2.0", id: "stray", result: {} });
  guard.say(call(1, "echo", { text: "with id" }));
  await guard.answer(1);
  await end();
  expect(received()).not.toContain("no id");
  expect(received()).not.toContain("stray");
  expect(scene.decisions()).toHaveLength(1);
  expect(scene.stop()).toMatchObject({
    reason: "stdin_closed",
    counters: { droppedNotifications: 2, allow: 1 },
  });
});

test.each([
  ["an unknown tool", call(1, "rm_rf"), "unmapped"],
  ["no name", '{"jsonrpc":"2.0","id":1,"method":"tools/call"}', "malformed"],
  ["an unmapped method", '{"jsonrpc":"2.0","id":1,"method":"roots/list"}', "unmapped"],
  [
    "a notification sent as a request",
    '{"jsonrpc":"2.0","id":1,"method":"notifications/cancelled","params":{"requestId":1}}',
    "unmapped",
  ],
  ["a path outside the root", call(1, "read", { path: "../../etc/passwd" }), "resource_invalid"],
  ["a path that climbs out inside", call(1, "read", { path: "a/../../b" }), "resource_invalid"],
  ["no permission", call(1, "crash"), "forbidden"],
])("denied: %s", async (_what, line, reason) => {
  guard.say(line);
  expect(textOf(await guard.answer(1))).toMatch(DENIED);
  await end();
  expect(scene.decisions()).toMatchObject([{ decision: "deny", reason, effect: "block" }]);
  expect(scene.outcomes()).toEqual([]);
  expect(received().split("\n").filter(Boolean)).toHaveLength(2);
});
