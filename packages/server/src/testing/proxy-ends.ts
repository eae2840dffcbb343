import { PassThrough } from "node:stream";
import { ROOT_CONTEXT } from "@opentelemetry/api";
import { vi } from "vitest";
import { type Proxy, type ProxyLimits, createProxy } from "../adapters/stdio-proxy/proxy.ts";
import { createReport } from "../adapters/stdio-proxy/report.ts";
import type { Ending, Enforcer, IncomingCall, OpenCall } from "../enforce.ts";

/** A JSON object. */
export type Json = Record<string, unknown>;

/** A call that waits for the test to decide it. */
export interface Held {
  readonly call: IncomingCall;
  readonly release: (open: OpenCall) => void;
}

/** What the proxy of {@link proxyBetween} stands between, in the hands of the test. */
export interface Ends {
  readonly proxy: Proxy;
  readonly input: PassThrough;
  readonly output: PassThrough;
  readonly toServer: PassThrough;
  readonly fromServer: PassThrough;
  /** The client says, the server answers: an object, or a line as it is. */
  say(message: unknown): void;
  answer(message: unknown): void;
  /** What the client and the server have received. */
  client(): Json[];
  server(): Json[];
  readonly held: readonly Held[];
  asked(index: number): Promise<Held>;
  allow(index: number): Promise<void>;
  deny(index: number): Promise<void>;
  run(call: IncomingCall, more?: object): OpenCall;
  readonly endings: readonly (Ending & { id: unknown })[];
  readonly notes: readonly string[];
  readonly counted: readonly string[];
}

/** The answer of a gate that says no. */
export const DENIED: OpenCall & { effect: "block" } = {
  effect: "block",
  denial: { kind: "error", error: { code: -31403, message: "Access denied. Reference: x" } },
};

function collect(stream: PassThrough): () => Json[] {
  let text = "";
  stream.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
  return () =>
    text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Json);
}

function lineOf(message: unknown): string {
  return `${typeof message === "string" ? message : JSON.stringify(message)}\n`;
}

function heldAt(held: readonly Held[], index: number): Held {
  const one = held[index];
  if (one === undefined) throw new Error("the gate was not asked so often");
  return one;
}

/** A proxy between two ends that the test holds, and a gate that answers when the test says so. */
export function proxyBetween(limits: Partial<ProxyLimits> = {}, now?: () => number): Ends {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const [toServer, fromServer] = [new PassThrough(), new PassThrough()];
  const held: Held[] = [];
  const endings: (Ending & { id: unknown })[] = [];
  const notes: string[] = [];
  const counted: string[] = [];
  const run = (call: IncomingCall, more: object = {}): OpenCall => ({
    effect: "run",
    context: ROOT_CONTEXT,
    run: (handler) => handler(),
    finish: (ending: Ending) => void endings.push({ id: call.requestId, ...ending }),
    ...more,
  });
  const enforcer: Enforcer = {
    open: async (call) => {
      if (["initialize", "ping"].includes(call.method) && call.fault === undefined)
        return run(call);
      return new Promise((release) => held.push({ call, release }));
    },
  };
  const proxy = createProxy({
    enforcer,
    client: { input, output },
    server: { input: toServer, output: fromServer },
    report: createReport((line) => notes.push(line)),
    count: (what) => counted.push(what),
    limits,
    ...(now === undefined ? {} : { now }),
  });
  const asked = (index: number): Promise<Held> => vi.waitFor(() => heldAt(held, index));
  return {
    proxy,
    input,
    output,
    toServer,
    fromServer,
    held,
    endings,
    notes,
    counted,
    run,
    asked,
    client: collect(output),
    server: collect(toServer),
    say: (message) => void input.write(lineOf(message)),
    answer: (message) => void fromServer.write(lineOf(message)),
    allow: async (index) => {
      const one = await asked(index);
      one.release(run(one.call));
    },
    deny: async (index) => (await asked(index)).release(DENIED),
  };
}

/** A `tools/call` request. */
export function toolCall(id: unknown, name = "t", more: Json = {}): Json {
  return { jsonrpc: "2.0", id, method: "tools/call", params: { name, arguments: {}, ...more } };
}

/** A result. */
export function result(id: unknown, value: Json = {}): Json {
  return { jsonrpc: "2.0", id, result: value };
}

/** A cancellation, of either side. */
export function cancelled(requestId: unknown): Json {
  return { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId } };
}
