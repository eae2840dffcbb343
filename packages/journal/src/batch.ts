// Frames that wait for one write and one sync, together with whoever waits for them.
import type { SealedEvent, SealedText } from "@countersign/model";
import { FRAME_HEADER_BYTES, writeFrame } from "./frames.ts";

const FIRST_BYTES = 64 * 1024;
/** A larger buffer is not kept: one burst must not hold its memory for ever. */
const MAX_KEPT_BYTES = 256 * 1024;
/** One is being written, one is being filled. */
const MAX_KEPT = 2;

/** One event in a batch, and the caller to tell. */
export interface Waiter {
  readonly sealed: SealedText;
  resolve(sealed: SealedEvent): void;
  reject(error: Error): void;
}

/** Most bytes that an event takes in a batch. */
export function mostFrameBytes({ text }: SealedText): number {
  return FRAME_HEADER_BYTES + 3 * text.length;
}

/** Buffers of batches that are on the disk, for those to come: memory outside the heap makes the collector work. */
export class BatchBuffers {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(FIRST_BYTES);
  }

  /** Only once nothing reads it any more. */
  give(buffer: Buffer): void {
    if (buffer.length <= MAX_KEPT_BYTES && this.#free.length < MAX_KEPT) this.#free.push(buffer);
  }
}

/** Frames of consecutive events in one buffer: one write, however many they are. */
export class Batch {
  readonly firstSeq: number;
  /** Hash of the event before the first. */
  readonly prev: string;
  /** When its first event was sealed, on the scale of `performance.now()`. */
  readonly sinceMs: number = performance.now();
  readonly waiters: Waiter[] = [];
  /** How many of them wait; without any, the batch may wait for one. */
  awaited = 0;
  used = 0;
  buffer: Buffer;

  constructor(firstSeq: number, prev: string, buffer: Buffer) {
    this.firstSeq = firstSeq;
    this.prev = prev;
    this.buffer = buffer;
  }

  /** Frames, ready to be written. */
  get bytes(): Buffer {
    return this.buffer.subarray(0, this.used);
  }

  /** Returns how many bytes the event takes. */
  add(seq: number, waiter: Waiter): number {
    const before = this.used;
    const needed = before + mostFrameBytes(waiter.sealed);
    if (needed > this.buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.buffer.length));
      this.buffer.copy(larger, 0, 0, before);
      this.buffer = larger;
    }
    this.used = writeFrame(this.buffer, before, seq, { body: waiter.sealed.text });
    this.waiters.push(waiter);
    return this.used - before;
  }
}
