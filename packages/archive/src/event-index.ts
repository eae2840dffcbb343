import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import {
  CountersignError,
  type CountersignEvent,
  type FindingEvent,
  kindOf,
  type Logger,
} from "@countersign/model";
import { viewChain, type ChainView } from "./chain-view.ts";
import {
  findDecision,
  queryDecisions,
  type DecisionFilter,
  type DecisionPage,
  type PageRequest,
} from "./index-query.ts";
import type { DecisionRow, OutcomeSummary } from "./index-row.ts";
import { openStore, removeIndex, type IndexStore } from "./index-store.ts";
import type { ArchiveLog } from "./log.ts";
import { countDecisions, type Stats, type StatsRequest } from "./stats.ts";

/** One transaction: small enough that the event loop hardly notices. */
const BATCH_EVENTS = 128;
const RETRY_MS = 5000;
const FINDINGS_MAX = 200;

/** Everything about one decision. */
export interface DecisionDetail {
  readonly row: DecisionRow;
  /** The event as sealed, parsed. */
  readonly event: CountersignEvent;
  /** SHA-256 of the sealed bytes, computed from the log just now. */
  readonly hash: string;
  readonly chain?: ChainView;
}

/** Findings of the log, newest first by position. */
export interface FindingPage {
  /** How many the log holds. */
  readonly total: number;
  readonly findings: readonly {
    readonly position: number;
    readonly id: string;
    /** Of the event that showed it. */
    readonly time: string;
    readonly data: FindingEvent["data"];
  }[];
}

/** An outcome that came after its decision was indexed. */
export interface OutcomeNotice {
  readonly decisionId: string;
  readonly outcome: OutcomeSummary;
}

/**
 * The console's view of the log: derived from it, behind it by milliseconds, thrown away and rebuilt at will. Queries run
 * on the caller's thread, bounded by page size.
 */
export interface ArchiveIndex {
  /** The next log position to index. */
  readonly position: number;
  /** Why indexing does not go on at the moment; undefined when all is well. */
  readonly fault: string | undefined;
  query(filter: DecisionFilter, page?: PageRequest): DecisionPage;
  get(id: string): Promise<DecisionDetail | undefined>;
  /** Outcomes at or behind a position, oldest first, at most `max`. */
  outcomesFrom(position: number, max: number): readonly OutcomeNotice[];
  stats(request: StatsRequest): Stats;
  /** The newest findings, at most `max` (200). */
  findings(max: number): Promise<FindingPage>;
  /** Resolves when `position` is indexed. Rejects CANCELLED on abort, UNAVAILABLE when the index closes. */
  wait(position: number, signal: AbortSignal): Promise<void>;
  /** Throws the index away and reads the log again. Resolves when it has caught up with what the log held at the call. */
  rebuild(): Promise<void>;
  close(): Promise<void>;
}

/** Where the index lies, if not in the archive's directory. */
export interface IndexOptions {
  readonly log: ArchiveLog;
  /** The archive's directory; the index is `index.sqlite` in it. */
  readonly directory: string;
  readonly logger?: Logger;
}

/** Opens the index (`node:sqlite`, loaded here and not before) and starts following the log. */
export async function openIndex(options: IndexOptions): Promise<ArchiveIndex> {
  const file = join(options.directory, "index.sqlite");
  let store = await openStore(file);
  if (!(await belongsTo(store, options.log))) {
    store.close();
    removeIndex(file);
    store = await openStore(file);
  }
  return new FollowingIndex(options, file, store);
}

/** Does the last indexed event stand in the log where the index says? If not, it is the index of another log. */
async function belongsTo(store: IndexStore, log: ArchiveLog): Promise<boolean> {
  if (store.position === 0) return true;
  const [last] = await log.read(BigInt(store.position - 1), 1);
  return last?.event.hash === store.lastHash;
}

class FollowingIndex implements ArchiveIndex {
  readonly #options: IndexOptions;
  readonly #file: string;
  readonly #waiters = new Set<() => void>();
  #store: IndexStore;
  #stopping = new AbortController();
  #following: Promise<void>;
  #closed: Promise<void> | undefined;
  #rebuilding = false;
  #fault: string | undefined;

  constructor(options: IndexOptions, file: string, store: IndexStore) {
    this.#options = options;
    this.#file = file;
    this.#store = store;
    this.#following = this.#follow(this.#stopping.signal);
  }

  get position(): number {
    return this.#store.position;
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  query(filter: DecisionFilter, page?: PageRequest): DecisionPage {
    return queryDecisions(this.#store, filter, page);
  }

  async get(id: string): Promise<DecisionDetail | undefined> {
    const row = findDecision(this.#store, id);
    if (row === undefined) return undefined;
    const [stored] = await this.#options.log.read(BigInt(row.position), 1);
    if (stored?.event.event.id !== id) {
      this.#rebuildOnce();
      throw new CountersignError(
        "UNAVAILABLE",
        "archive: the index does not match the log; it is being rebuilt, ask again later",
      );
    }
    const chain = await viewChain(this.#store, this.#options.log, stored);
    const { event, hash } = stored.event;
    return { row, event, hash, ...(chain === undefined ? {} : { chain }) };
  }

  outcomesFrom(position: number, max: number): readonly OutcomeNotice[] {
    return this.#store
      .statement(
        "SELECT decision_id, summary FROM outcomes WHERE position >= ? ORDER BY position LIMIT ?",
      )
      .all(position, max)
      .map((row) => ({
        decisionId: String(row["decision_id"]),
        outcome: JSON.parse(String(row["summary"])) as OutcomeSummary,
      }));
  }

  stats(request: StatsRequest): Stats {
    return countDecisions(this.#store, request);
  }

  async findings(max: number): Promise<FindingPage> {
    const of = "FROM events WHERE kind = 'finding'";
    const total = Number(this.#store.statement(`SELECT COUNT(*) AS n ${of}`).get()?.["n"]);
    const rows = this.#store
      .statement(`SELECT position ${of} ORDER BY position DESC LIMIT ?`)
      .all(Math.min(max, FINDINGS_MAX));
    const findings: FindingPage["findings"][number][] = [];
    for (const row of rows) {
      const position = Number(row["position"]);
      const [stored] = await this.#options.log.read(BigInt(position), 1);
      if (stored === undefined || kindOf(stored.event.event.type) !== "finding") continue;
      const { id, time, data } = stored.event.event as FindingEvent;
      findings.push({ position, id, time, data });
    }
    return { total, findings };
  }

  async wait(position: number, signal: AbortSignal): Promise<void> {
    while (this.#store.position <= position) {
      if (signal.aborted) throw new CountersignError("CANCELLED", "archive: wait cancelled");
      if (this.#closed !== undefined) throw new CountersignError("UNAVAILABLE", "archive: closed");
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiters.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        signal.addEventListener("abort", wake, { once: true });
        this.#waiters.add(wake);
      });
    }
  }

  async rebuild(): Promise<void> {
    const until = Number(this.#options.log.size);
    this.#stopping.abort();
    await this.#following;
    await this.#startOver();
    this.#stopping = new AbortController();
    this.#following = this.#follow(this.#stopping.signal);
    if (until > 0) await this.wait(until - 1, this.#stopping.signal);
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#stopping.abort();
    await this.#following;
    this.#wake();
    this.#store.close();
  }

  #rebuildOnce(): void {
    if (this.#rebuilding) return;
    this.#rebuilding = true;
    void this.#rebuildQuietly();
  }

  async #rebuildQuietly(): Promise<void> {
    try {
      await this.rebuild();
    } catch {
      // Closed meanwhile.
    }
    this.#rebuilding = false;
  }

  async #startOver(): Promise<void> {
    this.#store.close();
    removeIndex(this.#file);
    this.#store = await openStore(this.#file);
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const more = await this.#moreInLog(signal);
      if (!more) return;
      try {
        const events = await this.#options.log.read(BigInt(this.#store.position), BATCH_EVENTS);
        this.#store.add(events);
        this.#fault = undefined;
        this.#wake();
      } catch (error) {
        await this.#recover(error, signal);
      }
    }
  }

  /** False when there is nothing more to follow: stopped, or the log closed because the service ends. */
  async #moreInLog(signal: AbortSignal): Promise<boolean> {
    try {
      await this.#options.log.wait(BigInt(this.#store.position), signal);
      return true;
    } catch {
      return false;
    }
  }

  /** Disk full, damage in the index, damage in the log: say so, wait, and try again. A damaged index is made anew. */
  async #recover(cause: unknown, signal: AbortSignal): Promise<void> {
    const errcode = (cause as { errcode?: number }).errcode;
    const damaged = errcode === 11 || errcode === 26; // SQLITE_CORRUPT, SQLITE_NOTADB
    this.#fault = damaged
      ? "archive: the index was damaged and is being rebuilt from the log"
      : "archive: the index cannot follow the log at the moment; it tries again every 5 s";
    this.#options.logger?.warn(this.#fault);
    try {
      if (damaged || !this.#store.database.isOpen) return await this.#startOver();
    } catch {
      // Not even a new index can be made now: wait, as for anything else.
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter();
  }
}
