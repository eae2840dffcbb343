import { expect, test, vi } from "vitest";
import { proxyBetween, result, toolCall } from "../../testing/proxy-ends.ts";

const until = vi.waitFor;

test("too many open calls: refused without a record, and counted", async () => {
  const t = proxyBetween({ maxCalls: 2 });
  for (const id of [1, 2, 3]) t.say(toolCall(id));
  await until(() => expect(t.client()).toHaveLength(1));
  expect(t.client()[0]).toMatchObject({
    id: 3,
    result: {
      isError: true,
      content: [{ text: "Access could not be recorded, so the call was not run." }],
    },
  });
  expect(t.counted).toEqual(["auditDenied"]);
  expect(t.held).toHaveLength(2);
});

test("requests that wait for their verdict are bounded in bytes: the client waits", async () => {
  const t = proxyBetween({ maxWaitingBytes: 1_000 });
  t.say(toolCall(1, "t", { arguments: { a: "x".repeat(2_000) } }));
  await until(() => expect(t.input.isPaused()).toBe(true));
  t.say(toolCall(2));
  await t.allow(0);
  await t.allow(1);
  await until(() => expect(t.server()).toHaveLength(2));
  expect(t.input.isPaused()).toBe(false);
});

test("a server that does not read: nothing is decided ahead, and a decision older than 5 s is made again", async () => {
  let clock = 0;
  const t = proxyBetween({}, () => clock);
  t.toServer.pause();
  t.say({ jsonrpc: "2.0", id: 1, method: "ping", params: { a: "x".repeat(100_000) } });
  await until(() => expect(t.toServer.writableNeedDrain).toBe(true));
  await until(() => expect(t.input.isPaused()).toBe(true));
  t.toServer.resume();
  t.say(toolCall(2));
  const first = await t.asked(0);
  clock += 5_001;
  first.release(t.run(first.call));
  await t.allow(1);
  await until(() => expect(t.server()).toMatchObject([{ id: 1 }, { id: 2 }]));
  expect(t.endings).toEqual([{ id: 2, status: "not_run" }]);
});

test("an answer over the limit ends its call in an error", async () => {
  const t = proxyBetween({ maxAnswerBytes: 1_000 });
  t.say(toolCall(1));
  await t.allow(0);
  await until(() => expect(t.server()).toHaveLength(1));
  t.answer(result(1, { content: "x".repeat(5_000) }));
  await until(() => expect(t.client()).toMatchObject([{ id: 1, error: { code: -32603 } }]));
  expect(t.endings).toEqual([{ id: 1, status: "unknown" }]);
});

test("a client that does not read pauses the server", async () => {
  const t = proxyBetween();
  t.output.pause();
  for (let index = 0; index < 50; index += 1)
    t.answer({
      jsonrpc: "2.0",
      method: "notifications/message",
      params: { data: "x".repeat(10_000) },
    });
  await until(() => expect(t.fromServer.isPaused()).toBe(true));
  t.output.resume();
  await until(() => expect(t.client()).toHaveLength(50));
});

test("who speaks: initialize up to 2025-11-25, each request by itself since", async () => {
  const t = proxyBetween();
  t.say({
    jsonrpc: "2.0",
    id: 0,
    method: "initialize",
    params: { clientInfo: { name: "host", version: "1" } },
  });
  await until(() => expect(t.server()).toHaveLength(1));
  t.answer(result(0, { protocolVersion: "2025-11-25", serverInfo: { name: "srv", version: "2" } }));
  await until(() => expect(t.client()).toHaveLength(1));
  t.say(toolCall(1));
  expect((await t.asked(0)).call).toMatchObject({
    protocolVersion: "2025-11-25",
    clientInfo: { name: "host", version: "1" },
    serverInfo: { name: "srv", version: "2" },
  });
  const meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": { name: "other" },
  };
  t.say(toolCall(2, "t", { _meta: meta }));
  expect((await t.asked(1)).call).toMatchObject({
    protocolVersion: "2026-07-28",
    clientInfo: { name: "other" },
    meta,
  });
});
