// The one writer of an epoch: seals in order, gathers what is pending, one write, one fdatasync, then everybody is told.
// The sync that runs is the time in which the next batch gathers; a timer exists only for events that nobody waits for.
// Any write or sync error ends the
// epoch for good: after a failed sync the kernel may call dirty pages clean, so a retry would prove nothing.
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type Chain,
  CountersignError,
  type EventDraft,
  eventTime,
  GENESIS,
  seal,
  type SealedEvent,
  type SealedText,
} from "@countersign/model";
import type { AppendOptions } from "./api.ts";
import { Batch, BatchBuffers, mostFrameBytes } from "./batch.ts";
import type { Clock } from "./clock.ts";
import type { Position } from "./epoch-reader.ts";
import { type JournalFs, systemCode } from "./fs.ts";
import { createSegment, type OpenSegment, type SegmentHeader } from "./segment.ts";
import { appendAll } from "./whole-file.ts";

/** Most bytes in one write; what is over it goes into the next. */
const MAX_BATCH_BYTES = 1024 * 1024;

/** Node's timers may fire this much early. */
const TIMER_GRAIN_MS = 1;

/** The last event known to be on the disk. */
export interface Durable {
  readonly seq: number;
  readonly hash: string;
  /** Right after it. */
  readonly position: Position;
}

/** What every segment of the epoch says. */
type EpochHeader = Omit<SegmentHeader, "segment" | "firstSeq" | "prev" | "format">;

/** What a writer needs. */
export interface EpochWriterOptions {
  readonly fs: JournalFs;
  readonly epochPath: string;
  readonly header: EpochHeader;
  readonly clock: Clock;
  readonly segmentBytes: number;
  /** Events, and bytes, that may wait at once; over it an append is refused. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** Longest time for which events that nobody waits for are kept for the sync of another. */
  readonly gatherMs: number;
  /** Before each write: rejects to end the epoch (the directory is no longer ours). */
  guard?(): Promise<void>;
  /** After each sync, before callers are told. */
  onDurable(durable: Durable): void;
  /** Once, when the epoch has ended by a fault. */
  onFault(error: CountersignError): void;
}

/** Writes one epoch. */
export interface EpochWriter {
  readonly epoch: string;
  readonly epochNumber: number;
  readonly durable: Durable | undefined;
  /** Bytes in this epoch's segments, written or about to be, without those that were deleted. */
  readonly bytes: number;
  /** Events that have a number: durable, or about to be. */
  readonly events: number;
  readonly fault: CountersignError | undefined;
  /** Segments before this one are gone from the disk: they were acknowledged. */
  deletedBefore(segment: number): void;
  /**
   * Seals at once and resolves when the event is on the disk. Rejects UNAVAILABLE after a fault, BUG for an event that
   * is not valid; a refused event has taken no number.
   */
  append(draft: EventDraft, options?: AppendOptions): Promise<SealedEvent>;
  /** Whether the queue has room for one more. */
  hasRoom(): boolean;
  /** Waits for what is pending and closes the file. Never rejects. */
  close(): Promise<void>;
}

class SegmentedEpochWriter implements EpochWriter {
  readonly epoch: string;
  readonly epochNumber: number;
  durable: Durable | undefined;
  bytes: number;
  fault: CountersignError | undefined;
  private readonly options: EpochWriterOptions;
  private open: OpenSegment;
  private nextSeq = 0;
  private prev: string = GENESIS;
  private lastMs = 0;
  private readonly batches: Batch[] = [];
  private readonly buffers = new BatchBuffers();
  private waiting = 0;
  private waitingBytes = 0;
  private running: Promise<void> | undefined;
  private gathering: NodeJS.Timeout | undefined;
  /** Sizes of the segments that are full and still there. */
  private readonly closed = new Map<number, number>();

  constructor(options: EpochWriterOptions, segment: OpenSegment) {
    this.options = options;
    this.epoch = options.header.epoch;
    this.epochNumber = options.header.epochNumber;
    this.open = segment;
    this.bytes = segment.size;
  }

  get events(): number {
    return this.nextSeq;
  }

  hasRoom(): boolean {
    const { maxWaiting, maxWaitingBytes } = this.options;
    return this.waiting < maxWaiting && this.waitingBytes < maxWaitingBytes;
  }

  deletedBefore(segment: number): void {
    for (const [index, size] of this.closed) {
      if (index >= segment) continue;
      this.closed.delete(index);
      this.bytes -= size;
    }
  }

  append(draft: EventDraft, options?: AppendOptions): Promise<SealedEvent> {
    if (this.fault !== undefined) return Promise.reject(this.fault);
    return new Promise((resolve, reject) => {
      const seq = this.nextSeq;
      const sealed = this.sealNext(draft, seq);
      let batch = this.batches.at(-1);
      if (batch === undefined || batch.used + mostFrameBytes(sealed) > MAX_BATCH_BYTES) {
        batch = new Batch(seq, this.prev, this.buffers.take());
        this.batches.push(batch);
      }
      const size = batch.add(seq, { sealed, resolve, reject });
      if (options?.relaxed !== true) batch.awaited += 1;
      this.nextSeq = seq + 1;
      this.prev = sealed.hash;
      this.waiting += 1;
      this.waitingBytes += size;
      this.bytes += size;
      if (this.isDue()) this.running ??= this.commitAll();
      else this.gather(batch);
    });
  }

  /** Whether the first batch is to be written now: somebody waits, or it is full and the next has begun. */
  private isDue(): boolean {
    return this.batches.length > 1 || (this.batches[0]?.awaited ?? 0) > 0;
  }

  /** Not unreferenced: what was sealed gets to the disk before a process ends by itself. */
  private gather({ sinceMs }: Batch): void {
    if (this.running !== undefined) return;
    const waitMs = sinceMs + this.options.gatherMs - performance.now();
    this.gathering ??= setTimeout(() => this.gathered(), Math.max(0, waitMs));
  }

  private gathered(): void {
    this.gathering = undefined;
    const [batch] = this.batches;
    if (batch === undefined || this.running !== undefined) return;
    // The batch for which the timer was set may have gone with another event, and this one have begun since.
    const isYoung = performance.now() - batch.sinceMs < this.options.gatherMs - TIMER_GRAIN_MS;
    if (isYoung && !this.isDue()) this.gather(batch);
    else this.running = this.commitAll(true);
  }

  /** Throws before anything is counted: a refused event takes no number. */
  private sealNext(draft: EventDraft, seq: number): SealedText {
    const { emitter, epoch } = this.options.header;
    const chain: Chain = { emitter, epoch, seq, prev: this.prev };
    const nowMs = Math.max(this.options.clock.now(), this.lastMs);
    const sealed = seal(draft, chain, eventTime(nowMs));
    this.lastMs = nowMs;
    return sealed;
  }

  /** Writes what is due, and, with `all`, the first batch even if nobody waits for it. */
  private async commitAll(all = false): Promise<void> {
    // Callers of this very turn share the first write.
    await Promise.resolve();
    try {
      let due = all || this.isDue();
      while (due) {
        const batch = this.batches.shift();
        if (batch === undefined) break;
        await this.commit(batch);
        // Whoever was told and comes back at once shares the next write: half as many syncs at a steady load.
        if (batch.awaited > 1) await nextTurn();
        due = this.isDue();
      }
    } finally {
      this.running = undefined;
    }
    const [left] = this.batches;
    if (left !== undefined) this.gather(left);
  }

  private async commit(batch: Batch): Promise<void> {
    try {
      await this.options.guard?.();
      await this.rollIfFull(batch);
      await appendAll(this.open.file, batch.bytes);
      await this.open.file.datasync();
      if (!(await this.open.file.isNamed())) throw gone();
    } catch (error) {
      this.fail(error, batch);
      return;
    }
    this.open.size += batch.used;
    const last = batch.waiters.at(-1)?.sealed as SealedEvent;
    const seq = batch.firstSeq + batch.waiters.length - 1;
    const position = { segment: this.open.index, offset: this.open.size };
    this.durable = { seq, hash: last.hash, position };
    this.waiting -= batch.waiters.length;
    this.waitingBytes -= batch.used;
    this.options.onDurable(this.durable);
    this.buffers.give(batch.buffer);
    for (const waiter of batch.waiters) waiter.resolve(waiter.sealed);
  }

  private async rollIfFull(batch: Batch): Promise<void> {
    const { fs, epochPath, header, segmentBytes } = this.options;
    if (this.durable === undefined || this.open.size + batch.used <= segmentBytes) return;
    const full = this.open;
    this.open = await createSegment(fs, epochPath, {
      format: 1,
      ...header,
      segment: full.index + 1,
      firstSeq: batch.firstSeq,
      prev: batch.prev,
    });
    this.bytes += this.open.size;
    this.closed.set(full.index, full.size);
    await full.file.close();
  }

  private fail(cause: unknown, batch: Batch): void {
    const code = systemCode(cause) ?? "unknown error";
    const fault = new CountersignError(
      "UNAVAILABLE",
      `journal: the epoch ended: ${code} while writing to the state directory. Check the disk.`,
      { cause },
    );
    this.fault = fault;
    clearTimeout(this.gathering);
    const refused = [batch, ...this.batches.splice(0)];
    this.waiting = 0;
    this.waitingBytes = 0;
    this.options.onFault(fault);
    for (const each of refused) for (const waiter of each.waiters) waiter.reject(fault);
    // Never used again; that it can be closed is a courtesy.
    this.open.file.close().catch(() => undefined);
  }

  async close(): Promise<void> {
    clearTimeout(this.gathering);
    while (this.running !== undefined || this.batches.length > 0) {
      this.running ??= this.commitAll(true);
      await this.running;
    }
    if (this.fault !== undefined) return;
    this.fault = new CountersignError("UNAVAILABLE", "journal: the epoch was closed");
    await this.open.file.close().catch(() => undefined);
  }
}

/** The directory was deleted under us: the descriptor still takes everything, for nobody. */
function gone(): Error {
  return Object.assign(new Error("the segment was deleted"), { code: "ENOENT" });
}

/** Makes the first segment, durably, and the writer over it. Rejects with the system error. */
export async function openEpochWriter(options: EpochWriterOptions): Promise<EpochWriter> {
  const { fs, epochPath, header } = options;
  const first = { format: 1, ...header, segment: 0, firstSeq: 0, prev: GENESIS } as const;
  return new SegmentedEpochWriter(options, await createSegment(fs, epochPath, first));
}
