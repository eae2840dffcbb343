import { META_CALL_PROOF } from "@countersign/model";
import { expect, test, vi } from "vitest";
import {
  DENIED,
  type Json,
  cancelled,
  proxyBetween,
  result,
  toolCall,
} from "../../testing/proxy-ends.ts";

const until = vi.waitFor;

test("a request waits for its verdict; others pass it meanwhile, each as the bytes that came", async () => {
  const t = proxyBetween();
  const odd = `{"jsonrpc" : "2.0","id":1,"method":"tools/call","params":{"name":"\\u0074","arguments":{"n":1.0}}}`;
  let raw = "";
  t.toServer.on("data", (chunk: Buffer) => (raw += chunk.toString("utf8")));
  t.say(odd);
  t.say({ jsonrpc: "2.0", id: 2, method: "ping" });
  t.say({ jsonrpc: "2.0", method: "notifications/initialized" });
  await until(() =>
    expect(t.server().map((one) => one["method"])).toEqual(["ping", "notifications/initialized"]),
  );
  expect((await t.asked(0)).call).toMatchObject({
    method: "tools/call",
    requestId: 1,
    transport: "stdio",
    gate: "guard",
    params: { name: "t" },
  });
  await t.allow(0);
  await until(() => expect(raw.endsWith(`${odd}\n`)).toBe(true));
  t.answer(result(1, { isError: true }));
  await until(() => expect(t.client()).toEqual([result(1, { isError: true })]));
  expect(t.endings).toEqual([{ id: 1, status: "tool_error" }]);
});

test("a blocked request is answered and never reaches the server", async () => {
  const t = proxyBetween();
  t.say(toolCall(1));
  t.say(toolCall("1"));
  await t.deny(1);
  await t.allow(0);
  await until(() => expect(t.server()).toHaveLength(1));
  expect(t.server()[0]).toMatchObject({ id: 1 });
  expect(t.client()).toEqual([
    { jsonrpc: "2.0", id: "1", error: { code: -31403, message: "Access denied. Reference: x" } },
  ]);
});

test.each<[string, Json, object]>([
  ["completed", { result: { content: [] } }, { status: "completed" }],
  ["isError", { result: { isError: true } }, { status: "tool_error" }],
  [
    "an error",
    { error: { code: -32602, message: "no" } },
    { status: "rpc_error", rpcCode: -32602 },
  ],
  ["an error without a code", { error: "x" }, { status: "rpc_error" }],
  [
    "input required",
    { result: { resultType: "input_required", inputRequests: {} } },
    { status: "input_required" },
  ],
  [
    "a task of 2025-11-25",
    { result: { task: { taskId: "a", status: "working" } } },
    { status: "task_created", taskId: "a" },
  ],
  [
    "a task of the extension",
    { result: { resultType: "task", taskId: "b" } },
    { status: "task_created", taskId: "b" },
  ],
])("the end of a call: %s", async (_what, answer, ending) => {
  const t = proxyBetween();
  t.say(toolCall(1));
  await t.allow(0);
  await until(() => expect(t.server()).toHaveLength(1));
  t.answer({ jsonrpc: "2.0", id: 1, ...answer });
  await until(() => expect(t.endings).toEqual([{ id: 1, ...ending }]));
});

test("cancelled while it waits: consumed, never forwarded, never answered", async () => {
  const t = proxyBetween();
  t.say(toolCall(1));
  const { call: asked, release } = await t.asked(0);
  t.say(cancelled(1));
  await until(() => expect(asked.signal.aborted).toBe(true));
  release(t.run(asked));
  await until(() => expect(t.endings).toEqual([{ id: 1, status: "not_run" }]));
  t.input.end();
  await t.proxy.inputEnded;
  expect(t.server()).toEqual([]);
  expect(t.client()).toEqual([]);
});

test("cancelled while it runs: forwarded, over, and a late answer is nobody's", async () => {
  const t = proxyBetween();
  t.say(toolCall(1));
  await t.allow(0);
  await until(() => expect(t.server()).toHaveLength(1));
  t.say(cancelled(1));
  await until(() => expect(t.endings).toEqual([{ id: 1, status: "cancelled" }]));
  expect(t.server()[1]).toEqual(cancelled(1));
  // The id is not free yet: the late answer would be taken for the new call's.
  t.say(toolCall(1, "again"));
  expect((await t.asked(1)).call).toMatchObject({ fault: "malformed" });
  t.answer(result(1));
  t.answer({ jsonrpc: "2.0", method: "notifications/message", params: {} });
  await until(() => expect(t.client()).toHaveLength(1));
  expect(t.client()[0]).toMatchObject({ method: "notifications/message" });
  expect(t.notes).toEqual([]);
  t.say(toolCall(1, "third"));
  expect((await t.asked(2)).call.fault).toBeUndefined();
});

test("a re-used open id is refused, and nothing is sent to the id of the first", async () => {
  const t = proxyBetween();
  t.say(toolCall(1, "first"));
  t.say(toolCall(1, "second"));
  const second = await t.asked(1);
  expect(second.call).toMatchObject({
    fault: "malformed",
    method: "tools/call",
    params: undefined,
  });
  second.release(DENIED);
  await until(() => expect(t.client()).toHaveLength(1));
  expect(t.client()[0]).toMatchObject({ id: null, error: { code: -31403 } });
  await t.allow(0);
  await until(() => expect(t.server()).toEqual([toolCall(1, "first")]));
});

test.each([
  ["malformed", '{"jsonrpc":"2.0","id":1,"method":"ping","x":1}'],
  ["too large", `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"${"x".repeat(2_000)}"}}`],
])("no answer goes to the id of another call that is open: %s", async (_what, line) => {
  const t = proxyBetween({ maxRequestBytes: 1_000 });
  t.say(toolCall(1));
  t.say(line);
  await t.deny(1);
  await until(() => expect(t.client()).toMatchObject([{ id: null, error: { code: -31403 } }]));
});

test.each<[string, string, object]>([
  [
    "duplicate keys",
    '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{},"params":{"name":"x"}}',
    { id: 3 },
  ],
  [
    "a smuggled line",
    '{"jsonrpc":"2.0","id":3,"method":"ping","params":{"x":\r{"jsonrpc":"2.0"}\r}}',
    { id: 3 },
  ],
  ["a batch", '[{"jsonrpc":"2.0","id":3,"method":"ping"}]', { id: null }],
  ["no JSON", "hello", { id: null }],
  [
    "_meta that is no object",
    '{"jsonrpc":"2.0","id":3,"method":"ping","params":{"_meta":[]}}',
    { id: 3 },
  ],
])("refused and not forwarded, even if the gate said run: %s", async (_what, line, expected) => {
  const t = proxyBetween();
  t.say(line);
  const one = await t.asked(0);
  expect(one.call.fault).toBe("malformed");
  expect(one.call.params).toBeUndefined();
  one.release(t.run(one.call));
  await until(() => expect(t.client()).toHaveLength(1));
  expect(t.client()[0]).toMatchObject({ ...expected });
  expect(t.server()).toEqual([]);
});

test("a line over the limit is refused as too large, with its id, and the next one passes", async () => {
  const t = proxyBetween({ maxRequestBytes: 1_000 });
  t.say(toolCall(1, "t", { arguments: { a: "x".repeat(10_000) } }));
  t.say({ jsonrpc: "2.0", id: 2, method: "ping" });
  const one = await t.asked(0);
  expect(one.call).toMatchObject({ fault: "too_large", method: "tools/call", requestId: 1 });
  one.release({
    effect: "block",
    denial: {
      kind: "result",
      result: {
        content: [{ type: "text", text: "Access could not be decided. Reference: x" }],
        isError: true,
      },
    },
  });
  await until(() => expect(t.client()[0]).toMatchObject({ id: 1, result: { isError: true } }));
  expect(t.server()).toMatchObject([{ id: 2 }]);
});

test("what may not pass as a notification is dropped and counted, a request without id too", async () => {
  const t = proxyBetween();
  t.say({ jsonrpc: "2.0", method: "tools/call", params: { name: "t" } });
  t.say({ jsonrpc: "2.0", method: "notifications/made/up" });
  t.say({ jsonrpc: "2.0", method: "notifications/progress", params: {} });
  await until(() => expect(t.server()).toHaveLength(1));
  expect(t.server()[0]).toMatchObject({ method: "notifications/progress" });
  expect(t.counted).toEqual(["droppedNotifications", "droppedNotifications"]);
  expect(t.held).toEqual([]);
  expect(t.client()).toEqual([]);
});

const PROOF = { token: "eyJ-t", proof: "eyJ-p" };
const proven = { _meta: { [META_CALL_PROOF]: PROOF, progressToken: 1 } };

test("the call proof goes to the gate, and to nobody behind it; every other byte is the caller's", async () => {
  const t = proxyBetween();
  let raw = "";
  t.toServer.on("data", (chunk: Buffer) => (raw += chunk.toString("utf8")));
  t.say(
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"a" : 1.0 , "dev.countersign\\/call-proof":{"proof":"eyJ-p"}}}}`,
  );
  const { call } = await t.asked(0);
  expect(call.proof).toEqual({ proof: "eyJ-p" });
  expect(JSON.stringify([call.params, call.meta])).not.toContain("eyJ");
  await t.allow(0);
  await until(() =>
    expect(raw).toBe(
      `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"a" : 1.0}}}\n`,
    ),
  );
});

test("it is cut out of what no gate decides as well: other requests, and notifications", async () => {
  const t = proxyBetween();
  t.say({ jsonrpc: "2.0", id: 1, method: "ping", params: proven });
  t.say({ jsonrpc: "2.0", method: "notifications/progress", params: { ...proven, progress: 1 } });
  t.say({ ...cancelled(9), params: { ...proven, requestId: 9 } });
  await until(() => expect(t.server()).toHaveLength(3));
  expect(t.server().map(({ params }) => (params as Json)["_meta"])).toEqual([
    { progressToken: 1 },
    { progressToken: 1 },
    { progressToken: 1 },
  ]);
});

test("a proof that is there twice, in whatever spelling, is malformed", async () => {
  const t = proxyBetween();
  t.say(
    `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"dev.countersign/call-proof":{},"DEV.countersign/call\\u002dproof":{}}}}`,
  );
  expect((await t.asked(0)).call).toMatchObject({ fault: "malformed", requestId: 1 });
});

test("a denied call of the 2026 era is answered by a result that says it is complete; an older one is not", async () => {
  const t = proxyBetween();
  const version = { "io.modelcontextprotocol/protocolVersion": "2026-07-28" };
  const denied = { content: [{ type: "text", text: "Access denied." }], isError: true } as const;
  t.say(toolCall(1));
  t.say(toolCall(2, "t", { _meta: version }));
  t.say(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"a":1,"a":2}}`);
  for (const index of [0, 1, 2]) {
    // oxlint-disable-next-line no-await-in-loop -- in order
    const { release } = await t.asked(index);
    release({ effect: "block", denial: { kind: "result", result: denied as never } });
  }
  await until(() => expect(t.client()).toHaveLength(3));
  expect(t.client()).toEqual([
    result(1, denied),
    result(2, { ...denied, resultType: "complete" }),
    result(3, { ...denied, resultType: "complete" }),
  ]);
});
