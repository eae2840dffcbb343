import { CountersignError, type SealedEvent } from "@countersign/model";
import { admit, candidatesOf, type Admission, type Candidate } from "./admit.ts";
import { BUNDLE_ENTRIES } from "./bundle.ts";
import type { Disk } from "./disk.ts";
import { keyOf, type EventKey } from "./event-key.ts";
import { HeadError, startHead } from "./head.ts";
import { createLogReader, type LogReader } from "./log-reader.ts";
import type { RecoveredLog } from "./log-recover.ts";
import type { AppendResult, ArchiveLog, ArchiveStatus, PositionedEvent } from "./log.ts";
import { writeSnapshot } from "./snapshot.ts";

const HEAD_MAX_BYTES = 16 * 1024 * 1024;
const QUEUE_MAX_EVENTS = 8192;
const QUEUE_MAX_BYTES = 64 * 1024 * 1024;
/** One write and one sync take at most this many events, so that nobody waits behind a giant. */
const GROUP_MAX_EVENTS = 2048;
/** Events that may wait in memory for their bundle when bundles cannot be written. */
const TAIL_MAX_EVENTS = 4096;
const RETRY_AFTER_MS = 5000;

/** Limits, and what to do at the end. */
export interface LogWriterOptions {
  readonly headMaxBytes?: number;
  readonly queueMaxEvents?: number;
  release(): void;
}

interface Request {
  readonly candidates: readonly Candidate[];
  readonly bytes: number;
  resolve(result: AppendResult): void;
  reject(error: unknown): void;
}

/** The open log: one commit loop that gathers what waits, writes it, syncs once, and then tells everybody. */
export function createLog(
  disk: Disk,
  recovered: RecoveredLog,
  options: LogWriterOptions,
): ArchiveLog {
  return new LogWriter(disk, recovered, options);
}

class LogWriter implements ArchiveLog {
  readonly #disk: Disk;
  readonly #options: LogWriterOptions;
  readonly #parts: { -readonly [Name in keyof RecoveredLog]: RecoveredLog[Name] };
  readonly #reader: LogReader;
  readonly #queue: Request[] = [];
  #queued = { events: 0, bytes: 0 };
  #duplicates = 0;
  #forks = 0;
  #loop: Promise<void> | undefined;
  #fault: CountersignError | undefined;
  #stalled: string | undefined;
  #closed: Promise<void> | undefined;

  constructor(disk: Disk, recovered: RecoveredLog, options: LogWriterOptions) {
    this.#disk = disk;
    this.#options = options;
    this.#parts = { ...recovered };
    this.#reader = createLogReader(recovered.tiles, recovered.tail);
  }

  get size(): bigint {
    return BigInt(this.#reader.size);
  }

  async append(events: readonly SealedEvent[]): Promise<AppendResult> {
    const candidates = candidatesOf(events);
    const bytes = events.reduce((sum, event) => sum + event.bytes.length, 0);
    this.#refuseWhenUnable(candidates.length, bytes);
    return await new Promise<AppendResult>((resolve, reject) => {
      this.#queue.push({ candidates, bytes, resolve, reject });
      this.#queued.events += candidates.length;
      this.#queued.bytes += bytes;
      this.#loop ??= this.#run();
    });
  }

  async read(from: bigint, max: number): Promise<readonly PositionedEvent[]> {
    return await this.#reader.read(from, max);
  }

  async wait(position: bigint, signal: AbortSignal): Promise<void> {
    await this.#reader.wait(Number(position), signal);
  }

  status(): ArchiveStatus {
    return {
      size: this.size,
      bundled: BigInt(this.#parts.tiles.count * BUNDLE_ENTRIES),
      duplicates: this.#duplicates,
      forks: this.#forks,
      recoveredTornBytes: this.#parts.tornBytes,
      ...(this.#fault === undefined ? {} : { fault: this.#fault.message }),
      ...(this.#stalled === undefined ? {} : { stalled: this.#stalled }),
    };
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await this.#loop;
    this.#reader.close();
    try {
      // The snapshot only saves the next start some reading; a fault must not be papered over by it.
      if (this.#fault === undefined) await this.#snapshot().catch(() => undefined);
      await this.#parts.head.close();
    } finally {
      this.#options.release();
    }
  }

  #refuseWhenUnable(events: number, bytes: number): void {
    if (this.#closed !== undefined) {
      throw new CountersignError("UNAVAILABLE", "archive: closed; nothing was stored");
    }
    if (this.#fault !== undefined) throw this.#fault;
    const limit = this.#options.queueMaxEvents ?? QUEUE_MAX_EVENTS;
    const full =
      this.#queued.events > 0 &&
      (this.#queued.events + events > limit || this.#queued.bytes + bytes > QUEUE_MAX_BYTES);
    if (full || this.#reader.tailLength >= TAIL_MAX_EVENTS) {
      throw new CountersignError(
        "OVERLOADED",
        "archive: the queue before the disk is full; nothing of this call was stored, send it again later",
        { retryAfterMs: 1000 },
      );
    }
  }

  async #run(): Promise<void> {
    // The first caller's turn ends before the queue is read, so callers of one tick share one sync.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      try {
        await this.#commit(group);
      } catch (error) {
        const reason = this.#explain(error);
        for (const request of group) request.reject(reason);
      }
      await this.#maintain();
    }
    this.#loop = undefined;
  }

  #takeGroup(): Request[] {
    const group: Request[] = [];
    for (let events = 0; this.#queue.length > 0;) {
      const next = this.#queue[0] as Request;
      events += next.candidates.length;
      if (group.length > 0 && events > GROUP_MAX_EVENTS) break;
      this.#queue.shift();
      this.#queued.events -= next.candidates.length;
      this.#queued.bytes -= next.bytes;
      group.push(next);
    }
    return group;
  }

  async #commit(group: readonly Request[]): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
    const candidates = group.flatMap((request) => request.candidates);
    const scan = (from: number, to: number) => this.#keys(from, to);
    const admissions = await admit(candidates, this.#parts.book, scan);
    const fresh = candidates.filter((_, index) => admissions[index] === "new");
    const first = this.#reader.size;
    if (fresh.length > 0) {
      await this.#parts.head.append(
        fresh.map(({ sealed }) => sealed.bytes),
        first,
      );
      for (const [index, { key }] of fresh.entries()) this.#parts.book.add(key, first + index);
      this.#reader.extend(fresh.map(({ sealed }) => sealed));
    }
    this.#answer(group, admissions, first);
  }

  #answer(group: readonly Request[], admissions: readonly Admission[], start: number): void {
    let first = start;
    let at = 0;
    for (const request of group) {
      const mine = admissions.slice(at, at + request.candidates.length);
      at += mine.length;
      const stored = mine.filter((admission) => admission === "new").length;
      const duplicates = mine.filter((admission) => admission === "duplicate").length;
      const forks: number[] = [];
      const standing: string[] = [];
      for (const [index, admission] of mine.entries()) {
        if (typeof admission === "string") continue;
        forks.push(index);
        standing.push(admission.fork);
      }
      this.#duplicates += duplicates;
      this.#forks += forks.length;
      request.resolve({
        first: BigInt(first),
        last: BigInt(first + stored - 1),
        duplicates,
        forks,
        standing,
      });
      first += stored;
    }
  }

  /** After a commit, when callers have their answer: full bundles to their final form, and a new head now and then. */
  async #maintain(): Promise<void> {
    const { tiles } = this.#parts;
    try {
      while (this.#reader.tailLength >= BUNDLE_ENTRIES) {
        await tiles.write(this.#reader.oldestTail(BUNDLE_ENTRIES).map((event) => event.bytes));
        this.#reader.dropTail(BUNDLE_ENTRIES);
      }
      await this.#roll(tiles.count * BUNDLE_ENTRIES);
      this.#stalled = undefined;
    } catch (error) {
      // Nothing is lost: every event is durable in the head, and each of these steps is whole or not there. The next
      // commit tries again; until it works the tail grows to its limit, and then append answers OVERLOADED.
      this.#stalled = `archive: bundles cannot be written (${(error as NodeJS.ErrnoException).code ?? "unexpected"})`;
    }
  }

  async #roll(first: number): Promise<void> {
    const old = this.#parts.head;
    // Never onto its own name: the open file would lose its directory entry.
    const due = old.bytes > (this.#options.headMaxBytes ?? HEAD_MAX_BYTES) && first > old.first;
    if (!due || this.#fault !== undefined) return;
    const rest = this.#reader.oldestTail(BUNDLE_ENTRIES).map((event) => event.bytes);
    this.#parts.head = await startHead(this.#disk, first, rest);
    await old.close();
    await this.#snapshot();
  }

  async #snapshot(): Promise<void> {
    const size = this.#reader.size;
    if (size === 0) return;
    const [last] = await this.#reader.read(BigInt(size - 1), 1);
    if (last === undefined) return;
    const epochs = this.#parts.book.toJSON();
    await writeSnapshot(this.#disk, { size, lastHash: last.event.hash, epochs });
  }

  async *#keys(from: number, to: number): AsyncIterable<EventKey> {
    for (let position = from; position <= to;) {
      const events = await this.#reader.read(BigInt(position), to - position + 1);
      if (events.length === 0) return;
      for (const { event } of events) {
        const key = keyOf(event);
        if (key !== undefined) yield key;
      }
      position += events.length;
    }
  }

  #explain(error: unknown): CountersignError {
    if (error instanceof HeadError) {
      if (error.fate === "undone") return notWritten(error.cause);
      this.#fault = new CountersignError(
        "UNAVAILABLE",
        "archive: the disk failed to make a write durable, so the log stopped writing. Check the disk, then restart: what the disk holds is read again then.",
        { cause: error.cause },
      );
      return this.#fault;
    }
    if (error instanceof CountersignError) return error;
    return new CountersignError("BUG", "archive: append failed unexpectedly", { cause: error });
  }
}

function notWritten(cause: unknown): CountersignError {
  const full = ["ENOSPC", "EDQUOT"].includes((cause as NodeJS.ErrnoException)?.code ?? "");
  const what = full ? "no space left on the archive's disk: free some" : "the disk refused a write";
  return new CountersignError(
    "UNAVAILABLE",
    `archive: ${what}; nothing of this call was stored, and it can be sent again`,
    { cause, retryAfterMs: RETRY_AFTER_MS },
  );
}
