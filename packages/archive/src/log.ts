import type { SealedEvent } from "@countersign/model";

/** An event and where it stands in the log. */
export interface PositionedEvent {
  readonly position: bigint;
  readonly event: SealedEvent;
}

/** What an append did. */
export interface AppendResult {
  /** Positions of the new events, end included; when nothing was new, `last` is `first - 1`. */
  readonly first: bigint;
  readonly last: bigint;
  /** Events that the log had already, byte for byte. */
  readonly duplicates: number;
  /** Indexes (in the call) of events whose place holds another event. They are not stored: dead-letter them. */
  readonly forks: readonly number[];
  /** Hashes of the events that stand there, in the same order. */
  readonly standing: readonly string[];
}

/** Figures for health checks and metrics. */
export interface ArchiveStatus {
  readonly size: bigint;
  /** Entries in full bundles, in their final form. */
  readonly bundled: bigint;
  readonly duplicates: number;
  readonly forks: number;
  /** Bytes cut off at opening: a write that no sync had covered. */
  readonly recoveredTornBytes: number;
  /** Set once the log refuses to write, until it is opened again. */
  readonly fault?: string;
  /** Set while full bundles cannot be written; appends go on until the tail is full (4,096 events). */
  readonly stalled?: string;
}

/** A durable, position-addressed append log of sealed events. Positions start at 0 and have no holes. */
export interface ArchiveLog {
  /**
   * Resolves when every new event is on disk (fdatasync; callers at the same time share one). Exactly once by emitter,
   * epoch and seq. Rejects INPUT_INVALID (with `failed`), OVERLOADED (queue full; `retryAfterMs`), UNAVAILABLE (disk full,
   * with `retryAfterMs`; or a fault, until opened again). After a rejection none of the call's events counts as stored.
   */
  append(events: readonly SealedEvent[]): Promise<AppendResult>;
  /** Up to `max` events (at most 1,024, about 8 MiB) from a position on; none at the end. Rejects when the disk gives back damage. */
  read(from: bigint, max: number): Promise<readonly PositionedEvent[]>;
  /** The number of events, which is the next position. */
  readonly size: bigint;
  /** Resolves when `position` is readable. Rejects CANCELLED on abort, UNAVAILABLE when the log closes. */
  wait(position: bigint, signal: AbortSignal): Promise<void>;
  status(): ArchiveStatus;
  /** Waits for appends under way, then releases the archive. Safe to repeat. */
  close(): Promise<void>;
}
