import { mkdir } from "node:fs/promises";
import type { JournalFs } from "@countersign/journal";
import type { Logger, SealedEvent } from "@countersign/model";
import { openDisk } from "./disk.ts";
import { recoverLog } from "./log-recover.ts";
import { takeLock } from "./lock.ts";
import { createLog } from "./log-writer.ts";

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

/** Where the archive is and what it may use. */
export interface ArchiveOptions {
  /** Made (0700) when missing. A local file system: no network share can promise fdatasync. */
  readonly directory: string;
  /** The log's name, `audit.example/<tenant>`; fixed at the first opening, part of every later proof. */
  readonly origin: string;
  readonly log?: Logger;
  /** Start a new head file beyond this size. Default 16 MiB. */
  readonly headMaxBytes?: number;
  /** Events waiting to be written before `append` answers OVERLOADED. Default 8,192 (and 64 MiB). */
  readonly queueMaxEvents?: number;
  /** The disk; tests make it faulty. */
  readonly fs?: JournalFs;
}

/**
 * Opens or makes an archive. Rejects UNAVAILABLE when another process has it or when what is on disk is damaged,
 * CONFIG_INVALID when it is some other log. A torn last write is cut off and counted.
 */
export async function openArchive(options: ArchiveOptions): Promise<ArchiveLog> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const lock = await takeLock(options.directory);
  try {
    const disk = openDisk(options.directory, options.fs);
    const recovered = await recoverLog(disk, options.origin);
    if (recovered.tornBytes > 0) {
      options.log?.warn("archive: cut off an unfinished write at the end of the log", {
        bytes: recovered.tornBytes,
      });
    }
    return createLog(disk, recovered, { ...options, release: () => lock.release() });
  } catch (error) {
    lock.release();
    throw error;
  }
}
