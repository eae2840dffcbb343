// Bytes of a simulated file: what programs see (the page cache) and what a power cut leaves (the disk). Between two syncs
// the disk may take any of the sectors that were written, in any order, and any of the sizes that the file has had.
import type { Random } from "./random.ts";

/** What a disk writes whole or not at all. */
const SECTOR_BYTES = 512;

/** Content of one file, whatever its names are. */
export class SimulatedContent {
  cached: Buffer = Buffer.alloc(0);
  durable: Buffer = Buffer.alloc(0);
  modifiedMs = 0;
  /** A write or sync of it has failed. */
  faulty = false;
  readonly #dirty = new Set<number>();
  #sizes: number[] = [];

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (end > this.cached.length) this.#resize(end);
    this.cached.set(bytes, position);
    this.#soil(position, end);
    this.#sizes.push(this.cached.length);
  }

  truncate(size: number): void {
    this.#resize(size);
    this.#soil(Math.max(0, size - 1), size);
    this.#sizes.push(size);
  }

  /** The disk has all of it, but for pages that an earlier failed sync has dropped. */
  sync(): void {
    this.durable = resized(this.durable, this.cached.length);
    for (const sector of this.#dirty) this.#persist(this.durable, sector);
    this.#dirty.clear();
    this.#sizes = [];
  }

  /**
   * A sync that reports an error: some sectors may have been written, and all pages are called clean, so that the next sync
   * succeeds without writing them (Linux, ext4 and XFS).
   */
  failSync(random: Random): void {
    this.durable = this.#whatIsLeft(random);
    this.#dirty.clear();
  }

  /** What the disk holds when it comes back. */
  cut(random: Random): void {
    this.durable = this.#whatIsLeft(random);
    this.cached = Buffer.from(this.durable);
    this.#dirty.clear();
    this.#sizes = [];
    this.faulty = false;
  }

  #whatIsLeft(random: Random): Buffer {
    const size = random.pick([this.durable.length, ...this.#sizes]);
    const left = resized(this.durable, size);
    for (const sector of this.#dirty) if (random.chance(0.5)) this.#persist(left, sector);
    return left;
  }

  #persist(target: Buffer, sector: number): void {
    const from = sector * SECTOR_BYTES;
    if (from < target.length) this.cached.copy(target, from, from, from + SECTOR_BYTES);
  }

  #soil(from: number, to: number): void {
    for (let at = from; at < to; at += SECTOR_BYTES) this.#dirty.add(Math.floor(at / SECTOR_BYTES));
    if (to > from) this.#dirty.add(Math.floor((to - 1) / SECTOR_BYTES));
  }

  #resize(size: number): void {
    this.cached = resized(this.cached, size);
  }
}

function resized(bytes: Buffer, size: number): Buffer {
  const target = Buffer.alloc(size);
  bytes.copy(target, 0, 0, Math.min(size, bytes.length));
  return target;
}
