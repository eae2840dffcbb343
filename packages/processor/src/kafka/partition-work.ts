// One batch of one partition, handed on piece by piece; each piece is committed when somebody else is responsible for it.
import { errorCode } from "@countersign/model";
import type { FeedBatch, FeedHandler, Outcome, StoredRecord } from "./port.ts";

/** What a work needs. */
export interface WorkOptions {
  readonly topic: string;
  readonly partition: number;
  /** At least one. */
  readonly records: readonly StoredRecord[];
  /** The group is past them: nothing is committed. */
  readonly again: boolean;
  readonly handler: FeedHandler;
  /** Stores the next offset to read. Does not reject. */
  readonly commit: (offset: bigint) => Promise<void>;
}

/** How it ended. */
export type WorkEnd =
  | { readonly kind: "done" }
  | { readonly kind: "again"; readonly retryAfterMs: number; readonly error?: unknown }
  | { readonly kind: "halt"; readonly error: Error };

/** A batch on its way. */
export interface PartitionWork {
  readonly partition: number;
  /** Offset of the first record. */
  readonly first: bigint;
  /** The next offset to read: `first` until something was done. */
  readonly next: bigint;
  /** How it ended; to be read when `settled`. */
  readonly end: WorkEnd;
  /** Resolves at the end, whatever it was. */
  readonly settled: Promise<void>;
  /** Somebody else has the partition: nothing more is committed. */
  abort(): void;
}

/** Records that are handed on in one piece. */
const PIECE_RECORDS = 512;
/** Wait after an error that does not say how long. */
const RETRY_MS = 1000;

/** Starts it. */
export function createPartitionWork(options: WorkOptions): PartitionWork {
  return new Work(options);
}

class Work implements PartitionWork {
  readonly partition: number;
  readonly first: bigint;
  readonly settled: Promise<void>;
  next: bigint;
  end: WorkEnd = { kind: "again", retryAfterMs: RETRY_MS };
  readonly #options: WorkOptions;
  readonly #cancel = new AbortController();

  constructor(options: WorkOptions) {
    this.#options = options;
    this.partition = options.partition;
    this.first = options.records[0]?.offset ?? 0n;
    this.next = this.first;
    this.settled = this.#run();
  }

  abort(): void {
    this.#cancel.abort();
  }

  async #run(): Promise<void> {
    const { topic, partition, records, again } = this.#options;
    for (let at = 0; at < records.length; at += PIECE_RECORDS) {
      const piece = { topic, partition, records: records.slice(at, at + PIECE_RECORDS) };
      this.end = await this.#handle(again ? { ...piece, again } : piece);
      if (this.end.kind !== "done") return;
    }
  }

  async #handle(piece: FeedBatch): Promise<WorkEnd> {
    const { handler, commit, again } = this.#options;
    const { signal } = this.#cancel;
    if (signal.aborted) return { kind: "again", retryAfterMs: RETRY_MS };
    let outcome: Outcome;
    try {
      outcome = await handler(piece, signal);
    } catch (error) {
      // A handler's error says the same as an outcome that asks for time.
      const after = (error as { retryAfterMs?: unknown } | undefined)?.retryAfterMs;
      if (errorCode(error) === "BUG") return { kind: "halt", error: error as Error };
      return { kind: "again", retryAfterMs: typeof after === "number" ? after : RETRY_MS, error };
    }
    if (outcome.done !== undefined && outcome.done >= this.next && !signal.aborted) {
      this.next = outcome.done + 1n;
      if (!again) await commit(this.next);
    }
    if ("halt" in outcome) return { kind: "halt", error: outcome.halt };
    if ("retryAfterMs" in outcome) return { kind: "again", retryAfterMs: outcome.retryAfterMs };
    return { kind: "done" };
  }
}
