import type { SealedEvent } from "@countersign/model";

/** What an exporter can do whose sink can be asked what it has: `replay` asks first, `reconcile` compares. */
export interface Queryable {
  /**
   * Indexes of the events that the sink should have and has not, ascending; an event that the format has no place for is never
   * among them. At most 512 events a call. Rejects as `consume` does: OVERLOADED or UNAVAILABLE is asked again.
   */
  missing?(events: readonly SealedEvent[], signal: AbortSignal): Promise<readonly number[]>;
  /**
   * Ids of the events in the sink whose `time` lies in the range (`untilMs` excluded), in any order; one that is there twice
   * comes twice. Page by page: nobody holds them all.
   */
  held?(
    range: { readonly fromMs: number; readonly untilMs: number },
    signal: AbortSignal,
  ): AsyncIterable<string>;
}
