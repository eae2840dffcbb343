/* oxlint-disable no-underscore-dangle -- names of the wire */
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport as LinkV1 } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer as ServerV1 } from "@modelcontextprotocol/sdk/server/mcp.js";
import { Client as ClientV2, InMemoryTransport as LinkV2 } from "@modelcontextprotocol/client";
import { McpServer as ServerV2 } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, context, trace } from "@opentelemetry/api";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import * as z from "zod";
import { instrumentClient } from "./instrument.ts";
import { type TraceRecorder, recordTraces } from "./testing/trace-recorder.ts";

type Meta = Record<string, unknown>;

interface Pair {
  readonly client: {
    callTool(
      request: { name: string; arguments?: Meta; _meta?: Meta },
      ...rest: unknown[]
    ): Promise<unknown>;
    listTools(): Promise<unknown>;
    notification(notification: { method: string; params?: Meta }): Promise<void>;
    request(request: { method: string; params?: Meta }, schema: unknown): Promise<unknown>;
    close(): Promise<void>;
  };
  /** `_meta` of every request and notification, as the server's transport saw it. */
  readonly seen: { method: string; meta: Meta | undefined }[];
  close(): Promise<void>;
}

interface Wire {
  onmessage?: (message: { method?: string; params?: { _meta?: Meta } }, extra?: unknown) => void;
}

function spy(wire: Wire, seen: Pair["seen"]): void {
  const deliver = wire.onmessage;
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- a transport is no EventTarget
  wire.onmessage = (message, extra) => {
    if (message.method !== undefined)
      seen.push({ method: message.method, meta: message.params?._meta });
    deliver?.(message, extra);
  };
}

const quietly = { onprogress: () => undefined };
const text = (value: string) => ({ content: [{ type: "text" as const, text: value }] });

async function pairV1(provider: TraceRecorder["provider"]): Promise<Pair> {
  const server = new ServerV1({ name: "s", version: "1" });
  server.registerTool("echo", { inputSchema: { id: z.string() } }, ({ id }) => text(id));
  server.registerTool("fail", {}, () => ({ ...text("no"), isError: true }));
  const [near, far] = LinkV1.createLinkedPair();
  const client = new ClientV1({ name: "c", version: "1" });
  instrumentClient(client, { tracerProvider: provider });
  const seen: Pair["seen"] = [];
  await server.connect(far);
  spy(far as unknown as Wire, seen);
  await client.connect(near);
  return { client: client as never, seen, close: () => client.close() };
}

async function pairV2(provider: TraceRecorder["provider"]): Promise<Pair> {
  const server = new ServerV2({ name: "s", version: "1" });
  server.registerTool("echo", { inputSchema: z.object({ id: z.string() }) }, ({ id }) => text(id));
  server.registerTool("fail", {}, () => ({ ...text("no"), isError: true }));
  const [near, far] = LinkV2.createLinkedPair();
  const client = new ClientV2({ name: "c", version: "1" });
  instrumentClient(client, { tracerProvider: provider });
  const seen: Pair["seen"] = [];
  await server.connect(far as never);
  spy(far as unknown as Wire, seen);
  await client.connect(near);
  return { client: client as never, seen, close: () => client.close() };
}

describe.each([
  ["v1", pairV1],
  ["v2", pairV2],
])("SDK %s", (_name, open) => {
  let recorder: TraceRecorder;
  let pair: Pair;
  beforeAll(async () => {
    recorder = recordTraces();
    pair = await open(recorder.provider);
  });
  beforeEach(() => {
    recorder.reset();
    pair.seen.length = 0;
  });
  afterAll(async () => {
    await pair.close();
    await recorder.close();
  });

  const last = () => recorder.spans().at(-1);
  const called = () => pair.seen.find(({ method }) => method === "tools/call")?.meta;

  test("a call has a CLIENT span whose context is in _meta", async () => {
    await pair.client.callTool({ name: "echo", arguments: { id: "T-1" } });
    const span = last();
    expect(span?.name).toBe("tools/call echo");
    expect(span?.kind).toBe(SpanKind.CLIENT);
    expect(span?.attributes).toMatchObject({
      "mcp.method.name": "tools/call",
      "gen_ai.tool.name": "echo",
      "gen_ai.operation.name": "execute_tool",
      "network.transport": "pipe",
      "jsonrpc.request.id": expect.stringMatching(/^\d+$/),
    });
    const own = span?.spanContext();
    expect(called()?.["traceparent"]).toBe(`00-${own?.traceId}-${own?.spanId}-01`);
  });

  test("no argument and no result is on the span", async () => {
    await pair.client.callTool({ name: "echo", arguments: { id: "4012888888881881" } });
    expect(JSON.stringify([last()?.attributes, last()?.status, last()?.events])).not.toContain(
      "4012888888881881",
    );
  });

  test("the caller's own _meta stays, and so does the progress token; the caller's object is not touched", async () => {
    const request = {
      name: "echo",
      arguments: { id: "T-1" },
      _meta: { "com.example/x": { a: 1 } },
    };
    await (pair.client as { callTool: (...given: unknown[]) => Promise<unknown> }).callTool(
      request,
      ...(open === pairV1 ? [undefined, quietly] : [quietly]),
    );
    expect(called()).toMatchObject({
      "com.example/x": { a: 1 },
      progressToken: expect.any(Number),
      traceparent: expect.any(String),
    });
    expect(request._meta).toEqual({ "com.example/x": { a: 1 } });
  });

  test("the active span is the parent", async () => {
    const parent = recorder.provider.getTracer("test").startSpan("agent");
    await context.with(trace.setSpan(ROOT_CONTEXT, parent), () =>
      pair.client.callTool({ name: "echo", arguments: { id: "a" } }),
    );
    expect(last()?.parentSpanContext?.spanId).toBe(parent.spanContext().spanId);
  });

  test("without an active span a retry's own traceparent is the parent", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await context.with(ROOT_CONTEXT, () =>
      pair.client.callTool({ name: "echo", arguments: { id: "a" }, _meta: { traceparent } }),
    );
    expect(last()?.spanContext().traceId).toBe("0af7651916cd43dd8448eb211c80319c");
    expect(last()?.parentSpanContext?.spanId).toBe("b7ad6b7169203331");
    expect(called()?.["traceparent"]).not.toBe(traceparent);
  });

  test("isError is a tool_error; a JSON-RPC error is its code", async () => {
    await pair.client.callTool({ name: "fail" });
    expect(last()?.attributes["error.type"]).toBe("tool_error");
    expect(last()?.status).toEqual({ code: SpanStatusCode.ERROR });
    await expect(pair.client.request({ method: "no/such" }, z.object({}))).rejects.toThrow(
      "Method not found",
    );
    expect(last()?.attributes).toMatchObject({
      "error.type": "-32601",
      "rpc.response.status_code": "-32601",
    });
  });

  test("a tool name that nobody listed and that could be text is not shown", async () => {
    await pair.client.callTool({ name: "write to bob@example.com" }).catch(() => undefined);
    expect(last()?.name).toBe("tools/call");
    expect(last()?.attributes["gen_ai.tool.name"]).toBeUndefined();
  });

  test("notifications carry the active context, and have no span", async () => {
    const parent = recorder.provider.getTracer("test").startSpan("agent");
    await context.with(trace.setSpan(ROOT_CONTEXT, parent), () =>
      pair.client.notification({
        method: "notifications/progress",
        params: { progressToken: 1, progress: 1 },
      }),
    );
    const meta = pair.seen.find(({ method }) => method === "notifications/progress")?.meta;
    expect(meta?.["traceparent"]).toContain(parent.spanContext().spanId);
    expect(recorder.spans()).toEqual([]);
  });
});

test("v2's subscriptions/listen, which no request method sends, carries the active context", async () => {
  const recorder = recordTraces();
  const [near, far] = LinkV2.createLinkedPair();
  const seen: Pair["seen"] = [];
  const serving = serveStdio(
    () =>
      new ServerV2({ name: "s", version: "1" }, { capabilities: { tools: { listChanged: true } } }),
    { transport: far as never },
  );
  spy(far as unknown as Wire, seen);
  const client = new ClientV2(
    { name: "c", version: "1" },
    { versionNegotiation: { mode: { pin: "2026-07-28" } } },
  );
  instrumentClient(client, { tracerProvider: recorder.provider });
  await client.connect(near);
  const parent = recorder.provider.getTracer("test").startSpan("agent");
  const subscription = await context.with(trace.setSpan(ROOT_CONTEXT, parent), () =>
    client.listen({ toolsListChanged: true }),
  );
  const meta = seen.find(({ method }) => method === "subscriptions/listen")?.meta;
  expect(meta?.["traceparent"]).toContain(parent.spanContext().spanId);
  await subscription.close();
  await client.close();
  await serving.close();
  await recorder.close();
});

test("a class can be instrumented before there are instances; what is no client is refused", () => {
  expect(() => instrumentClient(Map)).toThrow(/no MCP client/);
  expect(() => instrumentClient({})).toThrow(/no MCP client/);
});
