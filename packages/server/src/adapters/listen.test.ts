import {
  InMemoryTransport,
  McpServer,
  ResourceTemplate,
  createMcpHandler,
} from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { instrumentServer } from "../instrument.ts";
import { type GateScene, openScene } from "../testing/gate-scene.ts";

type Json = Record<string, unknown>;

const MODERN = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
  "io.modelcontextprotocol/clientInfo": { name: "agent", version: "1" },
};

function listenTo(id: string, ...uris: string[]): Json {
  const notifications = { resourceSubscriptions: uris, toolsListChanged: true };
  return {
    jsonrpc: "2.0",
    id,
    method: "subscriptions/listen",
    params: { _meta: MODERN, notifications },
  };
}

let scene: GateScene;
beforeEach(() => {
  scene = openScene();
  return () => scene.close();
});

/** A server that offers subscriptions, with the gate on its instances. */
function makeServer(): McpServer {
  const capabilities = {
    tools: { listChanged: true },
    resources: { subscribe: true, listChanged: true },
  };
  const server = new McpServer({ name: "tickets", version: "1" }, { capabilities });
  instrumentServer(server, { gate: scene.gate });
  server.registerResource(
    "ticket",
    new ResourceTemplate("ticket://{id}", { list: undefined }),
    {},
    () => ({ contents: [] }),
  );
  return server;
}

const answers = (received: Json[], id: string) =>
  received.filter(
    (message) =>
      message["id"] === id || JSON.stringify(message).includes(`subscriptionId":"${id}"`),
  );

const recorded = () =>
  scene
    .decisions()
    .map(({ data }) => [data.call.method, data.call.transport, data.decision, data.reason]);

describe("over HTTP, createMcpHandler serves it", () => {
  let close: () => Promise<void>;
  afterEach(() => close());

  function serve(
    gated: boolean,
    before = "",
  ): (message: Json) => Promise<{ status: number; body: string }> {
    const handler = createMcpHandler(makeServer);
    close = () => handler.close();
    if (gated) instrumentServer(handler, { gate: scene.gate });
    return async (message) => {
      const leave = new AbortController();
      const response = await handler.fetch(
        new Request("http://127.0.0.1/mcp", {
          method: "POST",
          signal: leave.signal,
          headers: {
            "content-type": "application/json",
            accept: "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "subscriptions/listen",
          },
          body: before + JSON.stringify(message),
        }),
      );
      const first = await response.body?.getReader().read();
      leave.abort();
      return { status: response.status, body: Buffer.from(first?.value ?? []).toString("utf8") };
    };
  }

  test("every URI is decided like a read: allowed, it is honoured", async () => {
    const { body } = await serve(true)(listenTo("a", "ticket://T-1"));
    expect(body).toContain('"resourceSubscriptions":["ticket://T-1"]');
    expect(recorded()).toEqual([["subscriptions/listen", "http", "allow", "permitted"]]);
    expect(scene.outcomes()).toEqual([]);
  });

  test("one that is forbidden denies the whole request", async () => {
    const { body } = await serve(true)(listenTo("a", "ticket://T-1", "ticket://T-2"));
    const [decision] = scene.decisions();
    expect(JSON.parse(body)).toEqual({
      jsonrpc: "2.0",
      id: "a",
      error: {
        code: -31403,
        message: `Access denied. Reference: ${decision?.id}`,
        data: { decisionId: decision?.id },
      },
    });
  });

  test("a byte order mark hides nothing", async () => {
    const { body } = await serve(true, "\uFEFF")(listenTo("a", "ticket://T-2"));
    expect(body).toContain("Access denied.");
    expect(recorded()).toEqual([["subscriptions/listen", "http", "deny", "forbidden"]]);
  });

  test("a handler that nobody gated honours nothing", async () => {
    const { body } = await serve(false)(listenTo("a", "ticket://T-1"));
    expect(body).toContain("notifications/subscriptions/acknowledged");
    expect(body).toContain('"notifications":{}');
    expect(recorded()).toEqual([]);
  });
});

describe("over STDIO, serveStdio serves it", () => {
  let stop: () => Promise<void>;
  afterEach(() => stop());

  async function connect(
    gated: boolean,
  ): Promise<{ send(message: Json): Promise<void>; received: Json[] }> {
    const [near, far] = InMemoryTransport.createLinkedPair();
    const received: Json[] = [];
    // oxlint-disable-next-line unicorn/prefer-add-event-listener -- a transport is no EventTarget
    near.onmessage = (message) => void received.push(message as unknown as Json);
    await near.start();
    if (gated) instrumentServer(far, { gate: scene.gate });
    const handle = serveStdio(makeServer, { transport: far as never });
    stop = () => handle.close();
    return { send: (message) => near.send(message as never), received };
  }

  test("as the first message, and as a later one", async () => {
    const { received, ...wire } = await connect(true);
    await wire.send(listenTo("a", "ticket://T-1"));
    await expect.poll(() => answers(received, "a").length).toBe(1);
    await wire.send(listenTo("b", "ticket://T-2"));
    await expect.poll(() => answers(received, "b").length).toBe(1);
    expect(answers(received, "a")[0]).toMatchObject({
      method: "notifications/subscriptions/acknowledged",
      params: {
        notifications: { resourceSubscriptions: ["ticket://T-1"], toolsListChanged: true },
      },
    });
    expect(answers(received, "b")[0]).toMatchObject({ error: { code: -31403 } });
    expect(recorded().map(([, ...rest]) => rest)).toEqual([
      ["stdio", "allow", "permitted"],
      ["stdio", "deny", "forbidden"],
    ]);
  });

  test("cancelled while it waits for its decision: neither served nor answered", async () => {
    const { received, ...wire } = await connect(true);
    const decide = scene.gate.decide.bind(scene.gate);
    const { promise: asked, resolve } = Promise.withResolvers<void>();
    scene.gate.decide = async (call) => {
      resolve();
      await expect.poll(() => call.signal.aborted).toBe(true);
      return decide(call);
    };
    await wire.send(listenTo("a", "ticket://T-1"));
    await asked;
    await wire.send({
      jsonrpc: "2.0",
      method: "notifications/cancelled",
      params: { requestId: "a" },
    });
    await expect
      .poll(() => scene.decisions().map(({ data }) => data.reason))
      .toEqual(["cancelled"]);
    await wire.send({
      jsonrpc: "2.0",
      id: "after",
      method: "server/discover",
      params: { _meta: MODERN },
    });
    await expect.poll(() => answers(received, "after").length).toBe(1);
    expect(answers(received, "a")).toEqual([]);
  });

  test("a transport that nobody gated honours nothing", async () => {
    const { received, ...wire } = await connect(false);
    await wire.send(listenTo("a", "ticket://T-1"));
    await expect.poll(() => answers(received, "a").length).toBeGreaterThan(0);
    expect(answers(received, "a")[0]).toMatchObject({ params: { notifications: {} } });
    expect(JSON.stringify(answers(received, "a"))).not.toContain("T-1");
  });
});
