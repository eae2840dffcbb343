/* oxlint-disable no-underscore-dangle -- names of the wire */
import { InMemoryTransport as LinkV1 } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer as ServerV1 } from "@modelcontextprotocol/sdk/server/mcp.js";
import { PingRequestSchema, ProgressNotificationSchema } from "@modelcontextprotocol/sdk/types.js";
import {
  InMemoryTransport as LinkV2,
  McpServer as ServerV2,
  createMcpHandler,
  inputRequired,
} from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import type { McpCall, Verdict } from "@countersign/gate";
import { type SubjectToken, currentSubject } from "@countersign/identity";
import { META_CALL_PROOF } from "@countersign/model";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import * as z from "zod";
import { instrumentServer } from "../instrument.ts";
import { type GateScene, openScene } from "../testing/gate-scene.ts";

type Json = Record<string, unknown>;

const SECRET = "eyJ-not-for-handlers";
const PROOF = { token: SECRET, proof: SECRET };
const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";
const META = {
  [META_CALL_PROOF]: PROOF,
  traceparent: `00-${TRACE_ID}-00f067aa0ba902b7-01`,
  "com.example/mine": { kept: true },
};
const MODERN = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": { elicitation: { form: {} } },
  "io.modelcontextprotocol/clientInfo": { name: "agent", version: "1" },
};
const READ = { name: "read_ticket", arguments: { id: "T-1" } };
const done = { content: [{ type: "text" as const, text: "done" }] };

let scene: GateScene;
/** What reached the gate. */
let asked: McpCall[];
/** Everything that code of the application got to see, printed. */
let seen: string[];
let subjects: (SubjectToken | undefined)[];
let close: () => Promise<void> = async () => undefined;

beforeEach(() => {
  scene = openScene();
  [asked, seen, subjects] = [[], [], []];
  return () => scene.close();
});
afterEach(() => close());

const subject = { kind: "id_token", reveal: () => SECRET } as SubjectToken;

function bare({ proof: _proof, sentParams: _sent, ...call }: McpCall): McpCall {
  return call;
}

/** The real gate, told nothing of proofs (they are the identity package's business), that names a subject. */
function spyOnGate(): void {
  const { gate } = scene;
  const [decide, decideList] = [gate.decide.bind(gate), gate.decideList.bind(gate)];
  gate.decide = async (call): Promise<Verdict> => {
    asked.push(call);
    return { ...(await decide(bare(call))), subject };
  };
  gate.decideList = (call, offered) => {
    asked.push(call);
    return decideList(bare(call), offered);
  };
}

function see(...things: unknown[]): void {
  seen.push(inspect(things, { depth: 12, showHidden: true, getters: true }));
  subjects.push(currentSubject());
}

interface Wire {
  send(message: Json): Promise<void>;
  readonly received: Json[];
}

async function listenOn(near: object): Promise<Wire> {
  const received: Json[] = [];
  const link = near as { onmessage?: unknown; start(): Promise<void>; send: Wire["send"] };
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- a transport is no EventTarget
  link.onmessage = (message: Json) => void received.push(message);
  await link.start();
  return { received, send: (message) => link.send(message) };
}

async function overV1(): Promise<Wire> {
  const server = new ServerV1({ name: "tickets", version: "1" });
  server.registerTool("read_ticket", { inputSchema: { id: z.string() } }, (_args, extra) => {
    see(extra);
    return done;
  });
  server.server.setRequestHandler(PingRequestSchema, (request, extra) => {
    see(request, extra);
    return {};
  });
  server.server.setNotificationHandler(ProgressNotificationSchema, (note) => see(note));
  server.server.fallbackRequestHandler = async (request, extra) => {
    see(request, extra);
    return {};
  };
  const [near, far] = LinkV1.createLinkedPair();
  await server.connect(far);
  instrumentServer(server, { gate: scene.gate });
  close = () => server.close();
  return listenOn(near);
}

function makeV2(): ServerV2 {
  const server = new ServerV2({ name: "tickets", version: "1" });
  server.registerTool(
    "read_ticket",
    { inputSchema: z.object({ id: z.string() }) },
    (_args, ctx) => {
      see(ctx, ctx.mcpReq.envelope);
      if (ctx.mcpReq.inputResponses !== undefined) return done;
      return ctx.mcpReq.envelope === undefined
        ? done
        : inputRequired({ requestState: "round-1", inputRequests: {} });
    },
  );
  server.server.setRequestHandler("ping", (request, ctx) => {
    see(request, ctx);
    return {};
  });
  server.server.setNotificationHandler("notifications/progress", (note) => see(note));
  server.server.fallbackRequestHandler = async (request, ctx) => {
    see(request, ctx);
    return {};
  };
  instrumentServer(server, { gate: scene.gate });
  return server;
}

async function overV2(): Promise<Wire> {
  const server = makeV2();
  const [near, far] = LinkV2.createLinkedPair();
  await server.connect(far as never);
  close = () => server.close();
  return listenOn(near);
}

const request = (id: number, method: string, params: Json = {}): Json => ({
  jsonrpc: "2.0",
  id,
  method,
  params: { ...params, _meta: { ...META, ...(params["_meta"] as Json) } },
});

const answered = (wire: Wire, id: number) =>
  expect.poll(() => wire.received.some((message) => message["id"] === id)).toBe(true);

function expectNothingSeen(times: number): void {
  expect(seen).toHaveLength(times);
  for (const one of seen) {
    expect(one).not.toContain(SECRET);
    expect(one).not.toContain(META_CALL_PROOF);
  }
}

describe.each([
  ["v1", overV1],
  ["v2", overV2],
])("SDK %s", (_name, open) => {
  let wire: Wire;
  beforeEach(async () => {
    spyOnGate();
    wire = await open();
  });

  test("the gate gets the proof and the trace it names; the handler sees the rest of _meta", async () => {
    await wire.send(request(1, "tools/call", READ));
    await answered(wire, 1);
    expect(asked).toMatchObject([{ proof: PROOF, traceId: TRACE_ID }]);
    expect(JSON.stringify(asked[0]?.params)).not.toContain(SECRET);
    expect(seen[0]).toContain("kept: true");
    expectNothingSeen(1);
  });

  test("a method that no gate decides loses it as well, and so does a notification", async () => {
    await wire.send(request(1, "ping"));
    await wire.send({
      jsonrpc: "2.0",
      method: "notifications/progress",
      params: { progressToken: 1, progress: 1, _meta: META },
    });
    await expect.poll(() => seen.length).toBe(2);
    expectNothingSeen(2);
    expect(asked).toEqual([]);
  });

  test("a method that nobody mapped is decided with it, with and without a handler", async () => {
    await wire.send(request(1, "com.example/odd"));
    await answered(wire, 1);
    expect(asked).toMatchObject([{ method: "com.example/odd", proof: PROOF }]);
    expectNothingSeen(0);
  });

  test.each([
    ["null", null],
    ["a string", "x"],
    ["a list", [SECRET]],
  ])("what is no proof (%s) is handed over as it is: the gate judges it", async (_what, odd) => {
    await wire.send(request(1, "tools/call", { ...READ, _meta: { [META_CALL_PROOF]: odd } }));
    await answered(wire, 1);
    expect(asked.map(({ proof }) => proof)).toEqual([odd]);
    expectNothingSeen(1);
  });

  test("the handler runs on behalf of its own human, and of no other", async () => {
    await wire.send(request(1, "tools/call", READ));
    await wire.send(request(2, "ping"));
    await answered(wire, 1);
    await answered(wire, 2);
    expect(subjects).toHaveLength(2);
    expect(subjects.filter((one) => one === subject)).toHaveLength(1);
    expect(currentSubject()).toBeUndefined();
  });

  test("each message has a proof object of its own, also when a link hands over the same one twice", async () => {
    const message = request(1, "tools/call", READ);
    await wire.send(message);
    await answered(wire, 1);
    await wire.send({ ...message, id: 2 });
    await answered(wire, 2);
    expect(asked).toHaveLength(2);
    expect(asked[0]?.proof).not.toBe(asked[1]?.proof);
    expect(asked[1]?.proof).toEqual(PROOF);
  });
});

/** One leg of a multi-round call: `inputResponses` and `requestState` are what the SDK takes out of the params. */
const RETRY = { ...READ, inputResponses: { a: { action: "accept" } }, requestState: "round-1" };
const modern = (id: number, method: string, params: Json): Json =>
  request(id, method, { ...params, _meta: MODERN });

const sentOf = (call: McpCall): unknown => {
  const { _meta, ...params } = (call.sentParams ?? call.params) as Json;
  return params;
};

test("v2 over STDIO, 2026 era: what was sent is told although the SDK takes parts of it out; listen included", async () => {
  spyOnGate();
  const [near, far] = LinkV2.createLinkedPair();
  instrumentServer(far, { gate: scene.gate });
  const serving = serveStdio(makeV2, { transport: far as never });
  close = () => serving.close();
  const wire = await listenOn(near);
  const listen = { notifications: { resourceSubscriptions: ["ticket://T-1"] } };
  await wire.send(modern(1, "subscriptions/listen", listen));
  await expect.poll(() => asked.length).toBe(1);
  await wire.send(modern(2, "tools/call", RETRY));
  await answered(wire, 2);
  expect(asked.map(({ proof }) => proof)).toEqual([PROOF, PROOF]);
  expect(asked.map(sentOf)).toEqual([listen, RETRY]);
  expect(asked[1]?.params).not.toHaveProperty("requestState");
  expectNothingSeen(1);
});

describe("v2 over HTTP", () => {
  let post: (message: Json, parse?: boolean) => Promise<Json>;
  let toFactory: string[];
  beforeEach(() => {
    spyOnGate();
    toFactory = [];
    const handler = createMcpHandler(async ({ requestInfo }) => {
      toFactory.push((await requestInfo?.text().catch(() => "")) ?? "");
      return makeV2();
    });
    instrumentServer(handler, { gate: scene.gate });
    close = () => handler.close();
    post = async (message, parse = false) => {
      const version = (message["params"] as { _meta: Json })._meta[
        "io.modelcontextprotocol/protocolVersion"
      ];
      const method = message["method"] as string;
      const incoming = new Request("http://127.0.0.1/mcp", {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          "mcp-protocol-version": (version as string | undefined) ?? "2025-11-25",
          ...(version === undefined ? {} : { "mcp-method": method }),
          ...(version === undefined || method !== "tools/call"
            ? {}
            : { "mcp-name": "read_ticket" }),
        },
        body: JSON.stringify(message),
      });
      const response = await handler.fetch(incoming, parse ? { parsedBody: message } : {});
      const first = await response.body?.getReader().read();
      const text = Buffer.from(first?.value ?? []).toString("utf8");
      return JSON.parse(text.slice(text.indexOf("{"))) as Json;
    };
  });

  test("2026 era", async () => {
    await post(modern(1, "tools/call", RETRY));
    expect(asked.map(({ proof }) => proof)).toEqual([PROOF]);
    expect(asked.map(sentOf)).toEqual([RETRY]);
    expectNothingSeen(1);
    expect(toFactory.join("")).not.toContain(SECRET);
  });

  test.each([false, true])("listen, body parsed before: %s", async (parse) => {
    const listen = { notifications: { resourceSubscriptions: ["ticket://T-1"] } };
    const acknowledged = await post(modern(1, "subscriptions/listen", listen), parse);
    expect(acknowledged).toMatchObject({ method: "notifications/subscriptions/acknowledged" });
    expect(asked.map(({ proof }) => proof)).toEqual([PROOF]);
    expect(asked.map(sentOf)).toEqual([listen]);
    expect(toFactory.join("")).not.toContain(SECRET);
  });

  test("2025 era: the Request that a handler gets has no body with the proof in it", async () => {
    let body = "";
    const handler = createMcpHandler(() => {
      const server = new ServerV2({ name: "tickets", version: "1" });
      server.registerTool(
        "read_ticket",
        { inputSchema: z.object({ id: z.string() }) },
        async (_args, ctx) => {
          see(ctx);
          body = (await ctx.http?.req?.text()) ?? "no request";
          return done;
        },
      );
      instrumentServer(server, { gate: scene.gate });
      return server;
    });
    close = () => handler.close();
    const response = await handler.fetch(
      new Request("http://127.0.0.1/mcp", {
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json, text/event-stream",
          "mcp-protocol-version": "2025-11-25",
        },
        body: JSON.stringify(request(1, "tools/call", READ)),
      }),
    );
    expect(await response.text()).toContain("done");
    expect(asked.map(({ proof }) => proof)).toEqual([PROOF]);
    expectNothingSeen(1);
    expect(body).toBe("");
  });
});
