import type { Logger, SealedEvent } from "@countersign/model";
import type { Config } from "@countersign/pipeline";
import { type Again, createAgain } from "./again.ts";
import { type LogEntry, type LogSource, openLogSource } from "./log-source.ts";
import { type Route, routeTo } from "./route.ts";
import { createPredicate, type Selection, stretchesOf } from "./selection.ts";

/** What is sent again, and where to. */
export interface ReplayOptions {
  readonly config: Config;
  /** Id of the exporter. */
  readonly exporter: string;
  /** Id of the pipeline, where several lead to the exporter. */
  readonly pipeline?: string;
  readonly selection: Selection;
  /** Reads and asks; sends and writes nothing. */
  readonly dryRun?: boolean;
  /** Longest time for a batch; default 5 minutes. */
  readonly patienceMs?: number;
  readonly logger: (component: string) => Logger;
}

/** What a replay did. `read = alreadyThere + sent + deadLettered + filtered`. In a dry run `sent` is what would be. */
export interface ReplaySummary {
  readonly exporter: string;
  readonly log: string;
  readonly dryRun: boolean;
  /** Events of the selection. */
  readonly read: number;
  readonly alreadyThere: number;
  readonly sent: number;
  readonly deadLettered: number;
  /** Not let through by the pipeline's processors. */
  readonly filtered: number;
}

/** A replay that can begin. */
export interface Replay {
  /** Name of the log. */
  readonly log: string;
  readonly pipeline: string;
  /** Whether the sink is asked what it has before anything is sent. */
  readonly asks: boolean;
  /** Whether what the sink has already is there twice afterwards. */
  readonly duplicates: boolean;
  /** Places of the log that will be looked at. */
  readonly places: bigint;
  /** Rejects UNAVAILABLE when the sink does not take a batch in time, CANCELLED on abort: what was sent is sent. */
  run(
    signal: AbortSignal,
    progress?: (summary: ReplaySummary, looked: bigint) => void,
  ): Promise<ReplaySummary>;
  /** Releases everything; safe whether it ran or not. */
  close(): Promise<void>;
}

const PATIENCE_MS = 300_000;
const BATCH_EVENTS = 512;
const STOP_MS = 10_000;

/** Opens the log and the exporter. Rejects CONFIG_INVALID, or UNAVAILABLE when one of them is away. */
export async function prepareReplay(options: ReplayOptions, signal: AbortSignal): Promise<Replay> {
  const { config, selection, dryRun = false, patienceMs = PATIENCE_MS, logger } = options;
  const route = routeTo(config, options.exporter, options.pipeline);
  const source = await openLogSource(config, route.receiver);
  const again = createAgain({ config, route, logger, dryRun, patienceMs });
  try {
    const stretches = await stretchesOf(source, selection);
    await again.start(signal);
    return replayOf({ source, again, route, selection, stretches, dryRun });
  } catch (error) {
    await source.close();
    throw error;
  }
}

function replayOf(of: {
  source: LogSource;
  again: Again;
  route: Route;
  selection: Selection;
  stretches: Awaited<ReturnType<typeof stretchesOf>>;
  dryRun: boolean;
}): Replay {
  const { source, again, route, selection, stretches, dryRun } = of;
  const wanted = createPredicate(selection);
  let read = 0;
  let looked = 0n;
  const summary = (): ReplaySummary => ({
    exporter: route.exporter.id,
    log: source.name,
    dryRun,
    read,
    ...again.counts,
  });
  return {
    log: source.name,
    pipeline: route.pipeline.id,
    asks: again.asks,
    duplicates: again.duplicates,
    places: stretches.reduce((sum, { first, end }) => sum + (end - first), 0n),
    run: async (signal, progress) => {
      for (const stretch of stretches) {
        let from = stretch.first;
        for await (const entries of source.read(stretch, signal)) {
          for (const piece of pieces(entries)) {
            for (const run of runs(piece, wanted, from)) {
              const origin = { log: source.name, partition: stretch.partition, ...run.range };
              read += run.events.length;
              await again.deliver({ events: run.events, origin }, signal);
            }
            const last = piece.at(-1)?.offset ?? from - 1n;
            looked += last + 1n - from;
            from = last + 1n;
            progress?.(summary(), looked);
          }
        }
      }
      return summary();
    },
    close: async () => {
      await again.stop(AbortSignal.timeout(STOP_MS)).catch(() => undefined);
      await source.close();
    },
  };
}

function* pieces(entries: readonly LogEntry[]): Generator<readonly LogEntry[]> {
  for (let at = 0; at < entries.length; at += BATCH_EVENTS)
    yield entries.slice(at, at + BATCH_EVENTS);
}

interface Run {
  readonly events: SealedEvent[];
  range: { first: bigint; last: bigint; offsetOf: (event: SealedEvent) => bigint | undefined };
}

/**
 * Stretches of a piece in which every event is wanted: a receipt says that a whole range was delivered. Holes and records that are
 * no events belong to the range around them; `from` is where the piece begins.
 */
function* runs(
  piece: readonly LogEntry[],
  wanted: (event: SealedEvent) => boolean,
  from: bigint,
): Generator<Run> {
  const offsetOf = (event: SealedEvent): bigint | undefined =>
    piece.find((entry) => entry.event === event)?.offset;
  let run: Run | undefined;
  let next = from;
  for (const { offset, event } of piece) {
    if (event === undefined || wanted(event)) {
      run ??= { events: [], range: { first: next, last: offset, offsetOf } };
      run.range.last = offset;
      if (event !== undefined) run.events.push(event);
    } else {
      if (run !== undefined && run.events.length > 0) yield run;
      run = undefined;
    }
    next = offset + 1n;
  }
  if (run !== undefined && run.events.length > 0) yield run;
}
