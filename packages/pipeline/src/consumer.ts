import type { SealedEvent } from "@countersign/model";
import type { ResourceLogs, ResourceSpans } from "./otlp-data.ts";

/** Whoever takes batches over. Backpressure, acknowledgement and shutdown rest on this one promise. */
export interface Consumer<Batch> {
  /**
   * Resolves when the callee is responsible for the whole batch: the caller may forget it. A rejection may list `failed`
   * indexes; the rest was accepted. Rejects CANCELLED when `signal` aborts first.
   */
  consume(batch: Batch, signal: AbortSignal): Promise<void>;
}

/** Sealed events. */
export interface Decisions {
  readonly events: readonly SealedEvent[];
  /** Where in a log they came from; batching never joins two origins, so that receipts can name ranges. */
  readonly origin?: Origin;
}

/** A range of positions of a log, end included. */
export interface Origin {
  readonly log: string;
  readonly partition: number;
  readonly first: bigint;
  readonly last: bigint;
}

/** Spans as OTLP has them. */
export interface Traces {
  readonly resourceSpans: readonly ResourceSpans[];
}

/** Log records as OTLP has them: what comes in by the `decisions` signal until `intake` made events of them. */
export interface Logs {
  readonly resourceLogs: readonly ResourceLogs[];
}

/** What a pipeline carries, as its name in the configuration says. */
export type Signal = "traces" | "decisions";

/** Batches by kind. `logs` exists only between a receiver and `intake`. */
export interface Batches {
  readonly traces: Traces;
  readonly logs: Logs;
  readonly decisions: Decisions;
}

/** Kind of a batch between two components. */
export type BatchKind = keyof Batches;

/** How many items a batch holds: spans, log records, or events. */
export function countItems(batch: Traces | Logs | Decisions): number {
  if ("events" in batch) return batch.events.length;
  let items = 0;
  if ("resourceSpans" in batch) {
    for (const resource of batch.resourceSpans) {
      for (const scope of resource.scopeSpans ?? []) items += scope.spans?.length ?? 0;
    }
    return items;
  }
  for (const resource of batch.resourceLogs) {
    for (const scope of resource.scopeLogs ?? []) items += scope.logRecords?.length ?? 0;
  }
  return items;
}
