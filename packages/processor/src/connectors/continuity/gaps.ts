// Numbers that did not come. A gap is told when nothing has explained it for a while: a `lost`, an epoch that was shipped late,
// the next process that uses a number which a dead one had taken.
import type { FindingEvent } from "@countersign/model";
import {
  type EmitterState,
  type Found,
  found,
  type Gap,
  MAX_GAPS,
  MAX_LOST,
  type NumberHole,
} from "./state.ts";

/** How long the emitter's own time goes on before what is missing of an ended epoch, or an epoch number, is told. */
export const LATE_MS: number = 60 * 60_000;

interface Range {
  readonly from: number;
  readonly to: number;
}

/** What is left of a range without another. */
function without<Item extends Range>(item: Item, { from, to }: Range): Item[] {
  if (to < item.from || from > item.to) return [item];
  const left = item.from < from ? [{ ...item, to: from - 1 }] : [];
  const right = item.to > to ? [{ ...item, from: to + 1 }] : [];
  return [...left, ...right];
}

/**
 * Notes what is missing, but for what was reported as lost or is noted already. What was waited for as the rest of an ended epoch is
 * late no more once something behind it has come: an epoch is shipped in order. Too many at once: what is oldest is told now.
 */
export function addGap(state: EmitterState, gap: Gap): readonly Found[] {
  const gaps = state.gaps.flatMap((known) => {
    const overtaken = gap.byWallClock && !known.byWallClock && known.epoch === gap.epoch;
    return overtaken ? without(known, gap) : [known];
  });
  let parts: readonly Gap[] = [gap];
  for (const known of [...state.lost, ...gaps]) {
    if (known.epoch === gap.epoch) parts = parts.flatMap((part) => without(part, known));
  }
  const all = [...gaps, ...parts];
  const early = all.slice(0, Math.max(0, all.length - MAX_GAPS));
  state.gaps = all.slice(early.length);
  return early.map((one) => tell(state, one));
}

/** An event that came after all. True: it was missing. */
export function fillGap(state: EmitterState, epoch: string, seq: number): boolean {
  const before = state.gaps;
  if (!before.some((gap) => gap.epoch === epoch && gap.from <= seq && seq <= gap.to)) return false;
  state.gaps = before.flatMap((gap) =>
    gap.epoch === epoch ? without(gap, { from: seq, to: seq }) : [gap],
  );
  return true;
}

/** The emitter says itself that a range is lost, before or after it is missed. */
export function explainLost(state: EmitterState, lost: Range & { readonly epoch: string }): void {
  state.lost = [...state.lost, lost].slice(-MAX_LOST);
  state.gaps = state.gaps.flatMap((gap) => (gap.epoch === lost.epoch ? without(gap, lost) : [gap]));
}

/** Gaps that nothing will explain any more, by the emitter's own time. */
export function settleGaps(state: EmitterState): readonly Found[] {
  if (state.gaps.length === 0) return [];
  const due = state.gaps.filter((gap) => state.aliveMs - gap.sinceMs >= gap.waitMs);
  return tellAll(state, due);
}

/** A gap that was told already. */
export function dropTold(state: EmitterState, { of, missing }: FindingEvent["data"]): void {
  if (missing === undefined) return;
  const isTold = ({ from, to }: Range): boolean => from === missing.from && to === missing.to;
  if (missing.what === "epochs") state.holes = state.holes.filter((hole) => !isTold(hole));
  else state.gaps = state.gaps.filter((gap) => gap.epoch !== of.epoch || !isTold(gap));
}

/** Tells gaps, whatever could still explain them. */
export function tellAll(state: EmitterState, due: readonly Gap[]): readonly Found[] {
  if (due.length === 0) return [];
  state.gaps = state.gaps.filter((gap) => !due.includes(gap));
  return due.map((gap) => tell(state, gap));
}

function tell(state: EmitterState, { epoch, from, to, time }: Gap): Found {
  const of = { emitter: state.emitter, epoch };
  return found(state, { finding: "GAP", of, missing: { what: "events", from, to } }, time);
}

/** For so long of the emitter's own time, epochs that come may be from before a log that is not read from its start. */
const BEFORE_MS = 24 * LATE_MS;

/** An epoch number was used. */
export function useNumber(
  state: EmitterState,
  number: number,
  { time, complete }: { readonly time: string; readonly complete: boolean },
): void {
  const highest = state.highest ?? number;
  if (state.highest === undefined || (!complete && state.aliveMs < BEFORE_MS)) {
    state.highest = Math.max(highest, number);
    return;
  }
  const since = state.aliveMs;
  state.holes = state.holes
    .flatMap((hole) => without(hole, { from: number, to: number }))
    .map((hole) => (mayArm(hole, since) ? { ...hole, armedMs: since } : hole));
  if (number > highest + 1) {
    const hole = { from: highest + 1, to: number - 1, time, sinceMs: since };
    state.holes = [...state.holes, hole].slice(-MAX_GAPS);
  }
  state.highest = Math.max(highest, number);
}

/** A start that came well after the hole showed could have used the number, had its epoch been empty. */
function mayArm(hole: NumberHole, nowMs: number): boolean {
  return hole.armedMs === undefined && nowMs - hole.sinceMs >= LATE_MS;
}

/** Epoch numbers that stayed unused although somebody could have used them. */
export function settleNumbers(state: EmitterState): readonly Found[] {
  const due = state.holes.filter(
    ({ armedMs }) => armedMs !== undefined && state.aliveMs - armedMs >= LATE_MS,
  );
  if (due.length === 0) return [];
  state.holes = state.holes.filter((hole) => !due.includes(hole));
  return due.flatMap(({ from, to, time }) => {
    const count = to - from + 1;
    if (count <= state.nameless) {
      state.nameless -= count;
      return [];
    }
    const of = { emitter: state.emitter };
    return found(state, { finding: "GAP", of, missing: { what: "epochs", from, to } }, time);
  });
}
