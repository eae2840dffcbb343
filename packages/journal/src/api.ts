import type { Counters, EventDraft, SealedEvent, StopReason } from "@countersign/model";

/** Whether what is sealed reaches the processor. `halted`: a person must act; the log says why. */
export type ShippingState = "off" | "ok" | "retrying" | "halted";

/** How the journal is. */
export interface JournalStatus {
  /** Known once the journal has opened. */
  readonly emitter?: string;
  /** The epoch being written; absent before the first, after a fault, and after stop. */
  readonly epoch?: string;
  /** Bytes on the disk, all epochs of the emitter. */
  readonly bytes: number;
  /** Events of the epoch that the processor has not acknowledged. */
  readonly unacknowledged: number;
  readonly oldestUnacknowledgedMs: number;
  readonly shipping: ShippingState;
  /** Why the last epoch ended, or none could be opened. */
  readonly fault?: string;
}

/** How an event is appended. */
export interface AppendOptions {
  /**
   * Nobody waits for it: it is sealed at once and in its place, but starts no sync of its own. It is on the disk with the
   * next event that somebody waits for, with `stop`, or after `limits.gatherMs`. Default false.
   */
  readonly relaxed?: boolean;
}

/** A durable, hash-chained local log of sealed events. One per process and state directory. */
export interface Journal {
  /** The gate counts here; sealed into heartbeat and stop, and `auditDenied` into the next start. */
  readonly counters: Counters;
  /**
   * Seals, writes, and resolves when the event is on the disk (fdatasync). The first one opens the epoch.
   * Rejects UNAVAILABLE (fault, disk budget, stopped), OVERLOADED (too many wait), BUG (the event is not valid),
   * CONFIG_INVALID (the state directory cannot hold a journal). A refused event has taken no number.
   */
  append(draft: EventDraft, options?: AppendOptions): Promise<SealedEvent>;
  /** True when the processor's 200 covers the event; false when `timeoutMs` passed, or nothing is being shipped. */
  acknowledged(event: SealedEvent, timeoutMs: number): Promise<boolean>;
  /**
   * Calls ran without a record (observe, break-glass), between two times in ms since 1970: a `lost` says so as soon as
   * an epoch is healthy. Leaves `counters` alone.
   */
  noteUnrecorded(count: number, sinceMs: number, untilMs: number): void;
  status(): JournalStatus;
  /**
   * Writes `stop`, ships until `deadline`, and lets go of the directory. Never rejects. Later appends are refused.
   * Keeps the process alive until it resolves.
   */
  stop(reason: StopReason, deadline: AbortSignal): Promise<void>;
}
