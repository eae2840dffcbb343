import type { IdentityResolver } from "@countersign/identity";
import type { Journal } from "@countersign/journal";
import {
  decisionOf,
  type Effect,
  type Logger,
  type Mode,
  type Reason,
  silentLogger,
  type StopReason,
  uuidv7,
} from "@countersign/model";
import { Alarms } from "./alarms.ts";
import { Budget } from "./budget.ts";
import type { CallOutcome, ListEntry, McpCall, Verdict } from "./call.ts";
import type { Checker } from "./check/checker.ts";
import { type GateClock, SYSTEM_CLOCK } from "./clock.ts";
import { type Evaluation, evaluateCall, type Parts } from "./evaluate.ts";
import { evaluateList } from "./lists.ts";
import { hasOutcome } from "./methods.ts";
import type { Policy } from "./policy/policy.ts";
import { Recorder, type Settled } from "./recorder.ts";
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
  /** Told of our own exceptions: where, never what they said. Default: nobody. */
  readonly log?: Logger;
}

const DEFAULT_LIMITS: Required<GateLimits> = {
  budgetMs: 10_000,
  appendMs: 5000,
  acknowledgeMs: 2000,
  freshMs: 5000,
};

type Judge = (id: string, budget: Budget) => Promise<Evaluation>;

interface Attempt extends Settled {
  readonly evaluation: Evaluation;
}

class JournalledGate implements Gate {
  readonly policy: Policy;
  readonly #parts: Parts;
  readonly #journal: Journal;
  readonly #recorder: Recorder;
  readonly #clock: GateClock;
  readonly #alarms: Alarms;
  readonly #log: Logger;

  constructor({ policy, checker, identity, journal, clock, limits, log }: GateOptions) {
    const { budgetMs, ...waits } = { ...DEFAULT_LIMITS, ...limits };
    this.policy = policy;
    const resolved = new WeakMap();
    this.#clock = clock ?? SYSTEM_CLOCK;
    const tasks = new TaskOwners();
    this.#parts = { policy, checker, identity, tasks, resolved, clock: this.#clock };
    this.#journal = journal;
    this.#recorder = new Recorder(policy, journal, this.#clock, waits);
    this.#alarms = new Alarms(budgetMs);
    this.#log = log ?? silentLogger;
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
    const runs = verdict.effect === "run";
    const all = runs && verdict.mode !== "enforce";
    return {
      verdict,
      shown: offered.map((_, index) => all || (runs && evaluation.shown?.[index] === true)),
    };
  }

  finish(call: McpCall, verdict: Verdict, outcome: CallOutcome): void {
    if (verdict.effect !== "run") return;
    const { taskId } = outcome;
    if (outcome.status === "task_created" && taskId !== undefined && verdict.human !== undefined) {
      this.#parts.tasks.claim(taskId, verdict.human);
    }
    if (verdict.recorded && hasOutcome(call.method)) this.#recorder.outcome(call, verdict, outcome);
  }

  notRun(call: McpCall, verdict: Verdict): void {
    if (verdict.effect === "run" && verdict.recorded) this.#recorder.notRun(call, verdict);
  }

  count(what: "droppedNotifications" | "auditDenied", by = 1): void {
    this.#journal.counters[what] += by;
  }

  async stop(reason: StopReason, deadline: AbortSignal): Promise<void> {
    await this.#journal.stop(reason, deadline);
    this.#parts.identity.close?.();
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
    const { reason, human, agent, subject, checks, rule } = evaluation;
    const decided: Verdict = {
      id,
      recorded: true,
      decision: decisionOf(reason),
      reason,
      ...this.#effectOf(call, reason),
      ...(human === undefined ? {} : { human }),
      ...(agent === undefined ? {} : { agent }),
      ...(subject === undefined ? {} : { subject }),
      ...(checks === undefined ? {} : { checks }),
      ...(rule === undefined ? {} : { rule }),
      decidedAtMs,
    };
    const durationUs = Math.round((decidedAtMs - startedMs) * 1000);
    const { verdict, late } = await this.#recorder.record(call, decided, evaluation, durationUs);
    return { verdict, late, evaluation };
  }

  /** The verdict, whatever happens: our own faults are `internal`, and their details stay here, since they may carry payload. */
  async #judge(call: McpCall, id: string, judge: Judge): Promise<Evaluation> {
    if (call.signal.aborted) return { reason: "cancelled" };
    const budget = new Budget(call.signal, this.#alarms);
    try {
      return await judge(id, budget);
    } catch (error) {
      if (budget.end === "cancelled") return { reason: "cancelled" };
      this.#log.error("an exception made this decision internal", { id, at: whereOf(error) });
      return { reason: "internal" };
    } finally {
      budget.close();
    }
  }

  /** `observe` runs every call but those that no parser could read: what would run is not what was judged. */
  #effectOf(call: McpCall, reason: Reason): { readonly mode: Mode; readonly effect: Effect } {
    const until = this.policy.observeUntilMs;
    const observing =
      this.policy.mode === "observe" && until !== undefined && this.#clock.now() < until;
    const allowed = decisionOf(reason) === "allow";
    const effect = allowed || (observing && call.fault === undefined) ? "run" : "block";
    return { mode: observing ? "observe" : "enforce", effect };
  }
}

/** The first frame of the stack. The message stays out: it can hold what the caller sent, lines like those of a stack too. */
function whereOf(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  const { message, stack = "" } = error;
  const start = stack.indexOf(message);
  const frames = start < 0 ? "" : stack.slice(start + message.length);
  return /^ {4}at .*$/m.exec(frames)?.[0].trim() ?? "unknown";
}

/** A gate over parts that are made already; `openGate` makes them from a policy file. */
export function createGate(options: GateOptions): Gate {
  return new JournalledGate(options);
}
