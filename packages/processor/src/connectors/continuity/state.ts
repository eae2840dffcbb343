// What is remembered of an emitter: plain data, so that it can be stored, and bounded, whatever comes.
import type { FindingEvent } from "@countersign/model";

/** Something that was found; the event is made of it. */
export interface Found {
  readonly data: FindingEvent["data"];
  /** Of the event that showed it. */
  readonly time: string;
}

/** Where an event stands, or stood before it was withheld. */
export interface Place {
  readonly emitter: string;
  readonly epoch: string;
  readonly seq: number;
  readonly hash: string;
}

/** Epochs remembered of one emitter; the one that was heard of longest ago makes room, those that are over first. */
const MAX_EPOCHS = 16;
/** Hashes remembered of one epoch: further back, an event that comes again cannot be told from a fork. */
export const MAX_HASHES = 16;
/** Missing ranges of one emitter that wait for an explanation. */
export const MAX_GAPS = 64;
/** Calls of one emitter whose outcome is awaited. */
export const MAX_OPEN = 128;
/** Ranges of one emitter that it reported as lost. */
export const MAX_LOST = 64;
/** Epochs whose end was told before they came: shipped late by another process. */
const MAX_ENDED = 16;

/** A stretch of numbers of an epoch that did not come. */
export interface Gap {
  readonly epoch: string;
  readonly from: number;
  readonly to: number;
  readonly time: string;
  /** The emitter's own time when it showed. */
  readonly sinceMs: number;
  readonly waitMs: number;
  /** It may also be told when so much time went by here; without, only what the emitter says later counts. */
  readonly byWallClock: boolean;
}

/** Epoch numbers that nobody has used. */
export interface NumberHole {
  readonly from: number;
  readonly to: number;
  readonly time: string;
  readonly sinceMs: number;
  /** The emitter's own time of a start that could have used them. */
  readonly armedMs?: number;
}

/** A call that ran, and whose outcome has not come. */
export interface OpenCall {
  readonly place: Place;
  readonly time: string;
  readonly sinceMs: number;
}

/** One epoch. */
export interface EpochState {
  readonly epoch: string;
  /** The number that comes next. */
  next: number;
  /** Hash of the event before it; undefined behind a gap. */
  head: string | undefined;
  /** Of the newest event. */
  lastTime: string;
  lastHash: string;
  /** The emitter's own time then. */
  heardMs: number;
  /** Newest hashes, the last one of `next - 1`; none behind a gap or once it stopped. */
  hashes: string[];
  /** It stopped, or a later start told how it ended, or it was reported. */
  over: boolean;
  /** The duplicate that would go on a run of them. */
  againNext: number;
  clockTold: boolean;
  policyTold: string | undefined;
}

/** One emitter. */
export interface EmitterState {
  readonly tenant: string;
  readonly emitter: string;
  /** Newest event time, and the emitter's own time: see {@link advance}. */
  frontierMs: number;
  aliveMs: number;
  checkedMs: number;
  readonly epochs: Map<string, EpochState>;
  /** Some of its epochs are forgotten: one that begins in the middle is no gap. */
  forgot: boolean;
  /** Highest epoch number; those below the first that came are before our time. */
  highest: number | undefined;
  holes: NumberHole[];
  /** Epochs that came without their start: each of them has one of the numbers that are missing. */
  nameless: number;
  /** Time of the newest start that did not come: it may have told how an epoch ended that was over by then. */
  untoldMs: number;
  /** Last events of epochs that did not come yet. */
  readonly ended: Map<string, number>;
  gaps: Gap[];
  lost: { readonly epoch: string; readonly from: number; readonly to: number }[];
  readonly open: Map<string, OpenCall>;
  /** Newest event that came, for SILENT. */
  last: { readonly place: Place; readonly time: string };
  silentTold: boolean;
}

/** A long silence counts as this much of the emitter's own time: an idle emitter says so hourly. */
const STEP_MS = 65 * 60_000;

/**
 * The emitter's own time goes on with its events, but no faster than ours: so it stands still while the emitter sleeps or is
 * away, while what it kept meanwhile comes in all at once, and while old events are read again (`passedMs` 0).
 */
export function advance(state: EmitterState, timeMs: number, passedMs: number): void {
  if (timeMs <= state.frontierMs) return;
  state.aliveMs += Math.max(0, Math.min(timeMs - state.frontierMs, passedMs, STEP_MS));
  state.frontierMs = timeMs;
}

/** A new emitter, heard of for the first time. */
export function newEmitter(tenant: string, place: Place, time: string): EmitterState {
  return {
    tenant,
    emitter: place.emitter,
    frontierMs: Date.parse(time),
    aliveMs: 0,
    checkedMs: 0,
    epochs: new Map(),
    forgot: false,
    highest: undefined,
    holes: [],
    nameless: 0,
    untoldMs: 0,
    ended: new Map(),
    gaps: [],
    lost: [],
    open: new Map(),
    last: { place, time },
    silentTold: false,
  };
}

/** Remembers an epoch; when there are too many, one is forgotten. */
export function addEpoch(state: EmitterState, epoch: EpochState): void {
  if (state.epochs.size >= MAX_EPOCHS) {
    const all = [...state.epochs.values()];
    const oldest = all.find((one) => one.over) ?? all[0];
    state.epochs.delete(oldest?.epoch ?? "");
    closeCalls(state, oldest?.epoch ?? "");
    state.forgot = true;
  }
  state.epochs.set(epoch.epoch, epoch);
}

/** Remembers how an epoch ended that has not come yet. */
export function addEnded(state: EmitterState, epoch: string, seq: number): void {
  const [oldest] = state.ended.keys();
  if (state.ended.size >= MAX_ENDED && oldest !== undefined) state.ended.delete(oldest);
  state.ended.set(epoch, seq);
}

/** Nobody waits for the outcomes of an epoch's calls any more. */
export function closeCalls(state: EmitterState, epoch: string): void {
  for (const [id, { place }] of state.open) if (place.epoch === epoch) state.open.delete(id);
}

/** A finding about a place. */
export function found(
  state: EmitterState,
  what: Omit<FindingEvent["data"], "tenant">,
  time: string,
): Found {
  return { data: { tenant: state.tenant, ...what }, time };
}
