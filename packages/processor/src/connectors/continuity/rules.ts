// What each kind of event says beyond its place in the chain.
import type {
  DecisionEvent,
  LostEvent,
  OutcomeEvent,
  SealedEvent,
  StartEvent,
} from "@countersign/model";
import { awaitRest, fork, hashAt } from "./chain.ts";
import { explainLost, useNumber } from "./gaps.ts";
import {
  addEnded,
  closeCalls,
  type EmitterState,
  type EpochState,
  type Found,
  found,
  MAX_OPEN,
  type Place,
} from "./state.ts";

/** An event at its place. */
export interface Seen {
  readonly state: EmitterState;
  readonly epoch: EpochState;
  readonly place: Place;
  readonly time: string;
  /** The log was read from its start. */
  readonly complete: boolean;
}

/** Emitter clocks that are off by less are no matter. */
const CLOCK_MS = 5 * 60_000;
/** An epoch that was not heard of for so long of the emitter's own time, an idle one speaking hourly, is not going on. */
const NO_STOP_MS = 3 * 60 * 60_000;
/** A call whose outcome did not come for so long of the emitter's own time will have none. */
const OUTCOME_MS = 24 * 60 * 60_000;
/** The emitter's epochs and calls are looked through no more often than that. */
const CHECK_MS = 5 * 60_000;

/** Methods whose end is recorded (contract, section 5); of the others the decision is all there is. */
const WITH_OUTCOME: ReadonlySet<string> = new Set([
  "tools/call",
  "resources/read",
  "resources/subscribe",
  "prompts/get",
]);

/** A start: its number, its policy, and how the epoch before it ended. */
export function onStart(seen: Seen, { data }: StartEvent): readonly Found[] {
  useNumber(seen.state, data.epochNumber, seen);
  return data.previous === undefined ? [] : endPrevious(seen, data.previous);
}

/** What the emitter says of an epoch that is over. One that never comes was before our time, or its number is a hole. */
function endPrevious(
  { state, place, time }: Seen,
  previous: NonNullable<StartEvent["data"]["previous"]>,
): readonly Found[] {
  const { seq, hash } = previous;
  const epoch = state.epochs.get(previous.epoch);
  if (epoch === undefined) {
    addEnded(state, previous.epoch, seq);
    return [];
  }
  const findings: Found[] = [];
  // What was going on when it ended without a word has no outcome that anybody could know.
  if (previous.end !== "stop") closeCalls(state, epoch.epoch);
  const here = hashAt(epoch, seq);
  if (epoch.next <= seq) findings.push(...awaitRest(state, epoch, { to: seq, time }));
  else if (here !== undefined && here !== hash) {
    const of = { emitter: state.emitter, epoch: epoch.epoch, seq, hash };
    findings.push(fork(state, of, here, time));
  }
  if (epoch.next === seq + 1 && Date.parse(time) < Date.parse(epoch.lastTime) - CLOCK_MS) {
    findings.push(found(state, { finding: "CLOCK_SKEW", of: place, clock: "backwards" }, time));
  }
  epoch.over = true;
  return findings;
}

/** A decision that ran waits for its outcome. Of an epoch that is over already nobody knows whether it ran. */
export function onDecision({ state, epoch, place, time }: Seen, { id, data }: DecisionEvent): void {
  if (epoch.over || data.effect !== "run" || !WITH_OUTCOME.has(data.call.method)) return;
  if (state.open.size >= MAX_OPEN) {
    const [oldest] = state.open.keys();
    if (oldest !== undefined) state.open.delete(oldest);
  }
  state.open.set(id, { place, time, sinceMs: state.aliveMs });
}

/** It may come in a later epoch of the same process: after a fault of the journal. */
export function onOutcome({ state }: Seen, { data }: OutcomeEvent): void {
  state.open.delete(data.decisionId);
}

/** Records that the emitter knows to be lost. Any of them may have been an outcome. */
export function onLost({ state }: Seen, { data }: LostEvent): void {
  if (data.records === undefined) return;
  const { epoch, fromSeq, toSeq } = data.records;
  explainLost(state, { epoch, from: fromSeq, to: toSeq });
  closeCalls(state, epoch);
}

/** The last word of an epoch: every call that ran has its outcome by now. */
export function onStop({ state, epoch }: Seen): readonly Found[] {
  epoch.over = true;
  const open = [...state.open].filter(([, call]) => call.place.epoch === epoch.epoch);
  return open.map(([id]) => noOutcome(state, id));
}

/** It may have been anything: an outcome, too. */
export function onWithheld({ state, place }: Seen): void {
  closeCalls(state, place.epoch);
}

/** A policy that is not among those that are listed, once an epoch. */
export function checkPolicy(
  { state, epoch, place, time }: Seen,
  digest: string,
  listed: ReadonlySet<string> | undefined,
): readonly Found[] {
  if (listed === undefined || listed.has(digest) || epoch.policyTold === digest) return [];
  epoch.policyTold = digest;
  return [found(state, { finding: "POLICY_UNKNOWN", of: place, policy: { digest } }, time)];
}

/** A clock that runs ahead of ours, once an epoch. One that is late cannot be told from an event that is. */
export function checkClock({ state, epoch, place, time }: Seen, nowMs: number): readonly Found[] {
  if (epoch.clockTold || Date.parse(time) <= nowMs + CLOCK_MS) return [];
  epoch.clockTold = true;
  return [found(state, { finding: "CLOCK_SKEW", of: place, clock: "ahead" }, time)];
}

/** Epochs that fell silent without a word, and calls that nobody will hear of any more. */
export function checkSilent(state: EmitterState): readonly Found[] {
  if (state.aliveMs - state.checkedMs < CHECK_MS) return [];
  state.checkedMs = state.aliveMs;
  const findings: Found[] = [];
  for (const epoch of state.epochs.values()) {
    if (epoch.over || state.aliveMs - epoch.heardMs < NO_STOP_MS) continue;
    epoch.over = true;
    closeCalls(state, epoch.epoch);
    if (Date.parse(epoch.lastTime) <= state.untoldMs) continue;
    const of = {
      emitter: state.emitter,
      epoch: epoch.epoch,
      seq: epoch.next - 1,
      hash: epoch.lastHash,
    };
    findings.push(found(state, { finding: "NO_STOP", of }, epoch.lastTime));
  }
  for (const [id, { sinceMs }] of state.open) {
    if (state.aliveMs - sinceMs < OUTCOME_MS) break;
    findings.push(noOutcome(state, id));
  }
  return findings;
}

function noOutcome(state: EmitterState, id: string): Found {
  const call = state.open.get(id);
  if (call === undefined) throw new Error("continuity: the call is not open");
  state.open.delete(id);
  return found(state, { finding: "NO_OUTCOME", of: { ...call.place, id } }, call.time);
}

/** The policy that an event was made under; undefined for kinds that do not say. */
export function policyOf({ event }: SealedEvent): string | undefined {
  const data = event.data as { policy?: { digest?: string } };
  return data.policy?.digest;
}
