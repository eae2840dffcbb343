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

test("the server may ask during a pending call; only answers to its questions pass back", async () => {
  const t = proxyBetween();
  t.say(toolCall(1));
  await t.asked(0);
  t.answer({ jsonrpc: "2.0", id: 1, method: "roots/list" });
  await until(() => expect(t.client()).toEqual([{ jsonrpc: "2.0", id: 1, method: "roots/list" }]));
  t.say(result(1, { roots: [] }));
  t.say(result(1, { roots: [] }));
  t.say(result("never asked"));
  t.say({ jsonrpc: "2.0", method: "notifications/initialized" });
  await until(() => expect(t.server()).toHaveLength(2));
  expect(t.server()[0]).toEqual(result(1, { roots: [] }));
  expect(t.notes).toEqual([expect.stringContaining("never made")]);
});

test("a question that the server took back is not open any more", async () => {
  const t = proxyBetween({ maxServerRequests: 1 });
  t.answer({ jsonrpc: "2.0", id: "a", method: "roots/list" });
  t.answer({ jsonrpc: "2.0", id: "b", method: "roots/list" });
  await until(() => expect(t.server()).toMatchObject([{ id: "b", error: { code: -32603 } }]));
  t.answer(cancelled("a"));
  t.answer({ jsonrpc: "2.0", id: "c", method: "roots/list" });
  await until(() => expect(t.client()).toHaveLength(3));
});

test("garbage of the server is reported once and not forwarded; neither are answers nobody asked for", async () => {
  const t = proxyBetween();
  for (const line of [
    "Listening on port 3000",
    '{"log":"x"}',
    '[{"jsonrpc":"2.0","id":1,"result":{}}]',
    "{",
    "  ",
  ])
    t.answer(line);
  t.answer(result(99));
  t.say(toolCall(1));
  await t.asked(0);
  t.answer(result(1));
  t.answer({ jsonrpc: "2.0", error: { code: -32700, message: "parse" } });
  await until(() => expect(t.client()).toHaveLength(1));
  expect(t.client()[0]).toMatchObject({ error: { code: -32700 } });
  expect(t.notes).toHaveLength(2);
  expect(t.notes.join()).not.toContain("3000");
});

test("a list is filtered; around the result the bytes are the server's", async () => {
  const t = proxyBetween();
  let raw = "";
  t.output.on("data", (chunk: Buffer) => (raw += chunk.toString("utf8")));
  t.say({ jsonrpc: "2.0", id: 1, method: "tools/list" });
  const one = await t.asked(0);
  one.release(
    t.run(one.call, { filter: async (value: Json) => ({ result: { ...value, tools: [] } }) }),
  );
  await until(() => expect(t.server()).toHaveLength(1));
  t.answer('{"result": {"tools":[{"name":"a"}],"nextCursor":"x"} , "jsonrpc":"2.0","id":1}');
  await until(() =>
    expect(raw).toBe('{"result": {"tools":[],"nextCursor":"x"} , "jsonrpc":"2.0","id":1}\n'),
  );
  expect(t.endings).toEqual([{ id: 1, status: "completed" }]);
});

test("a list that may not be shown is a denial; one that cannot be filtered is an error", async () => {
  const t = proxyBetween();
  for (const id of [1, 2]) t.say({ jsonrpc: "2.0", id, method: "tools/list" });
  const { denial } = DENIED;
  for (const index of [0, 1]) {
    const one = await t.asked(index);
    const filter =
      index === 0 ? async () => ({ denial }) : async () => Promise.reject(new Error("disk"));
    one.release(t.run(one.call, { filter }));
  }
  await until(() => expect(t.server()).toHaveLength(2));
  for (const id of [1, 2]) t.answer(result(id, { tools: [{ name: "secret" }] }));
  await until(() => expect(t.client()).toHaveLength(2));
  expect(t.client()).toMatchObject([
    { id: 1, error: { code: -31403 } },
    { id: 2, error: { code: -32603 } },
  ]);
  expect(t.endings).toEqual([
    { id: 1, status: "rpc_error", rpcCode: -31403 },
    { id: 2, status: "unknown" },
  ]);
});

test("the server is gone: open calls end unknown, waiting ones never run, each id gets an error", async () => {
  const t = proxyBetween();
  t.say(toolCall(1));
  t.say(toolCall(2));
  await t.allow(0);
  const waiting = await t.asked(1);
  waiting.call.signal.addEventListener("abort", () => waiting.release(t.run(waiting.call)));
  await until(() => expect(t.server()).toHaveLength(1));
  await t.proxy.serverGone();
  expect(t.client()).toMatchObject([
    { id: 1, error: { code: -32603 } },
    { id: 2, error: { code: -32603 } },
  ]);
  expect(t.endings).toEqual([
    { id: 1, status: "unknown" },
    { id: 2, status: "not_run" },
  ]);
});

test("the end of the client's input waits for the verdicts, then ends the server's", async () => {
  const t = proxyBetween();
  t.say(toolCall(1));
  t.input.end();
  const { call: asked } = await t.asked(0);
  await until(() => expect(t.input.closed).toBe(true));
  expect(t.toServer.writableEnded).toBe(false);
  await t.allow(0);
  await t.proxy.inputEnded;
  expect(t.server()).toMatchObject([{ id: asked.requestId }]);
  expect(t.toServer.writableEnded).toBe(true);
});

test("a last line without a line end gets one", async () => {
  const t = proxyBetween();
  let raw = "";
  t.output.on("data", (chunk: Buffer) => (raw += chunk.toString("utf8")));
  const last = JSON.stringify({ jsonrpc: "2.0", method: "notifications/message" });
  t.fromServer.end(last);
  await until(() => expect(raw).toBe(`${last}\n`));
});
