import { CountersignError, unseal, type SealedEvent } from "@countersign/model";
import { BUNDLE_ENTRIES } from "./bundle.ts";
import type { PositionedEvent } from "./log.ts";
import type { Tiles } from "./tiles.ts";

const READ_MAX_EVENTS = 1024;
const READ_MAX_BYTES = 8 * 1024 * 1024;

/** What may be read: full bundles on disk, and behind them the durable events still in memory. */
export interface LogReader {
  readonly size: number;
  readonly tailLength: number;
  read(from: bigint, max: number): Promise<readonly PositionedEvent[]>;
  wait(position: number, signal: AbortSignal): Promise<void>;
  /** The writer says that these are durable now. */
  extend(events: readonly SealedEvent[]): void;
  /** Up to `count` events from the start of the tail. */
  oldestTail(count: number): readonly SealedEvent[];
  /** The writer says that these are in a bundle now. */
  dropTail(count: number): void;
  close(): void;
}

/** `tail` holds the durable events behind the last full bundle; the reader keeps its own copy. */
export function createLogReader(tiles: Tiles, tail: readonly SealedEvent[]): LogReader {
  return new Reader(tiles, tail);
}

interface Waiter {
  readonly position: number;
  settle(error?: CountersignError): void;
}

class Reader implements LogReader {
  readonly #tiles: Tiles;
  readonly #tail: SealedEvent[];
  readonly #waiters = new Set<Waiter>();
  /** Position of the first event of the tail. Moves only with the tail, so a read never sees one without the other. */
  #tailStart: number;
  #closed = false;

  constructor(tiles: Tiles, tail: readonly SealedEvent[]) {
    this.#tiles = tiles;
    this.#tail = [...tail];
    this.#tailStart = tiles.count * BUNDLE_ENTRIES;
  }

  get size(): number {
    return this.#tailStart + this.#tail.length;
  }

  get tailLength(): number {
    return this.#tail.length;
  }

  async read(from: bigint, max: number): Promise<readonly PositionedEvent[]> {
    if (from < 0n || !Number.isSafeInteger(max) || max < 1) {
      throw new CountersignError(
        "INPUT_INVALID",
        "archive: read wants a position from 0 and at least one event",
      );
    }
    const found: PositionedEvent[] = [];
    let position = Number(from);
    let bytes = 0;
    const limit = Math.min(max, READ_MAX_EVENTS);
    while (found.length < limit && position < this.size && bytes < READ_MAX_BYTES) {
      const events = await this.#stretch(position, limit - found.length);
      for (const event of events) {
        found.push({ position: BigInt(position), event });
        bytes += event.bytes.length;
        position += 1;
      }
    }
    return found;
  }

  async wait(position: number, signal: AbortSignal): Promise<void> {
    if (position < this.size) return;
    if (this.#closed) throw new CountersignError("UNAVAILABLE", "archive: closed");
    if (signal.aborted) throw new CountersignError("CANCELLED", "archive: wait cancelled");
    await new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        position,
        settle: (error) => {
          this.#waiters.delete(waiter);
          signal.removeEventListener("abort", cancel);
          if (error === undefined) resolve();
          else reject(error);
        },
      };
      const cancel = (): void =>
        waiter.settle(new CountersignError("CANCELLED", "archive: wait cancelled"));
      signal.addEventListener("abort", cancel, { once: true });
      this.#waiters.add(waiter);
    });
  }

  extend(events: readonly SealedEvent[]): void {
    this.#tail.push(...events);
    for (const waiter of this.#waiters) {
      if (waiter.position < this.size) waiter.settle();
    }
  }

  oldestTail(count: number): readonly SealedEvent[] {
    return this.#tail.slice(0, count);
  }

  dropTail(count: number): void {
    this.#tail.splice(0, count);
    this.#tailStart += count;
  }

  close(): void {
    this.#closed = true;
    const error = new CountersignError("UNAVAILABLE", "archive: closed");
    for (const waiter of this.#waiters) waiter.settle(error);
  }

  async #stretch(position: number, max: number): Promise<readonly SealedEvent[]> {
    if (position >= this.#tailStart) {
      const offset = position - this.#tailStart;
      return this.#tail.slice(offset, offset + max);
    }
    const bundle = await this.#tiles.read(Math.floor(position / BUNDLE_ENTRIES));
    const offset = position % BUNDLE_ENTRIES;
    return bundle.slice(offset, offset + max).map((bytes) => unseal(bytes));
  }
}
