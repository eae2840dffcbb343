import type { Journal } from "@countersign/journal";
import {
  draftDecision,
  draftOutcome,
  type EventDraft,
  type RecordedCall,
  type SealedEvent,
  uuidv7,
} from "@countersign/model";
import { Alarms } from "./alarms.ts";
import type { CallOutcome, McpCall, Verdict } from "./call.ts";
import type { GateClock } from "./clock.ts";
import type { Evaluation } from "./evaluate.ts";
import type { Policy } from "./policy/policy.ts";
import { decisionFields } from "./record.ts";

/** How long the steps after a decision may take. */
export interface RecorderLimits {
  readonly appendMs: number;
  readonly acknowledgeMs: number;
  readonly freshMs: number;
}

/** A verdict as it stands once the record is made. */
export interface Settled {
  readonly verdict: Verdict;
  /** Recorded too late to be acted upon: decide again. */
  readonly late: boolean;
}

/** Puts verdicts on record, and tells what is left of them afterwards: no record, no run. */
export class Recorder {
  readonly #policy: Policy;
  readonly #journal: Journal;
  readonly #clock: GateClock;
  readonly #limits: RecorderLimits;
  readonly #alarms: Alarms;

  constructor(policy: Policy, journal: Journal, clock: GateClock, limits: RecorderLimits) {
    this.#policy = policy;
    this.#journal = journal;
    this.#clock = clock;
    this.#limits = limits;
    this.#alarms = new Alarms(limits.appendMs);
  }

  /** Waits for the disk, and for the processor where the policy says so; then looks what happened meanwhile. */
  async record(
    call: McpCall,
    decided: Verdict,
    evaluation: Evaluation,
    durationUs: number,
  ): Promise<Settled> {
    const draft = this.#draft(call, decided, evaluation, durationUs);
    const verdict = draft === undefined ? decided : { ...decided, ...nameIn(draft) };
    const sealed = draft === undefined ? undefined : await this.#append(call, verdict, draft);
    if (sealed === undefined) return settled(this.#unrecorded(verdict));
    if (verdict.effect === "block" || verdict.mode !== "enforce") return settled(verdict);
    if (this.#policy.durability === "acknowledged" && !(await this.#acknowledged(sealed))) {
      return settled(this.#stopped(call, verdict, false));
    }
    if (call.signal.aborted) return settled(this.#stopped(call, verdict, true));
    if (this.#clock.monotonic() - verdict.decidedAtMs <= this.#limits.freshMs)
      return settled(verdict);
    return { verdict: this.#stopped(call, verdict, true), late: true };
  }

  /** Allowed and recorded, then stopped before the handler started. */
  notRun(call: McpCall, verdict: Verdict): void {
    this.#journal.counters.notRun += 1;
    const durationUs = Math.round((this.#clock.monotonic() - verdict.decidedAtMs) * 1000);
    this.outcome(call, verdict, { status: "not_run", durationUs });
  }

  /** Nobody waits: an outcome that could not be written is a decision without one, which the processor reports. */
  outcome({ method }: McpCall, verdict: Verdict, outcome: CallOutcome): void {
    const { callName: name, callNameWithheld: nameWithheld } = verdict;
    const draft = draftOutcome({
      id: uuidv7(this.#clock.now()),
      tenant: this.#policy.tenant,
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
    this.#journal.append(draft, { relaxed: true }).then(
      () => {
        counters.outcomes += 1;
        counters.withheld += draft.withheld;
        return undefined;
      },
      () => undefined,
    );
  }

  #draft(
    call: McpCall,
    { id, mode, effect }: Verdict,
    evaluation: Evaluation,
    durationUs: number,
  ): EventDraft | undefined {
    try {
      return draftDecision(
        decisionFields(this.#policy, call, evaluation, { id, mode, effect, durationUs }),
      );
    } catch {
      // A value over its bound that no step refused: a bug of ours, and nothing of it can be recorded. Fails closed.
      return undefined;
    }
  }

  /** The sealed event, or `undefined` if it could not be written in time. One that gets there later did not run. */
  #append(call: McpCall, verdict: Verdict, draft: EventDraft): Promise<SealedEvent | undefined> {
    const { counters } = this.#journal;
    return new Promise((resolve) => {
      let waiting = true;
      const answer = (sealed: SealedEvent | undefined): void => {
        waiting = false;
        letOff();
        resolve(sealed);
      };
      const letOff = this.#alarms.set({ wake: () => answer(undefined) });
      this.#journal.append(draft).then(
        (sealed) => {
          counters[verdict.decision] += 1;
          counters.withheld += draft.withheld;
          if (!waiting && verdict.mode === "enforce" && verdict.effect === "run")
            this.notRun(call, verdict);
          return answer(sealed);
        },
        () => answer(undefined),
      );
    });
  }

  async #acknowledged(sealed: SealedEvent): Promise<boolean> {
    try {
      return await this.#journal.acknowledged(sealed, this.#limits.acknowledgeMs);
    } catch {
      return false;
    }
  }

  /** In `observe` the call runs all the same, and that it left no record is what gets recorded (`lost`). */
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

  #stopped(call: McpCall, verdict: Verdict, recorded: boolean): Verdict {
    this.notRun(call, verdict);
    return { ...verdict, recorded, effect: "block" };
  }
}

function settled(verdict: Verdict): Settled {
  return { verdict, late: false };
}

function nameIn(draft: EventDraft): Pick<Verdict, "callName" | "callNameWithheld"> {
  const { call } = draft.event.data as { readonly call?: RecordedCall };
  if (call?.nameWithheld === true) return { callNameWithheld: true };
  return call?.name === undefined ? {} : { callName: call.name };
}
