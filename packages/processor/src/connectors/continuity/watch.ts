// All emitters of one log, and what is found when their events are looked at one after the other.
import {
  type Chain,
  type DecisionEvent,
  EMITTER_SOURCE_PREFIX,
  type FindingEvent,
  kindOf,
  type LostEvent,
  type OutcomeEvent,
  type SealedEvent,
  type StartEvent,
  type WithheldEvent,
} from "@countersign/model";
import { follow, type Link } from "./chain.ts";
import { dropTold, settleGaps, settleNumbers, tellAll } from "./gaps.ts";
import {
  checkClock,
  checkPolicy,
  checkSilent,
  onDecision,
  onLost,
  onOutcome,
  onStart,
  onStop,
  onWithheld,
  policyOf,
  type Seen,
} from "./rules.ts";
import { advance, type EmitterState, type Found, found, newEmitter } from "./state.ts";

/** How closely to look. */
export interface WatchRules {
  /** How long a gap may wait for what explains it. */
  readonly settleMs: number;
  /** SILENT: for whom, and after how long. */
  readonly silentAfterMs: number;
  alwaysOn(emitter: string): boolean;
  /** Known policies; undefined: any. */
  readonly policies: ReadonlySet<string> | undefined;
  /** Emitters remembered; the one that was heard of longest ago makes room. */
  readonly maxEmitters: number;
}

/** State of a watch, as it is stored. */
export interface WatchState {
  /** The log was read from its start. */
  complete: boolean;
  /** An emitter was forgotten. */
  forgot: boolean;
  /** Heard of longest ago first. */
  readonly emitters: Map<string, EmitterState>;
  /** Policies told of events without a chain, by source. */
  readonly policiesTold: Set<string>;
}

/** Looks at events. */
export interface Watch {
  readonly state: WatchState;
  /** The next event of the log. `nowMs` is absent while old events are read again. */
  observe(sealed: SealedEvent, nowMs?: number): readonly Found[];
  /** What is due because time went by here. */
  tick(nowMs: number): readonly Found[];
}

const MAX_POLICIES_TOLD = 1024;

/** An empty state; `complete` if the log is read from its start. */
export function emptyState(complete: boolean): WatchState {
  return { complete, forgot: false, emitters: new Map(), policiesTold: new Set() };
}

/** Makes a watch, with what an earlier one remembered. */
export function createWatch(rules: WatchRules, state: WatchState): Watch {
  return new ChainWatch(rules, state);
}

class ChainWatch implements Watch {
  readonly state: WatchState;
  readonly #rules: WatchRules;
  /** When emitters were heard of, by our clock; of those who were not heard of yet, when the watch began. */
  readonly #heardMs = new Map<string, number>();
  /** When gaps were first looked at, by our clock. */
  readonly #waitingMs = new WeakMap<object, number>();
  #beganMs: number | undefined;

  constructor(rules: WatchRules, state: WatchState) {
    this.#rules = rules;
    this.state = state;
  }

  observe(sealed: SealedEvent, nowMs?: number): readonly Found[] {
    const { event } = sealed;
    const kind = kindOf(event.type);
    if (kind === "finding") this.#noteTold(event as FindingEvent);
    if (kind === undefined || kind === "finding") return [];
    const link = linkOf(sealed);
    if (link === undefined) return this.#withoutChain(sealed);
    const { state, passedMs } = this.#emitter(event.data.tenant, link, nowMs);
    advance(state, Date.parse(link.time), passedMs);
    const complete = this.state.complete && !this.state.forgot;
    const { epoch, known, found: links } = follow(state, link, { ...this.#rules, complete });
    const seen: Seen = { state, epoch, place: link.place, time: link.time, complete };
    state.last = { place: link.place, time: link.time };
    state.silentTold = false;
    return [
      ...links,
      ...(known ? [] : this.#byKind(seen, sealed, nowMs)),
      ...settleGaps(state),
      ...settleNumbers(state),
      ...checkSilent(state),
    ];
  }

  tick(nowMs: number): readonly Found[] {
    this.#beganMs ??= nowMs;
    const findings: Found[] = [];
    for (const [key, state] of this.state.emitters) {
      const due = state.gaps.filter((gap) => {
        const since = this.#waitingMs.get(gap) ?? nowMs;
        this.#waitingMs.set(gap, since);
        return gap.byWallClock && nowMs - since >= gap.waitMs;
      });
      findings.push(...tellAll(state, due));
      const heardMs = this.#heardMs.get(key) ?? this.#beganMs;
      if (state.silentTold || nowMs - heardMs < this.#rules.silentAfterMs) continue;
      if (!this.#rules.alwaysOn(state.emitter)) continue;
      state.silentTold = true;
      const { place, time } = state.last;
      findings.push(found(state, { finding: "SILENT", of: place }, time));
    }
    return findings;
  }

  #byKind(seen: Seen, { event }: SealedEvent, nowMs: number | undefined): readonly Found[] {
    const findings: Found[] = [];
    const digest = policyOf({ event } as SealedEvent);
    if (digest !== undefined) findings.push(...checkPolicy(seen, digest, this.#rules.policies));
    if (nowMs !== undefined) findings.push(...checkClock(seen, nowMs));
    const kind = kindOf(event.type);
    if (kind === "start") findings.push(...onStart(seen, event as StartEvent));
    if (kind === "decision") onDecision(seen, event as DecisionEvent);
    if (kind === "outcome") onOutcome(seen, event as OutcomeEvent);
    if (kind === "lost") onLost(seen, event as LostEvent);
    if (kind === "stop") findings.push(...onStop(seen));
    if (kind === "withheld") onWithheld(seen);
    return findings;
  }

  /** Decisions that spans report: their policy is all there is to check. */
  #withoutChain(sealed: SealedEvent): readonly Found[] {
    const { event, hash } = sealed;
    const { policiesTold } = this.state;
    const digest = policyOf(sealed);
    const { policies } = this.#rules;
    if (digest === undefined || policies === undefined || policies.has(digest)) return [];
    const key = `${event.source} ${digest}`;
    if (policiesTold.has(key)) return [];
    if (policiesTold.size >= MAX_POLICIES_TOLD) policiesTold.clear();
    policiesTold.add(key);
    const of = { source: event.source, id: event.id, hash };
    const data: FindingEvent["data"] = {
      tenant: event.data.tenant,
      finding: "POLICY_UNKNOWN",
      of,
      policy: { digest },
    };
    return [{ data, time: event.time }];
  }

  /** The emitter, and how long ago by our clock it was heard of. */
  #emitter(
    tenant: string,
    { place, time }: Link,
    nowMs: number | undefined,
  ): { readonly state: EmitterState; readonly passedMs: number } {
    const { emitters } = this.state;
    const key = `${tenant}/${place.emitter}`;
    const state = emitters.get(key) ?? newEmitter(tenant, place, time);
    emitters.delete(key);
    emitters.set(key, state);
    const passedMs = nowMs === undefined ? 0 : nowMs - (this.#heardMs.get(key) ?? nowMs);
    if (nowMs !== undefined) this.#heardMs.set(key, nowMs);
    if (emitters.size > this.#rules.maxEmitters) {
      const [oldest] = emitters.keys();
      if (oldest !== undefined) emitters.delete(oldest);
      this.#heardMs.delete(oldest ?? "");
      this.state.forgot = true;
    }
    return { state, passedMs };
  }

  /** What is in the log was told, by whomever: it is not found again. */
  #noteTold({ data }: FindingEvent): void {
    const { emitter, epoch = "", id = "", hash } = data.of;
    const state = this.state.emitters.get(`${data.tenant}/${emitter}`);
    if (state === undefined) return;
    if (data.finding === "NO_OUTCOME") state.open.delete(id);
    if (data.finding === "SILENT" && hash === state.last.place.hash) state.silentTold = true;
    const known = state.epochs.get(epoch);
    if (data.finding === "NO_STOP" && known !== undefined) known.over = true;
    if (data.finding === "GAP") dropTold(state, data);
  }
}

/** The place of an event; a withheld one stands at that of the original, with its hash. */
function linkOf({ event, hash }: SealedEvent): Link | undefined {
  if (kindOf(event.type) === "withheld") {
    const { emitter, epoch, seq, hash: original } = (event as WithheldEvent).data.of;
    return { place: { emitter, epoch, seq, hash: original }, prev: undefined, time: event.time };
  }
  const { chain } = event.data as { chain?: Chain };
  if (chain === undefined || event.source !== EMITTER_SOURCE_PREFIX + chain.emitter)
    return undefined;
  const { emitter, epoch, seq, prev } = chain;
  return { place: { emitter, epoch, seq, hash }, prev, time: event.time };
}
