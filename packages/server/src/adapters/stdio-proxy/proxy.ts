import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import type { Enforcer } from "../../enforce.ts";
import { createCalls } from "./calls.ts";
import { FromClient } from "./from-client.ts";
import { FromServer, type Shared } from "./from-server.ts";
import { type LineReader, createLineReader } from "./lines.ts";
import { createOutlet } from "./outlet.ts";
import { CODE_INTERNAL, TEXT_SERVER_GONE, errorLine } from "./reply.ts";
import type { Report } from "./report.ts";
import { Session } from "./session.ts";

/** Limits of one proxied connection. */
export interface ProxyLimits {
  /** Longest line of the client. Over it: answered, recorded as `too_large`, not forwarded. */
  readonly maxRequestBytes: number;
  /** Longest line of the server. Over it: the call ends in an error. */
  readonly maxAnswerBytes: number;
  /** Requests of the client without an answer. Over it: refused. */
  readonly maxCalls: number;
  /** Bytes of requests that wait for their verdict. Over it: the client waits. */
  readonly maxWaitingBytes: number;
  /** Bytes that the client has not read. Over it: the client's requests wait. */
  readonly maxBacklogBytes: number;
  /** Requests of the server without an answer. Over it: refused. */
  readonly maxServerRequests: number;
}

/** Bounds the wait for a client that does not read what the server left behind. */
const MAX_DRAIN_ROUNDS = 20;
const MIB = 1_024 * 1_024;

/** The limits, as the guard's documentation has them. */
const PROXY_LIMITS: ProxyLimits = {
  maxRequestBytes: 4 * MIB,
  maxAnswerBytes: 64 * MIB,
  maxCalls: 1_024,
  maxWaitingBytes: 64 * MIB,
  maxBacklogBytes: 16 * MIB,
  maxServerRequests: 1_024,
};

/** What a proxy stands between. */
export interface ProxyOptions {
  readonly enforcer: Enforcer;
  readonly client: { readonly input: Readable; readonly output: Writable };
  readonly server: { readonly input: Writable; readonly output: Readable };
  readonly report: Report;
  readonly limits?: Partial<ProxyLimits>;
  /** The journal's counters. Default: not counted. */
  readonly count?: (what: "droppedNotifications" | "auditDenied") => void;
  /** Milliseconds, monotonic. Default `performance.now`. */
  readonly now?: () => number;
}

/** A running proxy. */
export interface Proxy {
  /** Resolves when the client's input has ended, all of it was decided, and the server's input was ended. */
  readonly inputEnded: Promise<void>;
  /**
   * After the server's exit: resolves when its output has ended, or nothing more came for `quietMs`. Somebody else may
   * hold the pipe open (a grandchild).
   */
  drained(quietMs: number): Promise<void>;
  /** The server is gone: every open call is answered with an error and ends `unknown`. Resolves when the client has all. */
  serverGone(): Promise<void>;
}

/** Starts to pass messages between a client and a server, through the gate. */
export function createProxy(options: ProxyOptions): Proxy {
  return new StdioProxy(options);
}

class StdioProxy implements Proxy {
  readonly #options: ProxyOptions;
  readonly #limits: ProxyLimits;
  readonly #shared: Shared;
  readonly #fromClient: FromClient;
  readonly #fromServer: FromServer;
  readonly inputEnded: Promise<void>;
  readonly #outputEnded: Promise<void>;
  #stopReading: () => void = () => undefined;
  #reading = true;

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#limits = { ...PROXY_LIMITS, ...options.limits };
    const shared: Shared = {
      calls: createCalls(this.#limits.maxCalls),
      serverRequests: new Set(),
      session: new Session(),
      toClient: createOutlet(options.client.output),
      toServer: createOutlet(options.server.input),
      report: options.report,
    };
    this.#shared = shared;
    this.#fromClient = new FromClient(shared, {
      enforcer: options.enforcer,
      limits: this.#limits,
      count: (what) => options.count?.(what),
      now: options.now ?? (() => performance.now()),
      onLoad: () => this.#balance(),
    });
    this.#fromServer = new FromServer(shared, this.#limits);
    shared.toClient.onChange = () => this.#balance();
    shared.toServer.onChange = () => this.#balance();
    this.#outputEnded = read(
      options.server.output,
      createLineReader(this.#limits.maxAnswerBytes, this.#fromServer),
    );
    this.inputEnded = this.#readClient();
  }

  async drained(quietMs: number): Promise<void> {
    const { output } = this.#options.server;
    let heard = 0;
    const hear = (): void => void (heard += 1);
    output.on("data", hear);
    // A client that reads slowly is waited for, but not for ever.
    for (let round = 0; round < MAX_DRAIN_ROUNDS; round += 1) {
      const before = heard;
      const ended = this.#outputEnded.then(() => true);
      if (await Promise.race([ended, delay(quietMs, false, { ref: false })])) break;
      if (heard === before && !this.#shared.toClient.congested) break;
    }
    output.off("data", hear);
  }

  async serverGone(): Promise<void> {
    this.#stopReading();
    const { calls, toClient } = this.#shared;
    await this.#fromServer.idle();
    for (const call of calls.all()) {
      calls.close(call);
      toClient.write(errorLine(call.id, { code: CODE_INTERNAL, message: TEXT_SERVER_GONE }));
      call.abort.abort();
      call.running?.finish({ status: "unknown" });
    }
    await this.#fromClient.idle();
    await toClient.flush();
  }

  async #readClient(): Promise<void> {
    const { input } = this.#options.client;
    const ended = read(input, createLineReader(this.#limits.maxRequestBytes, this.#fromClient));
    // A client that reads no more wants no more: that is its end, too.
    await Promise.race([ended, new Promise<void>((resolve) => (this.#stopReading = resolve))]);
    this.#reading = false;
    input.pause();
    await this.#fromClient.idle();
    await this.#shared.toServer.end();
  }

  /** Reads from one side only as fast as the other takes it. */
  #balance(): void {
    const { client, server } = this.#options;
    const { toClient, toServer } = this.#shared;
    if (toClient.closed) this.#stopReading();
    const hold =
      toServer.congested ||
      this.#fromClient.loaded ||
      toClient.backlogBytes > this.#limits.maxBacklogBytes;
    flow(client.input, this.#reading && !hold);
    flow(server.output, !toClient.congested);
  }
}

function flow(stream: Readable, on: boolean): void {
  if (stream.isPaused() !== on || stream.destroyed) return;
  if (on) stream.resume();
  else stream.pause();
}

/** Feeds a stream to a reader. Resolves at its end, however it ends. */
function read(stream: Readable, reader: LineReader): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      reader.end();
      resolve();
    };
    stream.on("data", (chunk: Buffer | string) =>
      reader.push(typeof chunk === "string" ? Buffer.from(chunk) : chunk),
    );
    stream.once("end", end);
    stream.once("error", end);
    stream.once("close", end);
  });
}
