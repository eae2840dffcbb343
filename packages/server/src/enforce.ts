import { type Context, type TracerProvider, context } from "@opentelemetry/api";
import {
  type CallOutcome,
  type Gate,
  type ListEntry,
  type McpCall,
  type Verdict,
  classify,
} from "@countersign/gate";
import { runWithSubject } from "@countersign/identity";
import { type Denial, denialOf, denialOutcome } from "./denial.ts";
import { isListMethod, offeredBy, onlyShown } from "./listing.ts";
import { isRecord } from "./json.ts";
import { type OutgoingRequest, type OutgoingSpan, startOutgoing } from "./outgoing-span.ts";
import { parentOf, traceIdOf } from "./propagate.ts";
import { type ActiveSpan, type CallSpans, type OptInAttributes, createCallSpans } from "./spans.ts";

/**
 * A request as an adapter saw it. `meta` is its `params._meta`: the caller's trace context is read from there. The call
 * proof is in `proof`, and nowhere else.
 */
export type IncomingCall = Omit<McpCall, "traceparent" | "traceId" | "context"> & {
  readonly meta?: Readonly<Record<string, unknown>> | undefined;
};

/** How a call ended. `rpcCode` belongs to `rpc_error`, `taskId` to `task_created`. */
export type Ending = Omit<CallOutcome, "durationUs" | "traceparent">;

/** The filtered list result, or the denial that takes its place. */
export type Filtered = { readonly result: Record<string, unknown> } | { readonly denial: Denial };

/** A call that may run. Run it (the SERVER span is active in `context`), then call `finish`. */
export interface RunningCall {
  readonly effect: "run";
  readonly context: Context;
  /** Calls the handler with `context` active, on behalf of the human of this call and of no other. */
  run<T>(handler: () => T): T;
  /** Once; later calls do nothing. Never throws; what it writes is not awaited. */
  finish(ending: Ending): void;
  /**
   * List methods only: gives the caller's share of the result, once the decision `listed` is durable. Never rejects.
   * With a denial the call is finished already.
   */
  filter?(result: Record<string, unknown>): Promise<Filtered>;
}

/** A call that must not run. The spans are ended already; answer with `denial`. */
export interface BlockedCall {
  readonly effect: "block";
  readonly denial: Denial;
}

/** What `Enforcer.open` gives. */
export type OpenCall = RunningCall | BlockedCall;

/**
 * One call, start to end: SERVER span, `authorize`, decision, 5 s rule, run or denial, outcome.
 * In-process adapters and the guard use exactly this.
 */
export interface Enforcer {
  /** Never rejects. When it gives `run`, the decision is durable and younger than 5 s. */
  open(call: IncomingCall): Promise<OpenCall>;
  /** The CLIENT span of a request that the server sends (sampling, elicitation, roots). Absent: such requests are not traced. */
  outgoing?(request: OutgoingRequest): OutgoingSpan;
}

/** Options of an enforcer. */
export interface EnforcerOptions {
  /** Default: the global one of `@opentelemetry/api`. */
  readonly tracerProvider?: TracerProvider;
  /** Span attributes of level O. Default: none. */
  readonly optIn?: OptInAttributes;
  /** Milliseconds, monotonic, on the scale of `Verdict.decidedAtMs`. Default `performance.now`. */
  readonly now?: () => number;
}

/** A handler starts within this time of its decision, or the gate decides again (contract, section 5). */
const DECISION_VALID_MS = 5_000;
/** After so many decisions that came too late the call is given up as undecided. */
const MAX_DECISIONS = 3;
/** Names of tools and prompts that the server listed, remembered so that a name it knows is not withheld. */
const MAX_KNOWN_NAMES = 1_024;

/** Puts a gate between requests and their handlers. */
export function createEnforcer(gate: Gate, options: EnforcerOptions = {}): Enforcer {
  return new GateEnforcer(gate, options);
}

class GateEnforcer implements Enforcer {
  readonly #gate: Gate;
  readonly #spans: CallSpans;
  readonly #now: () => number;
  readonly #tracerProvider: TracerProvider | undefined;
  readonly #known = new Set<string>();

  constructor(gate: Gate, options: EnforcerOptions) {
    this.#gate = gate;
    this.#tracerProvider = options.tracerProvider;
    this.#spans = createCallSpans(options);
    this.#now = options.now ?? (() => performance.now());
  }

  async open(incoming: IncomingCall): Promise<OpenCall> {
    const call = this.#mcpCall(incoming);
    const server = this.#spans.server(call, parentOf(incoming.meta));
    const methodClass = classify(call.method);
    // A faulty message is decided by its fault, whatever its method: it never runs.
    if (call.fault !== undefined) return this.#guarded(call, server);
    if (methodClass === "pass") return this.#running(call, server);
    // A list is decided when the server has answered: what is decided is which entries are shown.
    if (methodClass === "list" && isListMethod(call.method)) return this.#listing(call, server);
    return this.#guarded(call, server);
  }

  outgoing(request: OutgoingRequest): OutgoingSpan {
    return startOutgoing(request, this.#tracerProvider);
  }

  #mcpCall(incoming: IncomingCall): McpCall {
    const { meta, ...received } = incoming;
    const traceId = received.proof === undefined ? undefined : traceIdOf(meta);
    const call = traceId === undefined ? received : { ...received, traceId };
    if (this.#known.size === 0) return call;
    const name = isRecord(call.params) ? call.params["name"] : undefined;
    const kind = call.method === "tools/call" ? "tool" : "prompt";
    const known = typeof name === "string" && this.#known.has(`${kind} ${name}`);
    return known ? { ...call, toolKnown: true } : call;
  }

  async #guarded(call: McpCall, server: ActiveSpan): Promise<OpenCall> {
    let last: Verdict | undefined;
    for (let round = 0; round < MAX_DECISIONS; round += 1) {
      // oxlint-disable-next-line no-await-in-loop -- a later decision exists only because the earlier one is stale
      const { verdict, decided } = await this.#authorize(call, server);
      if (verdict.effect === "block") return this.#blocked(decided, server, verdict);
      if (call.signal.aborted) return this.#notRun(decided, server, verdict);
      if (this.#now() - verdict.decidedAtMs <= DECISION_VALID_MS)
        return this.#running(decided, server, verdict);
      this.#gate.notRun(decided, verdict);
      last = verdict;
    }
    return this.#blocked(call, server, { ...(last as Verdict), decision: "error" });
  }

  /** One decision under one `authorize` span, which is over before this resolves: the handler cannot start inside it. */
  async #authorize(
    call: McpCall,
    server: ActiveSpan,
  ): Promise<{ verdict: Verdict; decided: McpCall }> {
    const authorize = this.#spans.authorize(server);
    const decided = withTrace(call, authorize);
    const verdict = await this.#gate.decide(decided);
    this.#spans.decided({ server, authorize }, verdict, { call, policy: this.#gate.policy });
    return { verdict, decided };
  }

  #blocked(call: McpCall, server: ActiveSpan, verdict: Verdict): BlockedCall {
    const denial = denialOf(call.method, verdict);
    this.#spans.finished(server, denialOutcome(denial));
    return { effect: "block", denial };
  }

  /** Allowed, then cancelled before it could start. The caller is gone; the record says that nothing ran. */
  #notRun(call: McpCall, server: ActiveSpan, verdict: Verdict): BlockedCall {
    this.#gate.notRun(call, verdict);
    this.#spans.finished(server, { status: "cancelled" });
    return { effect: "block", denial: denialOf(call.method, { ...verdict, decision: "error" }) };
  }

  #running(call: McpCall, server: ActiveSpan, verdict?: Verdict): RunningCall {
    const startedMs = this.#now();
    let open = true;
    return {
      effect: "run",
      context: server.context,
      run: (handler) =>
        runWithSubject(verdict?.subject, () => context.with(server.context, handler)),
      finish: (ending) => {
        if (!open) return;
        open = false;
        this.#spans.finished(server, ending);
        if (verdict === undefined) return;
        const durationUs = Math.max(0, Math.round((this.#now() - startedMs) * 1_000));
        const { traceparent } = server;
        this.#gate.finish(call, verdict, {
          ...ending,
          durationUs,
          ...(traceparent === undefined ? {} : { traceparent }),
        });
      },
    };
  }

  #listing(call: McpCall, server: ActiveSpan): RunningCall {
    const running = this.#running(call, server);
    const filter = async (result: Record<string, unknown>): Promise<Filtered> => {
      const filtered = await this.#filter(call, server, result);
      if ("denial" in filtered) running.finish(denialOutcome(filtered.denial));
      return filtered;
    };
    return { ...running, filter };
  }

  async #filter(
    call: McpCall,
    server: ActiveSpan,
    result: Record<string, unknown>,
  ): Promise<Filtered> {
    const offered = offeredBy(call.method, result);
    this.#remember(offered);
    const authorize = this.#spans.authorize(server);
    const { verdict, shown } = await this.#gate.decideList(withTrace(call, authorize), offered);
    this.#spans.decided({ server, authorize }, verdict, { call, policy: this.#gate.policy });
    if (verdict.effect === "block") return { denial: denialOf(call.method, verdict) };
    return { result: onlyShown(call, result, shown) };
  }

  #remember(offered: readonly ListEntry[]): void {
    for (const entry of offered) {
      if (this.#known.size >= MAX_KNOWN_NAMES) return;
      if ("name" in entry) this.#known.add(`${entry.kind} ${entry.name}`);
    }
  }
}

function withTrace(call: McpCall, span: ActiveSpan): McpCall {
  const traced = { ...call, context: span.context };
  return span.traceparent === undefined ? traced : { ...traced, traceparent: span.traceparent };
}
