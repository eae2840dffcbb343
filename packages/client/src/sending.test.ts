/* oxlint-disable no-underscore-dangle -- names of the wire */
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { InMemoryTransport as LinkV1 } from "@modelcontextprotocol/sdk/inMemory.js";
import { McpServer as ServerV1 } from "@modelcontextprotocol/sdk/server/mcp.js";
import { Client as ClientV2, InMemoryTransport as LinkV2 } from "@modelcontextprotocol/client";
import { McpServer as ServerV2 } from "@modelcontextprotocol/server";
import { CountersignError, META_CALL_PROOF } from "@countersign/model";
import { beforeEach, describe, expect, test } from "vitest";
import * as z from "zod";
import type { CallProofs, Message } from "./call-proofs.ts";
import { patchTarget } from "./instrument.ts";
import { proveSends } from "./sending.ts";
import { createClientSpans } from "./spans.ts";

type Json = Record<string, unknown>;

/** Proofs that are ready when the test says so, numbered in the order in which they were asked for. */
interface HeldProofs extends CallProofs {
  readonly asked: string[];
  /** Settles the oldest that waits. */
  release(error?: Error): void;
}

const SENT_AT_ONCE = new Set(["initialize", "ping"]);

function heldProofs(): HeldProofs {
  const asked: string[] = [];
  const waiting: { resolve: (error?: Error) => void }[] = [];
  return {
    asked,
    release: (error) => waiting.shift()?.resolve(error),
    prove(message: Message) {
      const { method, id } = message;
      if (typeof method !== "string" || id === undefined || SENT_AT_ONCE.has(method))
        return message;
      asked.push(method);
      const proof = { proof: `p${asked.length}` };
      const params = message["params"] as Json | undefined;
      const meta = { ...(params?.["_meta"] as Json), [META_CALL_PROOF]: proof };
      return new Promise((resolve, reject) => {
        waiting.push({
          resolve: (error) => {
            if (error === undefined) resolve({ ...message, params: { ...params, _meta: meta } });
            else reject(error);
          },
        });
      });
    },
  };
}

/** A transport that keeps what it was given to write. */
function sink() {
  const written: Json[] = [];
  return {
    written,
    send: async (message: Json): Promise<void> => {
      written.push(message);
    },
  };
}

const request = (id: number): Json => ({ jsonrpc: "2.0", id, method: "tools/call", params: {} });
const cancel = (id: number): Json => ({
  jsonrpc: "2.0",
  method: "notifications/cancelled",
  params: { requestId: id },
});
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const namesOf = (written: readonly Json[]) =>
  written.map(({ id, method }) => (id === undefined ? method : id));

let proofs: HeldProofs;
beforeEach(() => {
  proofs = heldProofs();
});

test("what needs no proof is written while send runs, as it always was", () => {
  const transport = sink();
  proveSends(transport, proofs);
  const note = cancel(1);
  void transport.send(note);
  expect(transport.written).toEqual([note]);
});

test("proofs that are ready in another order do not change the order of messages", async () => {
  const transport = sink();
  const out: (() => void)[] = [];
  proveSends(transport, {
    prove: (message) =>
      message["id"] === undefined
        ? message
        : new Promise((resolve) => out.push(() => resolve(message))),
  });
  const sent = [request(1), request(2), cancel(1), request(3)].map((one) => transport.send(one));
  for (const ready of out.toReversed()) {
    expect(transport.written).toEqual([]);
    ready();
    // oxlint-disable-next-line no-await-in-loop -- one after the other is the point
    await settled();
  }
  await Promise.all(sent);
  expect(namesOf(transport.written)).toEqual([1, 2, "notifications/cancelled", 3]);
});

test("a message that cannot be proven is rejected and not written; those behind it go on", async () => {
  const transport = sink();
  proveSends(transport, proofs);
  const failed = transport.send(request(1));
  const next = transport.send(request(2));
  proofs.release(new CountersignError("UNAVAILABLE", "client.proof: no helper"));
  proofs.release();
  await expect(failed).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await next;
  expect(namesOf(transport.written)).toEqual([2]);
});

test("a slow answer to one message holds nobody up; only its proof does", async () => {
  const written: Json[] = [];
  const transport = {
    send: (message: Json) => {
      written.push(message);
      return new Promise<void>(() => undefined);
    },
  };
  proveSends(transport, proofs);
  void transport.send(request(1));
  void transport.send(request(2));
  proofs.release();
  proofs.release();
  await settled();
  expect(namesOf(written)).toEqual([1, 2]);
});

test("a transport that sends again by itself gets another proof, also inside send", async () => {
  const written: Json[] = [];
  const transport = {
    async send(this: { send(message: Json): Promise<void> }, message: Json): Promise<void> {
      written.push(message);
      if (written.length === 1) await this.send(message);
    },
  };
  proveSends(transport, proofs);
  const sent = transport.send(request(1));
  proofs.release();
  await settled();
  proofs.release();
  await sent;
  const metas = written.map(({ params }) => (params as Json)["_meta"]);
  expect(metas).toEqual([
    { [META_CALL_PROOF]: { proof: "p1" } },
    { [META_CALL_PROOF]: { proof: "p2" } },
  ]);
});

test("SDK v2's HTTP transport sends again past send: its inner method is what is wrapped", async () => {
  const written: Json[] = [];
  class Http {
    readonly _url = new URL("https://tickets.example/mcp");
    send(message: Json): Promise<void> {
      return this._send(message, false);
    }
    async _send(message: Json, again: boolean): Promise<void> {
      written.push(message);
      if (!again) await this._send(message, true);
    }
  }
  const transport = new Http();
  proveSends(transport, proofs);
  const sent = transport.send(request(1));
  proofs.release();
  await settled();
  proofs.release();
  await sent;
  expect(proofs.asked).toHaveLength(2);
  expect(written).toHaveLength(2);
});

test("so many may wait and no more", async () => {
  const transport = sink();
  proveSends(transport, proofs);
  const sent = Array.from({ length: 1_024 }, (_, index) => transport.send(request(index)));
  await expect(transport.send(request(9_999))).rejects.toMatchObject({ code: "OVERLOADED" });
  await expect(transport.send(cancel(9_999))).rejects.toMatchObject({ code: "OVERLOADED" });
  for (const _ of sent) proofs.release();
  await Promise.all(sent);
  expect(transport.written).toHaveLength(1_024);
  const after = transport.send(request(1));
  proofs.release();
  await after;
});

test("again wraps nothing twice, and takes over the newer login", async () => {
  const transport = sink();
  proveSends(transport, heldProofs());
  const { send } = transport;
  proveSends(transport, proofs);
  expect(transport.send).toBe(send);
  void transport.send(request(1));
  expect(proofs.asked).toEqual(["tools/call"]);
});

interface Pair {
  readonly client: {
    callTool(request: Json, ...rest: unknown[]): Promise<unknown>;
    ping(): Promise<unknown>;
    close(): Promise<void>;
  };
  readonly seen: Json[];
  readonly ran: unknown[];
}

function watch(wire: object, seen: Json[]): void {
  const transport = wire as { onmessage?: (message: Json, extra?: unknown) => void };
  const deliver = transport.onmessage;
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- a transport is no EventTarget
  transport.onmessage = (message, extra) => {
    seen.push(message);
    deliver?.(message, extra);
  };
}

async function openV1(): Promise<Pair> {
  const ran: unknown[] = [];
  const server = new ServerV1({ name: "s", version: "1" });
  server.registerTool("echo", { inputSchema: { id: z.string() } }, ({ id }) => {
    ran.push(id);
    return { content: [] };
  });
  const [near, far] = LinkV1.createLinkedPair();
  const client = new ClientV1({ name: "c", version: "1" });
  await server.connect(far);
  await client.connect(near);
  const seen: Json[] = [];
  watch(far, seen);
  // Connected before it is instrumented.
  patchTarget(client, { spans: createClientSpans(), proofs });
  return { client: client as never, seen, ran };
}

async function openV2(): Promise<Pair> {
  const ran: unknown[] = [];
  const server = new ServerV2({ name: "s", version: "1" });
  server.registerTool("echo", { inputSchema: z.object({ id: z.string() }) }, ({ id }) => {
    ran.push(id);
    return { content: [] };
  });
  const [near, far] = LinkV2.createLinkedPair();
  const client = new ClientV2({ name: "c", version: "1" });
  await server.connect(far as never);
  await client.connect(near);
  const seen: Json[] = [];
  watch(far, seen);
  patchTarget(client, { spans: createClientSpans(), proofs });
  return { client: client as never, seen, ran };
}

/** v2 does not send within the call. */
async function begun(): Promise<void> {
  // oxlint-disable-next-line no-await-in-loop -- a poll; the test's own deadline bounds it
  while (proofs.asked.length === 0) await settled();
}

describe.each([
  ["v1", openV1],
  ["v2", openV2],
])("a client of SDK %s", (_name, open) => {
  let pair: Pair;
  beforeEach(async () => {
    pair = await open();
    return () => pair.client.close();
  });

  test("a request that is cancelled while its proof is made is sent, and then its cancellation", async () => {
    const abort = new AbortController();
    const options = { signal: abort.signal };
    const given = open === openV1 ? [undefined, options] : [options];
    const called = pair.client.callTool({ name: "echo", arguments: { id: "a" } }, ...given);
    await begun();
    abort.abort();
    await expect(called).rejects.toThrow(/abort/i);
    expect(pair.seen).toEqual([]);
    proofs.release();
    await settled();
    expect(pair.seen.map(({ method }) => method)).toEqual([
      "tools/call",
      "notifications/cancelled",
    ]);
  });

  test("the caller gets the error of a proof that could not be made, and nothing is sent", async () => {
    const called = pair.client.callTool({ name: "echo", arguments: { id: "a" } });
    await begun();
    proofs.release(new CountersignError("UNAVAILABLE", "client.proof: no helper"));
    await expect(called).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect([pair.seen, pair.ran]).toEqual([[], []]);
  });

  test("ping waits behind a request whose proof is made", async () => {
    const called = pair.client.callTool({ name: "echo", arguments: { id: "a" } });
    await begun();
    const pinged = pair.client.ping();
    await settled();
    expect(pair.seen).toEqual([]);
    proofs.release();
    await Promise.all([called, pinged]);
    expect(pair.seen.map(({ method }) => method)).toEqual(["tools/call", "ping"]);
  });
});
