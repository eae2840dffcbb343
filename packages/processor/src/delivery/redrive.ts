import { type Logger, type SealedEvent, unseal } from "@countersign/model";
import type { Config, Letter } from "@countersign/pipeline";
import { type Again, createAgain } from "./again.ts";
import { type LetterFilter, marksIn, matching, REDRIVEN } from "./dead-letters.ts";
import { openLetterStore, type StoredLetter } from "./letter-store.ts";

/** What is sent again, and how. */
export interface RedriveOptions {
  readonly config: Config;
  readonly filter: LetterFilter;
  /** Says what would be sent. */
  readonly dryRun?: boolean;
  /** Longest time for a batch; default 5 minutes. */
  readonly patienceMs?: number;
  readonly logger: (component: string) => Logger;
}

/** What a redrive did. */
export interface RedriveSummary {
  readonly dryRun: boolean;
  /** Letters that match. */
  readonly read: number;
  /** Sent to the sink that had refused them; in a dry run: would be. */
  sent: number;
  /** The sink had them by now. */
  alreadyThere: number;
  /** Refused once more: there is a new letter of each. */
  refusedAgain: number;
  /** Sent again earlier. */
  redriven: number;
  /** No exporter refused them (intake, a receiver), the original was not kept, or the configuration has no such sink. */
  notRedrivable: number;
}

const PATIENCE_MS = 300_000;
const BATCH_LETTERS = 256;
const STOP_MS = 10_000;

interface Parcel {
  readonly letters: StoredLetter[];
  readonly events: SealedEvent[];
}

/**
 * Sends letters to the sinks that refused them. Each is marked when its sink has it or has refused it anew, so it is not sent by
 * the next redrive; a crash in between sends it twice. Nothing is ever deleted. Rejects UNAVAILABLE when a sink does not take them.
 */
export async function redrive(
  options: RedriveOptions,
  signal: AbortSignal,
): Promise<RedriveSummary> {
  return await new Redrive(options, signal).run();
}

class Redrive {
  readonly #options: RedriveOptions;
  readonly #signal: AbortSignal;
  readonly #sinks = new Map<string, Again | undefined>();
  readonly #parcels = new Map<string, Parcel>();
  readonly #counts = {
    read: 0,
    sent: 0,
    alreadyThere: 0,
    refusedAgain: 0,
    redriven: 0,
    notRedrivable: 0,
  };
  #waiting = 0;

  constructor(options: RedriveOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  async run(): Promise<RedriveSummary> {
    const { config, filter, dryRun = false } = this.#options;
    const store = await openLetterStore(config);
    try {
      const marks = await marksIn(store, this.#signal);
      for await (const letter of matching(store, filter, this.#signal)) {
        this.#counts.read += 1;
        if (marks.has(letter.id)) this.#counts.redriven += 1;
        else await this.#take(letter);
      }
      await this.#flush();
    } finally {
      for (const again of this.#sinks.values())
        await again?.stop(AbortSignal.timeout(STOP_MS)).catch(() => undefined);
      await store.close();
    }
    return { dryRun, ...this.#counts };
  }

  async #take(letter: StoredLetter): Promise<void> {
    const event = eventOf(letter);
    const again = letter.sink === undefined ? undefined : await this.#sink(letter.sink);
    if (event === undefined || again === undefined) {
      this.#counts.notRedrivable += 1;
      return;
    }
    const { log = "", partition = 0 } = letter.place ?? {};
    const key = JSON.stringify([letter.sink, log, partition]);
    const parcel = this.#parcels.get(key) ?? { letters: [], events: [] };
    parcel.letters.push(letter);
    parcel.events.push(event);
    this.#parcels.set(key, parcel);
    this.#waiting += 1;
    if (this.#waiting >= BATCH_LETTERS) await this.#flush();
  }

  async #flush(): Promise<void> {
    for (const parcel of this.#parcels.values()) await this.#send(parcel);
    this.#parcels.clear();
    this.#waiting = 0;
  }

  async #send({ letters, events }: Parcel): Promise<void> {
    const sink = letters[0]?.sink ?? "";
    const again = this.#sinks.get(sink);
    if (again === undefined) return;
    const before = { ...again.counts };
    await again.deliver({ events, ...originOf(letters, events) }, this.#signal);
    this.#counts.sent += again.counts.sent - before.sent;
    this.#counts.alreadyThere += again.counts.alreadyThere - before.alreadyThere;
    this.#counts.refusedAgain += again.counts.deadLettered - before.deadLettered;
    if (this.#options.dryRun !== true)
      await again.deposit(
        letters.map((letter) => markOf(letter, sink)),
        this.#signal,
      );
  }

  /** An exporter by itself: what it refused has passed the processors of its pipeline. */
  async #sink(id: string): Promise<Again | undefined> {
    if (this.#sinks.has(id)) return this.#sinks.get(id);
    const { config, logger, dryRun = false, patienceMs = PATIENCE_MS } = this.#options;
    const exporter = config.exporters.get(id);
    const pipeline = config.pipelines.find(
      ({ signal, exporters }) => signal === "decisions" && exporters.includes(id),
    );
    const again =
      exporter === undefined || pipeline === undefined
        ? undefined
        : createAgain({
            config,
            route: { exporter, pipeline: { ...pipeline, processors: [] } },
            logger,
            dryRun,
            patienceMs,
            receipts: false,
          });
    this.#sinks.set(id, again);
    await again?.start(this.#signal);
    return again;
  }
}

function eventOf({ bytes }: StoredLetter): SealedEvent | undefined {
  if (bytes === undefined) return undefined;
  try {
    return unseal(bytes);
  } catch {
    return undefined;
  }
}

/** If it is refused again, the new letter has the place of the old one. */
function originOf(letters: readonly StoredLetter[], events: readonly SealedEvent[]): object {
  const place = letters[0]?.place;
  if (place === undefined) return {};
  const { log, partition, offset } = place;
  const offsetOf = (event: SealedEvent): bigint | undefined =>
    letters[events.indexOf(event)]?.place?.offset;
  return { origin: { log, partition, first: offset, last: offset, offsetOf } };
}

function markOf({ id, hash }: StoredLetter, sink: string): Letter {
  return {
    reason: REDRIVEN,
    component: "dlq",
    timeMs: Date.now(),
    detail: id,
    sink,
    ...(hash === undefined ? {} : { hash }),
  };
}
