/* oxlint-disable no-underscore-dangle -- names of the wire */
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport as LinkV1 } from "@modelcontextprotocol/sdk/inMemory.js";
import {
  InMemoryTaskMessageQueue,
  InMemoryTaskStore,
} from "@modelcontextprotocol/sdk/experimental/tasks";
import { McpServer as ServerV1 } from "@modelcontextprotocol/sdk/server/mcp.js";
import { Client as ClientV2, InMemoryTransport as LinkV2 } from "@modelcontextprotocol/client";
import {
  McpServer as ServerV2,
  ResourceTemplate as TemplateV2,
} from "@modelcontextprotocol/server";
import { ResourceTemplate as TemplateV1 } from "@modelcontextprotocol/sdk/server/mcp.js";
import { ListRootsRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { SpanKind, SpanStatusCode } from "@opentelemetry/api";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import * as z from "zod";
import { instrumentServer } from "./instrument.ts";
import { type GateScene, openScene } from "./testing/gate-scene.ts";
import { type TraceRecorder, recordTraces } from "./testing/trace-recorder.ts";

type Json = Record<string, unknown>;
interface AnyClient {
  callTool(request: Json, ...rest: unknown[]): Promise<Json>;
  listTools(): Promise<{ tools: { name: string }[] }>;
  readResource(request: Json): Promise<Json>;
  getPrompt(request: Json): Promise<Json>;
  ping(): Promise<unknown>;
  request(request: Json, schema: unknown, options?: unknown): Promise<unknown>;
  setRequestHandler(
    schema: unknown,
    handler: (request: { params?: { _meta?: Json } }) => unknown,
  ): void;
  close(): Promise<void>;
}
interface Opened {
  readonly client: AnyClient;
  readonly ran: string[];
  readonly server: { server: { fallbackRequestHandler?: unknown } };
}

const done = { content: [{ type: "text" as const, text: "done" }] };
const tools = ["read_ticket", "close_ticket", "unmapped_tool"];
const TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async function openV1({ gate }: GateScene, { provider }: TraceRecorder): Promise<Opened> {
  const ran: string[] = [];
  const server = new ServerV1({ name: "tickets", version: "1.2.3" });
  for (const name of tools) {
    server.registerTool(name, { inputSchema: { id: z.string() } }, () => {
      ran.push(name);
      return done;
    });
  }
  server.registerTool("sample", {}, async (extra) => {
    await server.server.listRoots();
    return { content: [{ type: "text", text: String(extra.requestId) }] };
  });
  server.registerResource(
    "ticket",
    new TemplateV1("ticket://{id}", { list: undefined }),
    {},
    (uri) => {
      ran.push(uri.href);
      return { contents: [] };
    },
  );
  server.registerPrompt("greet", {}, () => ({ messages: [] }));
  const [near, far] = LinkV1.createLinkedPair();
  const client = new ClientV1({ name: "agent", version: "9" }, { capabilities: { roots: {} } });
  // Connected before it is instrumented: instances that exist already must be covered.
  await server.connect(far);
  instrumentServer(server, { gate, tracerProvider: provider });
  await client.connect(near);
  return { client: client as never, ran, server: server as never };
}

async function openV2({ gate }: GateScene, { provider }: TraceRecorder): Promise<Opened> {
  const ran: string[] = [];
  const server = new ServerV2({ name: "tickets", version: "1.2.3" });
  for (const name of tools) {
    server.registerTool(name, { inputSchema: z.object({ id: z.string() }) }, () => {
      ran.push(name);
      return done;
    });
  }
  server.registerResource(
    "ticket",
    new TemplateV2("ticket://{id}", { list: undefined }),
    {},
    (uri) => {
      ran.push(uri.href);
      return { contents: [] };
    },
  );
  server.registerPrompt("greet", {}, () => ({ messages: [] }));
  const [near, far] = LinkV2.createLinkedPair();
  const client = new ClientV2({ name: "agent", version: "9" });
  await server.connect(far as never);
  instrumentServer(server, { gate, tracerProvider: provider });
  await client.connect(near);
  return { client: client as never, ran, server: server as never };
}

describe.each([
  ["v1", openV1],
  ["v2", openV2],
])("SDK %s", (generation, open) => {
  let scene: GateScene;
  let recorder: TraceRecorder;
  let opened: Opened;
  beforeAll(() => {
    recorder = recordTraces();
  });
  beforeEach(async () => {
    recorder.reset();
    scene = openScene();
    opened = await open(scene, recorder);
    return async () => {
      await opened.client.close();
      await scene.close();
    };
  });
  afterAll(() => recorder.close());

  const call = (name: string, more: Json = {}) =>
    opened.client.callTool({ name, arguments: { id: "T-1" }, ...more });

  test("an allowed call runs; decision and outcome are recorded, with the traces of authorize and SERVER", async () => {
    expect(await call("read_ticket", { _meta: { traceparent: TRACEPARENT } })).toMatchObject(done);
    expect(opened.ran).toEqual(["read_ticket"]);
    await scene.gate.stop("shutdown", AbortSignal.timeout(5_000));
    const [decision] = scene.decisions();
    const [outcome] = scene.outcomes();
    expect(decision?.data).toMatchObject({
      decision: "allow",
      reason: "permitted",
      effect: "run",
      call: {
        method: "tools/call",
        name: "read_ticket",
        transport: "stdio",
        gate: "in_process",
        requestId: expect.any(String),
      },
      agent: { claimed: { name: "agent", version: "9" } },
      server: { id: "urn:mcp:tickets" },
    });
    expect(outcome?.data).toMatchObject({ decisionId: decision?.id, status: "completed" });
    const server = recorder.span("tools/call read_ticket");
    const authorize = recorder.span("authorize");
    expect(server?.kind).toBe(SpanKind.SERVER);
    expect(server?.parentSpanContext?.spanId).toBe("00f067aa0ba902b7");
    expect(authorize?.parentSpanContext?.spanId).toBe(server?.spanContext().spanId);
    expect(decision?.traceparent).toContain(authorize?.spanContext().spanId);
    expect(outcome?.traceparent).toContain(server?.spanContext().spanId);
    expect(server?.attributes).toEqual({
      "mcp.method.name": "tools/call",
      "gen_ai.operation.name": "execute_tool",
      "gen_ai.tool.name": "read_ticket",
      "jsonrpc.request.id": decision?.data.call.requestId,
      "mcp.protocol.version": expect.stringMatching(/^20/),
      "network.transport": "pipe",
      "countersign.decision": "allow",
      "countersign.event.id": decision?.id,
    });
    expect(authorize?.attributes).toEqual({
      "countersign.decision": "allow",
      "countersign.reason": "permitted",
      "countersign.mode": "enforce",
      "countersign.effect": "run",
      "countersign.evidence": "sealed",
      "countersign.event.id": decision?.id,
      "countersign.assurance": "asserted",
      "countersign.gate": "in_process",
      "countersign.server.id": "urn:mcp:tickets",
      "mcp.method.name": "tools/call",
      "gen_ai.tool.name": "read_ticket",
      "countersign.policy.digest": scene.gate.policy.digest,
      "countersign.policy.rule": "tools.read_ticket",
      "countersign.check.count": 1,
      "countersign.permission": "read",
      "countersign.resource.type": "ticket",
      "countersign.engine": "relationships",
    });
  });

  test("a forbidden call is a tool error with the decision id, and does not run", async () => {
    const result = await call("close_ticket");
    const [decision] = scene.decisions();
    expect(result).toMatchObject({
      isError: true,
      content: [{ type: "text", text: `Access denied. Reference: ${decision?.id}` }],
      _meta: { "dev.countersign/denial": { decisionId: decision?.id } },
    });
    expect(decision?.data).toMatchObject({
      decision: "deny",
      reason: "forbidden",
      effect: "block",
    });
    expect(opened.ran).toEqual([]);
    expect(recorder.span("authorize")?.status.code).toBe(SpanStatusCode.UNSET);
    expect(recorder.span("tools/call close_ticket")?.attributes["error.type"]).toBe("tool_error");
  });

  test("unknown and unmapped tools get the same text, and no name on a span", async () => {
    const unmapped = await call("unmapped_tool");
    const unknown = await call("no_such_tool");
    const texts = [unmapped, unknown].map((one) =>
      (one["content"] as { text: string }[])[0]?.text.replace(/ \S+$/, ""),
    );
    expect(texts).toEqual(["Access denied. Reference:", "Access denied. Reference:"]);
    expect(scene.decisions().map(({ data }) => data.reason)).toEqual(["unmapped", "unmapped"]);
    expect(recorder.spans().filter(({ name }) => name.startsWith("tools/call ")).length).toBe(0);
    expect(opened.ran).toEqual([]);
  });

  test("a list is filtered, and one decision says how much was shown", async () => {
    const { tools: shown } = await opened.client.listTools();
    expect(shown.map(({ name }) => name).toSorted()).toEqual(["close_ticket", "read_ticket"]);
    const [decision] = scene.decisions();
    expect(decision?.data).toMatchObject({ reason: "listed", list: { shown: 2 } });
    expect(scene.outcomes()).toEqual([]);
  });

  test("resources and prompts: allowed, or JSON-RPC error -31403 with the decision id", async () => {
    await opened.client.readResource({ uri: "ticket://T-1" });
    await opened.client.getPrompt({ name: "greet" });
    const denied = await opened.client
      .readResource({ uri: "ticket://T-2" })
      .catch((error: unknown) => error);
    const last = scene.decisions().at(-1);
    expect(denied).toMatchObject({ code: -31403, data: { decisionId: last?.id } });
    expect((denied as Error).message).toContain(`Access denied. Reference: ${last?.id}`);
    expect(opened.ran).toEqual(["ticket://T-1"]);
    const server = recorder.span("resources/read");
    expect(server?.attributes).toMatchObject({
      "error.type": "-31403",
      "rpc.response.status_code": "-31403",
    });
    expect(JSON.stringify(recorder.spans().map(({ attributes }) => attributes))).not.toContain(
      "ticket://T",
    );
  });

  test("a method that nobody mapped: denied with its handler there, on record without", async () => {
    opened.server.server.fallbackRequestHandler = () => {
      opened.ran.push("fallback");
      return {};
    };
    await expect(
      opened.client.request({ method: "custom/thing" }, z.looseObject({})),
    ).rejects.toMatchObject({ code: -31403 });
    opened.server.server.fallbackRequestHandler = undefined;
    await expect(
      opened.client.request({ method: "custom/other" }, z.looseObject({})),
    ).rejects.toMatchObject({ code: -32601 });
    await expect
      .poll(() => scene.decisions().map(({ data }) => [data.call.method, data.reason]))
      .toEqual([
        ["custom/thing", "unmapped"],
        ["custom/other", "unmapped"],
      ]);
    expect(opened.ran).toEqual([]);
  });

  test("initialize and ping pass without a decision", async () => {
    await opened.client.ping();
    expect(scene.decisions()).toEqual([]);
    expect(recorder.span("ping")?.kind).toBe(SpanKind.SERVER);
  });

  test("a call that is cancelled while it is decided does not run, and the record says so", async () => {
    const cancel = new AbortController();
    const decide = scene.gate.decide.bind(scene.gate);
    scene.gate.decide = async (asked) => {
      cancel.abort("never mind");
      await expect.poll(() => asked.signal.aborted).toBe(true);
      return decide(asked);
    };
    const options = { signal: cancel.signal };
    const pending = opened.client.callTool(
      { name: "read_ticket", arguments: { id: "T-1" } },
      ...(generation === "v1" ? [undefined, options] : [options]),
    );
    await expect(pending).rejects.toThrow("never mind");
    await expect
      .poll(() => scene.decisions().map(({ data }) => data.reason))
      .toEqual(["cancelled"]);
    expect(opened.ran).toEqual([]);
  });

  test.runIf(generation === "v1")(
    "what the server asks its client has a CLIENT span under the call, and is not gated",
    async () => {
      const meta: unknown[] = [];
      opened.client.setRequestHandler(ListRootsRequestSchema, (request) => {
        meta.push(request.params?._meta?.["traceparent"]);
        return { roots: [] };
      });
      const decide = scene.gate.decide.bind(scene.gate);
      scene.gate.decide = async (asked) => ({
        ...(await decide(asked)),
        effect: "run",
        decision: "allow",
      });
      await call("sample");
      const asked = recorder.span("roots/list");
      const server = recorder.span("tools/call");
      expect(asked?.kind).toBe(SpanKind.CLIENT);
      expect(asked?.parentSpanContext?.spanId).toBe(server?.spanContext().spanId);
      const own = asked?.spanContext();
      expect(meta).toEqual([`00-${own?.traceId}-${own?.spanId}-01`]);
      expect(scene.decisions().map(({ data }) => data.call.method)).toEqual(["tools/call"]);
    },
  );

  test("instrumented twice is gated once", async () => {
    instrumentServer(opened.server, { gate: scene.gate });
    await call("read_ticket");
    expect(scene.decisions().length).toBe(1);
  });
});

test("v1: no caller can put answers into the queue of a task by naming it", async () => {
  const scene = openScene();
  const taskMessageQueue = new InMemoryTaskMessageQueue();
  const server = new ServerV1(
    { name: "tickets", version: "1" },
    { taskStore: new InMemoryTaskStore(), taskMessageQueue },
  );
  server.registerTool("read_ticket", { inputSchema: { id: z.string() } }, () => done);
  const [near, far] = LinkV1.createLinkedPair();
  const answered = new Set<unknown>();
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- a transport is no EventTarget
  near.onmessage = (message) => void answered.add("id" in message ? message.id : undefined);
  instrumentServer(server, { gate: scene.gate });
  await server.connect(far);
  await near.start();
  const _meta = { "io.modelcontextprotocol/related-task": { taskId: "task-1" } };
  const read = (id: string) => ({ name: "read_ticket", arguments: { id }, _meta });
  await near.send({ jsonrpc: "2.0", id: 1, method: "tools/call", params: read("T-1") });
  await near.send({ jsonrpc: "2.0", id: 2, method: "tools/call", params: read("T-2") });
  await near.send({ jsonrpc: "2.0", id: 3, method: "ping", params: { _meta } });
  await near.send({ jsonrpc: "2.0", id: 4, method: "vendor/none", params: { _meta } });
  await expect.poll(() => answered).toEqual(new Set([1, 2, 3, 4]));
  expect(await taskMessageQueue.dequeueAll("task-1")).toEqual([]);
  await near.close();
  await scene.close();
});

test("a client is no server", async () => {
  const scene = openScene();
  const client = new ClientV1({ name: "agent", version: "9" });
  expect(() => instrumentServer(client, { gate: scene.gate })).toThrow(/no MCP server/);
  expect(() => instrumentServer({}, { gate: scene.gate })).toThrow(/no MCP server/);
  await scene.close();
});
