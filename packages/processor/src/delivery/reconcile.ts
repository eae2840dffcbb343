// Was everything delivered? The log, the receipts over it, and where it can be asked the sink itself.
import type { Logger, SealedEvent } from "@countersign/model";
import type { Config } from "@countersign/pipeline";
import { type Again, createAgain } from "./again.ts";
import { type Coverage, createCoverage } from "./coverage.ts";
import { marksIn, matching } from "./dead-letters.ts";
import { createIdBook, type IdBook } from "./id-book.ts";
import { openLetterStore } from "./letter-store.ts";
import { type LogEntry, type LogSource, openLogSource } from "./log-source.ts";
import { readReceipts, type ReceiptRanges } from "./receipt-store.ts";
import { type Route, routesOf, routeTo } from "./route.ts";
import { createPredicate, type Selection, stretchesOf } from "./selection.ts";

/** What is compared. */
export interface ReconcileOptions {
  readonly config: Config;
  /** Id of one exporter; absent: every one behind a log. */
  readonly exporter?: string;
  readonly pipeline?: string;
  /** Of the events' own time; `untilMs` excluded. With it nothing counts as pending. */
  readonly fromMs?: number;
  readonly untilMs?: number;
  /** Longest time for a sink's answer; default 5 minutes. */
  readonly patienceMs?: number;
  readonly logger: (component: string) => Logger;
}

/** Places without a receipt, one after the other. */
export interface Gap {
  readonly partition: number;
  readonly first: string;
  last: string;
  events: number;
}

/** An event that the sink does not have. */
export interface AbsentEvent {
  readonly id: string;
  readonly partition: number;
  readonly offset: string;
}

/** What was found at one sink. `missing` is what nobody can prove to be delivered: `unreceipted + absent`. */
export interface SinkReconciliation {
  readonly sink: string;
  readonly pipeline: string;
  readonly log: string;
  /** Events of the log that were looked at. */
  events: number;
  missing: number;
  /** Events without a receipt, before others that have one. */
  unreceipted: number;
  /** The first hundred stretches of them. */
  readonly gaps: Gap[];
  /** Events at the end of the log that the pipeline has not reached, or has not written a receipt for yet. */
  pending: number;
  /** Receipts whose count and root are those of the log, those that say something else, and those beyond what was read. */
  readonly receipts: { right: number; wrong: number; unchecked: number };
  /** The first hundred ranges that are wrong: `<partition>:<first>-<last>`. */
  readonly wrong: string[];
  /** Whether the sink was asked. */
  readonly asked: boolean;
  /** With a receipt, and not in the sink. */
  absent: number;
  /** The first hundred of them. */
  readonly absentEvents: AbsentEvent[];
  /** Not in the sink, and an open dead letter says so. */
  deadLettered: number;
  /** Ids in the sink, in the time range of these events, that the log does not hold: those that have left it, too. */
  extra?: number;
  /** The first hundred of them. */
  readonly extraIds: string[];
  /** Ids that the sink holds more than once. */
  duplicated?: number;
}

/** Of every sink that was looked at. `ok`: nothing is missing, no receipt is wrong. */
export interface Reconciliation {
  readonly ok: boolean;
  readonly sinks: readonly SinkReconciliation[];
}

const PATIENCE_MS = 300_000;
const STOP_MS = 10_000;
const NAMED = 100;
const ASKED_AT_ONCE = 512;

/** Compares. Rejects CONFIG_INVALID without receipts, UNAVAILABLE when log, receipts or sink are away. */
export async function reconcile(
  options: ReconcileOptions,
  signal: AbortSignal,
): Promise<Reconciliation> {
  const { config, exporter, pipeline } = options;
  const routes = exporter === undefined ? routesOf(config) : [routeTo(config, exporter, pipeline)];
  // Receipts first: what they name is in the log then.
  const receiptsOf = await readReceipts(config, signal);
  const sinks: SinkReconciliation[] = [];
  for (const route of routes) {
    const source = await openLogSource(config, route.receiver);
    try {
      const receipts = receiptsOf(route.exporter.id, source.name);
      sinks.push(await new SinkCheck(options, { route, source, receipts }, signal).run());
    } finally {
      await source.close();
    }
  }
  const ok = sinks.every(({ missing, receipts }) => missing === 0 && receipts.wrong === 0);
  return { ok, sinks };
}

class SinkCheck {
  readonly #options: ReconcileOptions;
  readonly #source: LogSource;
  readonly #receipts: ReceiptRanges;
  readonly #signal: AbortSignal;
  readonly #again: Again;
  readonly #found: SinkReconciliation;
  readonly #ids: IdBook = createIdBook();
  /** Of the batch that the sink is asked about now. */
  #asking = new Map<SealedEvent, AbsentEvent>();
  #absent: { readonly hash: string; readonly event: AbsentEvent }[] = [];
  #absentMore = 0;

  constructor(
    options: ReconcileOptions,
    of: { route: Route; source: LogSource; receipts: ReceiptRanges },
    signal: AbortSignal,
  ) {
    const { config, logger, patienceMs = PATIENCE_MS } = options;
    this.#options = options;
    this.#source = of.source;
    this.#receipts = of.receipts;
    this.#signal = signal;
    this.#again = createAgain({
      config,
      route: of.route,
      logger,
      patienceMs,
      dryRun: true,
      receipts: false,
      absent: (events) => this.#noteAbsent(events),
    });
    this.#found = {
      sink: of.route.exporter.id,
      pipeline: of.route.pipeline.id,
      log: of.source.name,
      events: 0,
      missing: 0,
      unreceipted: 0,
      gaps: [],
      pending: 0,
      receipts: { right: 0, wrong: 0, unchecked: 0 },
      wrong: [],
      asked: this.#again.asks,
      absent: 0,
      absentEvents: [],
      deadLettered: 0,
      extraIds: [],
    };
  }

  async run(): Promise<SinkReconciliation> {
    const selection = this.#selection();
    const wanted = createPredicate(selection);
    if (this.#again.asks) await this.#again.start(this.#signal);
    try {
      for (const stretch of await stretchesOf(this.#source, selection)) {
        const { partition, first, end } = stretch;
        const receipts = this.#receipts.get(partition) ?? [];
        const coverage = createCoverage(receipts, { from: first, end });
        for await (const entries of this.#source.read(stretch, this.#signal))
          await this.#look(entries, { partition, coverage, wanted });
        this.#judge(coverage);
      }
      await this.#compare();
    } finally {
      if (this.#again.asks)
        await this.#again.stop(AbortSignal.timeout(STOP_MS)).catch(() => undefined);
    }
    this.#found.missing = this.#found.unreceipted + this.#found.absent;
    return this.#found;
  }

  #selection(): Selection {
    const { fromMs, untilMs } = this.#options;
    return {
      ...(fromMs === undefined ? {} : { fromMs }),
      ...(untilMs === undefined ? {} : { untilMs }),
    };
  }

  async #look(
    entries: readonly LogEntry[],
    of: { partition: number; coverage: Coverage; wanted: (event: SealedEvent) => boolean },
  ): Promise<void> {
    const { partition, coverage, wanted } = of;
    const covered: LogEntry[] = [];
    for (const entry of entries) {
      const isCovered = coverage.covers(entry);
      const { event, offset } = entry;
      if (event === undefined || !wanted(event)) continue;
      this.#found.events += 1;
      if (this.#again.held !== undefined)
        this.#ids.add(event.event.id, Date.parse(event.event.time));
      if (isCovered) covered.push(entry);
      else if (this.#mayBePending(offset, coverage)) this.#found.pending += 1;
      else this.#uncovered(partition, offset);
    }
    if (!this.#again.asks) return;
    for (let at = 0; at < covered.length; at += ASKED_AT_ONCE)
      await this.#ask(covered.slice(at, at + ASKED_AT_ONCE), partition);
  }

  /** A sink without any receipt is not on its way: nobody has ever delivered to it. */
  #mayBePending(offset: bigint, { last }: Coverage): boolean {
    return this.#options.untilMs === undefined && this.#receipts.size > 0 && offset > last;
  }

  #uncovered(partition: number, offset: bigint): void {
    this.#found.unreceipted += 1;
    const { gaps } = this.#found;
    const last = gaps.at(-1);
    if (last?.partition === partition && BigInt(last.last) + 1n === offset) {
      last.last = String(offset);
      last.events += 1;
    } else if (gaps.length < NAMED) {
      gaps.push({ partition, first: String(offset), last: String(offset), events: 1 });
    }
  }

  async #ask(entries: readonly LogEntry[], partition: number): Promise<void> {
    this.#asking = new Map(
      entries.flatMap(({ event, offset }) =>
        event === undefined
          ? []
          : [[event, { id: event.event.id, partition, offset: String(offset) }] as const],
      ),
    );
    await this.#again.deliver({ events: [...this.#asking.keys()] }, this.#signal);
  }

  #noteAbsent(events: readonly SealedEvent[]): void {
    for (const sealed of events) {
      const event = this.#asking.get(sealed);
      if (event === undefined) continue;
      if (this.#absent.length < MAX_ABSENT) this.#absent.push({ hash: sealed.hash, event });
      else this.#absentMore += 1;
    }
  }

  #judge(coverage: Coverage): void {
    const { right, wrong, unchecked } = coverage.done();
    const { receipts, wrong: named } = this.#found;
    receipts.right += right;
    receipts.wrong += wrong.length;
    receipts.unchecked += unchecked;
    for (const { partition, first, last } of wrong.slice(0, NAMED - named.length))
      named.push(`${partition}:${first}-${last}`);
  }

  /** What is not in the sink is dead-lettered, or missing. What is in it and not in the log is extra. */
  async #compare(): Promise<void> {
    const dead = this.#absent.length === 0 ? new Set<string>() : await this.#openLetters();
    for (const { hash, event } of this.#absent) {
      if (dead.has(hash)) this.#found.deadLettered += 1;
      else {
        this.#found.absent += 1;
        if (this.#found.absentEvents.length < NAMED) this.#found.absentEvents.push(event);
      }
    }
    this.#found.absent += this.#absentMore;
    const { held } = this.#again;
    const range = this.#ids.range;
    if (held === undefined || range === undefined || this.#ids.full) return;
    const { fromMs = range.fromMs, untilMs = range.untilMs } = this.#options;
    let extra = 0;
    for await (const id of held({ fromMs, untilMs }, this.#signal)) {
      if (this.#ids.see(id)) continue;
      extra += 1;
      if (this.#found.extraIds.length < NAMED) this.#found.extraIds.push(id);
    }
    this.#found.extra = extra;
    this.#found.duplicated = this.#ids.duplicated;
  }

  /** Hashes of what the sink refused, of those that are absent. */
  async #openLetters(): Promise<ReadonlySet<string>> {
    const absent = new Set(this.#absent.map(({ hash }) => hash));
    const store = await openLetterStore(this.#options.config);
    const dead = new Set<string>();
    try {
      const marks = await marksIn(store, this.#signal);
      const filter = { sink: this.#found.sink };
      for await (const { id, hash } of matching(store, filter, this.#signal))
        if (hash !== undefined && absent.has(hash) && !marks.has(id)) dead.add(hash);
    } finally {
      await store.close();
    }
    return dead;
  }
}

/** Absent events that are looked for among the dead letters; what is beyond is missing. */
const MAX_ABSENT = 100_000;
