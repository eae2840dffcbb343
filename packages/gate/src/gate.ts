import type { IdentityResolver } from "@countersign/identity";
import type { Journal } from "@countersign/journal";
import {
  decisionOf,
  draftDecision,
  draftOutcome,
  type Effect,
  type EventDraft,
  type Mode,
  type RecordedCall,
  type SealedEvent,
  type StopReason,
  uuidv7,
} from "@countersign/model";
import { Budget } from "./budget.ts";
import type { CallOutcome, ListEntry, McpCall, Verdict } from "./call.ts";
import type { Checker } from "./check/checker.ts";
import { type Evaluation, evaluateCall, type Parts } from "./evaluate.ts";
import { evaluateList } from "./lists.ts";
import { hasOutcome } from "./methods.ts";
import type { Policy } from "./policy/policy.ts";
import { decisionFields } from "./record.ts";
import { TaskOwners } from "./tasks.ts";

/** Identity, policy, checker and journal in one: decides one call at a time, and has it recorded before anything runs. */
export interface Gate {
  readonly policy: Policy;
  /**
   * Guarded, task and unmapped requests. Never rejects. Resolves when the decision is durable at the policy's level; in
   * `enforce`, `effect: run` then means that the handler may start, within 5 s of `decidedAtMs`.
   */
  decide(call: McpCall): Promise<Verdict>;
  /** List methods, after the server answered: which entries may be shown. Resolves when `listed` is durable. */
  decideList(
    call: McpCall,
    offered: readonly ListEntry[],
  ): Promise<{ readonly verdict: Verdict; readonly shown: readonly boolean[] }>;
  /** How a call that ran ended. Records it without making anybody wait; of a verdict that blocked it does nothing. */
  finish(call: McpCall, verdict: Verdict, outcome: CallOutcome): void;
  /** Allowed by the gate, then stopped by the adapter before the handler started (cancelled, or over 5 s late). */
  notRun(call: McpCall, verdict: Verdict): void;
  /** What an adapter stops without a decision: counted, and so in the next heartbeat or `stop`, but no event of its own. */
  count(what: "droppedNotifications" | "auditDenied", by?: number): void;
  stop(reason: StopReason, deadline: AbortSignal): Promise<void>;
}

/** Time in milliseconds. */
export interface GateClock {
  /** Wall clock, for the end of `observe`. */
  now(): number;
  /** Monotonic, for durations and the 5 s rule. */
  monotonic(): number;
}

/** How long the steps of a decision may take. The defaults are for production. */
export interface GateLimits {
  /** Identity and authorizer together. Default 10 s. */
  readonly budgetMs?: number;
  /** The local write. Default 5 s. */
  readonly appendMs?: number;
  /** `durability: acknowledged`: the processor's answer. Default 2 s. */
  readonly acknowledgeMs?: number;
  /** A decision older than this is taken again. Default 5 s. */
  readonly freshMs?: number;
}

/** What a gate is made of. */
export interface GateOptions {
  readonly policy: Policy;
  readonly checker: Checker;
  readonly identity: IdentityResolver;
  readonly journal: Journal;
  readonly clock?: GateClock;
  readonly limits?: GateLimits;
}

const DEFAULT_LIMITS: Required<GateLimits> = {
  budgetMs: 10_000,
  appendMs: 5000,
  acknowledgeMs: 2000,
  freshMs: 5000,
};

const SYSTEM_CLOCK: GateClock = { now: () => Date.now(), monotonic: () => performance.now() };

type Judge = (id: string, budget: Budget) => Promise<Evaluation>;

interface Attempt {
  readonly verdict: Verdict;
  readonly evaluation: Evaluation;
  /** Recorded too late to be acted upon: decide again. */
  readonly late: boolean;
}

class JournalledGate implements Gate {
  readonly policy: Policy;
  readonly #parts: Parts;
  readonly #journal: Journal;
  readonly #clock: GateClock;
  readonly #limits: Required<GateLimits>;

  constructor({ policy, checker, identity, journal, clock, limits }: GateOptions) {
    this.policy = policy;
    this.#parts = { policy, checker, identity, tasks: new TaskOwners() };
    this.#journal = journal;
    this.#clock = clock ?? SYSTEM_CLOCK;
    this.#limits = { ...DEFAULT_LIMITS, ...limits };
  }

  async decide(call: McpCall): Promise<Verdict> {
    const { verdict } = await this.#decide(call, (id, budget) =>
      evaluateCall(this.#parts, call, id, budget),
    );
    return verdict;
  }

  async decideList(
    call: McpCall,
    offered: readonly ListEntry[],
  ): Promise<{ readonly verdict: Verdict; readonly shown: readonly boolean[] }> {
    const { verdict, evaluation } = await this.#decide(call, (id, budget) =>
      evaluateList(this.#parts, call, id, { budget, offered }),
    );
    const all = verdict.mode !== "enforce" && verdict.effect === "run";
    const shown = verdict.effect === "run" ? (evaluation.shown ?? []) : [];
    return { verdict, shown: offered.map((_, index) => all || shown[index] === true) };
  }

  finish(call: McpCall, verdict: Verdict, outcome: CallOutcome): void {
    if (verdict.effect !== "run") return;
    const { taskId } = outcome;
    if (outcome.status === "task_created" && taskId !== undefined && verdict.human !== undefined) {
      this.#parts.tasks.claim(taskId, verdict.human);
    }
    if (verdict.recorded && hasOutcome(call.method)) this.#appendOutcome(call, verdict, outcome);
  }

  notRun(call: McpCall, verdict: Verdict): void {
    if (verdict.effect === "run" && verdict.recorded) this.#appendNotRun(call, verdict);
  }

  count(what: "droppedNotifications" | "auditDenied", by = 1): void {
    this.#journal.counters[what] += by;
  }

  async stop(reason: StopReason, deadline: AbortSignal): Promise<void> {
    await this.#journal.stop(reason, deadline);
    await this.#parts.checker.close();
  }

  /** A decision that became durable too late is taken once more; a second late one does not run (contract, section 5). */
  async #decide(call: McpCall, judge: Judge): Promise<Attempt> {
    const first = await this.#attempt(call, judge);
    return first.late ? this.#attempt(call, judge) : first;
  }

  async #attempt(call: McpCall, judge: Judge): Promise<Attempt> {
    const id = uuidv7(this.#clock.now());
    const startedMs = this.#clock.monotonic();
    const evaluation = await this.#judge(call, id, judge);
    const decidedAtMs = this.#clock.monotonic();
    const { mode, effect } = this.#effectOf(call, evaluation);
    const durationUs = Math.round((decidedAtMs - startedMs) * 1000);
    const draft = this.#draft(call, evaluation, { id, mode, effect, durationUs });
    const verdict: Verdict = {
      id,
      recorded: true,
      decision: decisionOf(evaluation.reason),
      reason: evaluation.reason,
      mode,
      effect,
      ...(evaluation.human === undefined ? {} : { human: evaluation.human }),
      ...(evaluation.agent === undefined ? {} : { agent: evaluation.agent }),
      ...(evaluation.checks === undefined ? {} : { checks: evaluation.checks }),
      ...(evaluation.rule === undefined ? {} : { rule: evaluation.rule }),
      ...callNameIn(draft),
      decidedAtMs,
    };
    return this.#settle(call, verdict, evaluation, draft);
  }

  /** The verdict, whatever happens: our own faults are `internal`, and their details stay here, since they may carry payload. */
  async #judge(call: McpCall, id: string, judge: Judge): Promise<Evaluation> {
    if (call.signal.aborted) return { reason: "cancelled" };
    const budget = new Budget(call.signal, this.#limits.budgetMs);
    try {
      return await judge(id, budget);
    } catch {
      return { reason: budget.end === "cancelled" ? "cancelled" : "internal" };
    } finally {
      budget.close();
    }
  }

  /** `observe` runs every call but those that no parser could read: what would run is not what was judged. */
  #effectOf(
    call: McpCall,
    { reason }: Evaluation,
  ): { readonly mode: Mode; readonly effect: Effect } {
    const until = this.policy.observeUntilMs;
    const observing =
      this.policy.mode === "observe" && until !== undefined && this.#clock.now() < until;
    const allowed = decisionOf(reason) === "allow";
    const effect = allowed || (observing && call.fault === undefined) ? "run" : "block";
    return { mode: observing ? "observe" : "enforce", effect };
  }

  #draft(
    call: McpCall,
    evaluation: Evaluation,
    given: {
      readonly id: string;
      readonly mode: Mode;
      readonly effect: Effect;
      readonly durationUs: number;
    },
  ): EventDraft | undefined {
    try {
      return draftDecision(decisionFields(this.policy, call, evaluation, given));
    } catch {
      // A value over its bound that no step refused: a bug, and nothing of it can be recorded. Fails closed below.
      return undefined;
    }
  }

  /** Waits for the disk, and for the processor where the policy says so; then for what happened meanwhile. */
  async #settle(
    call: McpCall,
    verdict: Verdict,
    evaluation: Evaluation,
    draft: EventDraft | undefined,
  ): Promise<Attempt> {
    const sealed = draft === undefined ? undefined : await this.#append(call, verdict, draft);
    if (sealed === undefined)
      return { verdict: this.#unrecorded(verdict), evaluation, late: false };
    if (verdict.effect === "block" || verdict.mode !== "enforce")
      return { verdict, evaluation, late: false };
    if (this.policy.durability === "acknowledged" && !(await this.#acknowledged(sealed))) {
      return { verdict: this.#stopped(call, verdict, false), evaluation, late: false };
    }
    if (call.signal.aborted)
      return { verdict: this.#stopped(call, verdict, true), evaluation, late: false };
    if (this.#clock.monotonic() - verdict.decidedAtMs > this.#limits.freshMs) {
      return { verdict: this.#stopped(call, verdict, true), evaluation, late: true };
    }
    return { verdict, evaluation, late: false };
  }

  /** The sealed event, or `undefined` if it could not be written in time. One that gets there later did not run. */
  async #append(
    call: McpCall,
    verdict: Verdict,
    draft: EventDraft,
  ): Promise<SealedEvent | undefined> {
    let waiting = true;
    const written = this.#journal.append(draft).then(
      (sealed) => {
        this.#count(verdict, draft);
        if (!waiting && verdict.mode === "enforce") this.notRun(call, verdict);
        return sealed;
      },
      () => undefined,
    );
    const { promise: timeout, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => resolve(undefined), this.#limits.appendMs);
    try {
      return await Promise.race([written, timeout]);
    } finally {
      waiting = false;
      clearTimeout(timer);
    }
  }

  #count(verdict: Verdict, draft: EventDraft): void {
    const { counters } = this.#journal;
    counters[verdict.decision] += 1;
    counters.withheld += draft.withheld;
  }

  async #acknowledged(sealed: SealedEvent): Promise<boolean> {
    try {
      return await this.#journal.acknowledged(sealed, this.#limits.acknowledgeMs);
    } catch {
      return false;
    }
  }

  /** No record, no run; in `observe` the call runs, and that it left no record is what gets recorded. */
  #unrecorded(verdict: Verdict): Verdict {
    const { counters } = this.#journal;
    if (verdict.mode === "enforce" || verdict.effect === "block") {
      counters.auditDenied += 1;
      return { ...verdict, recorded: false, effect: "block" };
    }
    const now = this.#clock.now();
    counters.unrecorded += 1;
    this.#journal.noteUnrecorded(1, now, now);
    return { ...verdict, recorded: false };
  }

  /** Allowed and recorded, but stopped before it ran. */
  #stopped(call: McpCall, verdict: Verdict, recorded: boolean): Verdict {
    this.#appendNotRun(call, verdict);
    return { ...verdict, recorded, effect: "block" };
  }

  #appendNotRun(call: McpCall, verdict: Verdict): void {
    this.#journal.counters.notRun += 1;
    const durationUs = Math.round((this.#clock.monotonic() - verdict.decidedAtMs) * 1000);
    this.#appendOutcome(call, verdict, { status: "not_run", durationUs });
  }

  /** Nobody waits: an outcome that could not be written is a decision without one, which the processor reports. */
  #appendOutcome(call: McpCall, verdict: Verdict, outcome: CallOutcome): void {
    const { method } = call;
    const { callName: name, callNameWithheld: nameWithheld } = verdict;
    const draft = draftOutcome({
      id: uuidv7(this.#clock.now()),
      tenant: this.policy.tenant,
      decisionId: verdict.id,
      status: outcome.status,
      call: {
        method,
        ...(name === undefined ? {} : { name }),
        ...(nameWithheld === undefined ? {} : { nameWithheld }),
      },
      durationUs: outcome.durationUs,
      rpcCode: outcome.rpcCode,
      traceparent: outcome.traceparent,
    });
    const { counters } = this.#journal;
    this.#journal.append(draft).then(
      () => {
        counters.outcomes += 1;
        counters.withheld += draft.withheld;
        return undefined;
      },
      () => undefined,
    );
  }
}

function callNameIn(draft: EventDraft | undefined): Pick<Verdict, "callName" | "callNameWithheld"> {
  const data = draft?.event.data as { readonly call?: RecordedCall } | undefined;
  if (data?.call?.nameWithheld === true) return { callNameWithheld: true };
  return data?.call?.name === undefined ? {} : { callName: data.call.name };
}

/** A gate over parts that are made already; `openGate` makes them from a policy file. */
export function createGate(options: GateOptions): Gate {
  return new JournalledGate(options);
}
