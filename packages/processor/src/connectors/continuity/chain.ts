// One event after the other along the chain of its epoch.
import { GENESIS } from "@countersign/model";
import { addGap, fillGap, LATE_MS } from "./gaps.ts";
import {
  addEpoch,
  closeCalls,
  type EmitterState,
  type EpochState,
  type Found,
  found,
  MAX_HASHES,
  type Place,
} from "./state.ts";

/** An event as the chain sees it. */
export interface Link {
  readonly place: Place;
  /** Hash of the event before, as it says; a withheld one says nothing any more. */
  readonly prev: string | undefined;
  readonly time: string;
}

/** What following a link needs to know. */
export interface ChainRules {
  /** The log was read from its start, so an epoch that begins in the middle is a gap. */
  readonly complete: boolean;
  /** How long a gap may wait for its explanation. */
  readonly settleMs: number;
}

/** What came of a link: `known` is an event that was there already. */
export interface Followed {
  readonly epoch: EpochState;
  readonly known: boolean;
  readonly found: readonly Found[];
}

/** Follows one link. */
export function follow(state: EmitterState, link: Link, rules: ChainRules): Followed {
  const { place } = link;
  const epoch = state.epochs.get(place.epoch) ?? beginEpoch(state, link, rules);
  if (place.seq < epoch.next) {
    return { epoch, known: true, found: earlier(state, epoch, link) };
  }
  const findings: Found[] = [];
  fillGap(state, place.epoch, place.seq);
  if (place.seq > epoch.next) findings.push(...missed(state, epoch, link, rules));
  else if (link.prev !== undefined && epoch.head !== undefined && link.prev !== epoch.head) {
    findings.push(fork(state, place, epoch.head, link.time));
  }
  if (!epoch.clockTold && link.time < epoch.lastTime) {
    epoch.clockTold = true;
    findings.push(
      found(state, { finding: "CLOCK_SKEW", of: place, clock: "backwards" }, link.time),
    );
  }
  epoch.next = place.seq + 1;
  epoch.head = place.hash;
  epoch.hashes = [...epoch.hashes.slice(1 - MAX_HASHES), place.hash];
  epoch.lastTime = link.time;
  epoch.lastHash = place.hash;
  epoch.againNext = -1;
  epoch.heardMs = state.aliveMs;
  return { epoch, known: false, found: findings };
}

function beginEpoch(
  state: EmitterState,
  { place, prev, time }: Link,
  rules: ChainRules,
): EpochState {
  const inTheMiddle = !rules.complete || state.forgot;
  const end = state.ended.get(place.epoch);
  state.ended.delete(place.epoch);
  if (place.seq > 0 || prev === undefined) {
    state.nameless += 1;
    state.untoldMs = Math.max(state.untoldMs, Date.parse(time));
  }
  const epoch: EpochState = {
    epoch: place.epoch,
    next: inTheMiddle ? place.seq : 0,
    head: inTheMiddle && place.seq > 0 ? undefined : GENESIS,
    lastTime: time,
    lastHash: "",
    heardMs: state.aliveMs,
    hashes: [],
    over: end !== undefined,
    againNext: -1,
    clockTold: false,
    policyTold: undefined,
  };
  addEpoch(state, epoch);
  if (end !== undefined) awaitRest(state, epoch, { to: end, time });
  return epoch;
}

/** Late is not lost: what an epoch left behind is shipped by the next process, when it finds the time. */
export function awaitRest(
  state: EmitterState,
  epoch: EpochState,
  rest: { readonly to: number; readonly time: string },
): readonly Found[] {
  return addGap(state, {
    ...rest,
    epoch: epoch.epoch,
    from: epoch.next,
    sinceMs: state.aliveMs,
    waitMs: LATE_MS,
    byWallClock: false,
  });
}

/** The events between are missing; any of them may have been an outcome that is awaited. */
function missed(
  state: EmitterState,
  epoch: EpochState,
  { place, time }: Link,
  rules: ChainRules,
): readonly Found[] {
  closeCalls(state, place.epoch);
  epoch.hashes = [];
  return addGap(state, {
    epoch: place.epoch,
    from: epoch.next,
    to: place.seq - 1,
    time,
    sinceMs: state.aliveMs,
    waitMs: rules.settleMs,
    byWallClock: true,
  });
}

/** An event whose number was there before. */
function earlier(state: EmitterState, epoch: EpochState, { place, time }: Link): readonly Found[] {
  if (fillGap(state, place.epoch, place.seq)) return [];
  const hash = hashAt(epoch, place.seq);
  if (hash === undefined) return [];
  if (hash !== place.hash) return [fork(state, place, hash, time)];
  const goesOn = epoch.againNext === place.seq;
  epoch.againNext = place.seq + 1;
  return goesOn ? [] : [found(state, { finding: "DUPLICATE", of: place }, time)];
}

/** Hash at a place of an epoch, if it is remembered. */
export function hashAt(epoch: EpochState, seq: number): string | undefined {
  return epoch.hashes[epoch.hashes.length - (epoch.next - seq)];
}

/** Two histories of one place: whichever is true, outcomes may be in the other. */
export function fork(state: EmitterState, of: Place, expected: string, time: string): Found {
  closeCalls(state, of.epoch);
  return found(state, { finding: "FORK", of, expected }, time);
}
