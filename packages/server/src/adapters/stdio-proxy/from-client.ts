import { propagation } from "@opentelemetry/api";
import { classify, classifyNotification } from "@countersign/gate";
import { OTHER_METHOD } from "@countersign/model";
import { unrecordedDenial } from "../../denial.ts";
import type { Enforcer, IncomingCall, RunningCall } from "../../enforce.ts";
import type { Call } from "./calls.ts";
import { type Shared, isBlank } from "./from-server.ts";
import {
  type CallerNotification,
  type CallerRequest,
  type FaultyMessage,
  readCallerLine,
} from "./message.ts";
import { denialLine } from "./reply.ts";
import type { Skimmed } from "./skim.ts";
import { type TraceKeys, spliceMeta } from "./splice.ts";

/** Bounds of what the client may have open. */
export interface ClientLimits {
  readonly maxCalls: number;
  /** Bytes of requests that wait for their verdict; over it, reading pauses. */
  readonly maxWaitingBytes: number;
}

/** What the client's side needs beside what both share. */
export interface ClientSide {
  readonly enforcer: Enforcer;
  readonly limits: ClientLimits;
  /** The journal's counters: what the next heartbeat or `stop` reports. */
  count(what: "droppedNotifications" | "auditDenied"): void;
  /** Milliseconds, monotonic. */
  now(): number;
  /** Told when more or fewer requests wait for their verdict. */
  onLoad(): void;
}

/** A handler starts within this time of its decision (contract, section 5). Measured from before the decision. */
const DECISION_VALID_MS = 5_000;
const MAX_DECISIONS = 3;
const MAX_METHOD_LENGTH = 256;
const NEVER = new AbortController().signal;

/** Lines of the client: requests wait for their verdict, everything else keeps its order. */
export class FromClient {
  readonly #shared: Shared;
  readonly #side: ClientSide;
  #waiting = 0;
  #waitingBytes = 0;
  /** The last of those messages that keep their order; undefined when all are out. */
  #ordered: Promise<void> | undefined;
  #idle: (() => void)[] = [];

  constructor(shared: Shared, side: ClientSide) {
    this.#shared = shared;
    this.#side = side;
  }

  /** Reading should pause. */
  get loaded(): boolean {
    return this.#waitingBytes > this.#side.limits.maxWaitingBytes;
  }

  /** Resolves when no request waits for its verdict and everything is handed over. */
  async idle(): Promise<void> {
    while (this.#waiting > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    await this.#ordered;
  }

  line(line: Buffer): void {
    if (isBlank(line)) return;
    const message = readCallerLine(line);
    switch (message.kind) {
      case "request":
        this.#request(message);
        break;
      case "notification":
        this.#notification(message);
        break;
      case "response":
        if (this.#shared.serverRequests.delete(message.id))
          this.#inOrder(() => this.#shared.toServer.write(line));
        else this.#shared.report.note("stray_response");
        break;
      case "faulty":
        this.#refuse(message, "malformed");
        break;
    }
  }

  oversized(skimmed: Skimmed): void {
    this.#refuse(skimmed, "too_large");
  }

  #request(message: CallerRequest): void {
    const { calls, session } = this.#shared;
    if (calls.taken(message.id)) {
      // The id already addresses another answer: nothing may be sent to it.
      this.#refuse({ method: message.method }, "malformed");
      return;
    }
    const modern = session.isModern(message.meta);
    if (this.#full()) {
      const denial = unrecordedDenial(message.method);
      this.#shared.toClient.write(denialLine(message.id, denial, modern));
      return;
    }
    session.asked(message.method, message.params);
    const call = calls.open({ id: message.id, method: message.method, modern });
    if (classify(message.method) === "pass") this.#inOrder(() => this.#decide(call, message));
    else void this.#decide(call, message);
  }

  /** Bounded: beyond so many calls nothing more is decided, so nothing is recorded, so nothing runs. */
  #full(): boolean {
    if (Math.max(this.#shared.calls.size, this.#waiting) < this.#side.limits.maxCalls) return false;
    this.#shared.report.note("overload");
    this.#side.count("auditDenied");
    return true;
  }

  #notification(message: CallerNotification): void {
    if (classifyNotification(message.method) === "drop") {
      this.#side.count("droppedNotifications");
      this.#shared.report.note("dropped_notification");
      return;
    }
    const call =
      message.cancels === undefined ? undefined : this.#shared.calls.get(message.cancels);
    if (call !== undefined && call.running === undefined) {
      // The server has not seen this request, and the client wants no answer (MCP, cancellation).
      this.#shared.calls.close(call);
      call.abort.abort();
      return;
    }
    const line = spliceMeta(message.line, message.root, undefined);
    this.#inOrder(() => this.#shared.toServer.write(line));
    if (call?.running === undefined) return;
    this.#shared.calls.cancel(call);
    call.abort.abort();
    call.running.finish({ status: "cancelled" });
  }

  #inOrder(work: () => void | Promise<void>): void {
    const done = this.#ordered === undefined ? work() : this.#ordered.then(work);
    if (done === undefined) return;
    const tail: Promise<void> = done.finally(() => {
      if (this.#ordered === tail) this.#ordered = undefined;
    });
    this.#ordered = tail;
  }

  /** Decides one request and hands it over, or answers it. Never rejects. */
  async #decide(call: Call, message: CallerRequest): Promise<void> {
    this.#enter(message.line.length);
    try {
      await this.#decideAndForward(call, message);
    } catch {
      // `open` never rejects; should it, the call does not run. The error is not shown: it could quote the call.
      this.#shared.report.note("internal");
      this.#answer(call, denialLine(call.id, unrecordedDenial(call.method), call.modern));
    } finally {
      this.#leave(message.line.length);
    }
  }

  async #decideAndForward(call: Call, message: CallerRequest): Promise<void> {
    const { toServer } = this.#shared;
    for (let round = 0; round < MAX_DECISIONS; round += 1) {
      // A decision must not grow old behind a server that does not read.
      if (toServer.congested) await toServer.writable();
      if (call.over) return;
      const askedMs = this.#side.now();
      const open = await this.#side.enforcer.open(this.#incoming(call, message));
      if (open.effect === "block") {
        this.#answer(call, denialLine(call.id, open.denial, call.modern));
        return;
      }
      if (toServer.congested) await toServer.writable();
      if (!call.over && this.#side.now() - askedMs <= DECISION_VALID_MS) {
        this.#forward(call, message, open);
        return;
      }
      open.finish({ status: "not_run" });
    }
    this.#answer(call, denialLine(call.id, unrecordedDenial(call.method), call.modern));
  }

  #forward(call: Call, message: CallerRequest, open: RunningCall): void {
    call.running = open;
    const { line, root } = message;
    this.#shared.toServer.write(spliceMeta(line, root, traceOf(open)));
  }

  #answer(call: Call, line: Buffer): void {
    if (call.over) return;
    this.#shared.calls.close(call);
    this.#shared.toClient.write(line);
  }

  #incoming(call: Call, { method, params, meta, proof }: CallerRequest): IncomingCall {
    return {
      method,
      params,
      requestId: call.id,
      transport: "stdio",
      gate: "guard",
      signal: call.abort.signal,
      ...this.#shared.session.about(meta),
      ...(meta === undefined ? {} : { meta }),
      ...(proof === undefined ? {} : { proof }),
    };
  }

  /** Records a message that is not taken, and says so to whoever sent it. */
  #refuse(
    { id, method }: Omit<FaultyMessage, "kind" | "problem">,
    fault: "malformed" | "too_large",
  ): void {
    const answerTo = id === undefined || this.#shared.calls.taken(id) ? null : id;
    const named =
      method !== undefined && method.length <= MAX_METHOD_LENGTH ? method : OTHER_METHOD;
    if (this.#full()) {
      const modern = this.#shared.session.isModern(undefined);
      this.#shared.toClient.write(denialLine(answerTo, unrecordedDenial(named), modern));
      return;
    }
    void this.#refused(answerTo, {
      method: named,
      params: undefined,
      ...(id === undefined ? {} : { requestId: id }),
      transport: "stdio",
      gate: "guard",
      signal: NEVER,
      fault,
      ...this.#shared.session.about(undefined),
    });
  }

  async #refused(id: string | number | null, incoming: IncomingCall): Promise<void> {
    this.#enter(0);
    const open = await this.#side.enforcer.open(incoming).catch(() => undefined);
    if (open?.effect === "run") open.finish({ status: "not_run" });
    const denial = open?.effect === "block" ? open.denial : unrecordedDenial(incoming.method);
    const modern = this.#shared.session.isModern(undefined);
    this.#shared.toClient.write(denialLine(id, denial, modern));
    this.#leave(0);
  }

  #enter(bytes: number): void {
    this.#waiting += 1;
    this.#waitingBytes += bytes;
    this.#side.onLoad();
  }

  #leave(bytes: number): void {
    this.#waiting -= 1;
    this.#waitingBytes -= bytes;
    this.#side.onLoad();
    if (this.#waiting > 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }
}

/** The context of the SERVER span, as the server gets it. Undefined without tracing: then the caller's own bytes pass. */
function traceOf(open: RunningCall): TraceKeys | undefined {
  const carrier: { traceparent?: string; tracestate?: string } = {};
  propagation.inject(open.context, carrier);
  const { traceparent, tracestate } = carrier;
  if (traceparent === undefined) return undefined;
  return tracestate === undefined ? { traceparent } : { traceparent, tracestate };
}
