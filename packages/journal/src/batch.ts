// Frames that wait for one write and one sync, together with whoever waits for them.
import type { SealedEvent } from "@countersign/model";
import { FRAME_HEADER_BYTES, writeFrame } from "./frames.ts";

const FIRST_BYTES = 16 * 1024;

/** One event in a batch, and the caller to tell. */
export interface Waiter {
  readonly sealed: SealedEvent;
  resolve(sealed: SealedEvent): void;
  reject(error: Error): void;
}

/** Frames of consecutive events in one buffer: one write, however many they are. */
export class Batch {
  readonly firstSeq: number;
  /** Hash of the event before the first. */
  readonly prev: string;
  readonly waiters: Waiter[] = [];
  used = 0;
  private buffer: Buffer;

  constructor(firstSeq: number, prev: string) {
    this.firstSeq = firstSeq;
    this.prev = prev;
    this.buffer = Buffer.allocUnsafe(FIRST_BYTES);
  }

  /** Frames, ready to be written. */
  get bytes(): Buffer {
    return this.buffer.subarray(0, this.used);
  }

  add(seq: number, waiter: Waiter): void {
    const body = waiter.sealed.bytes;
    const needed = this.used + FRAME_HEADER_BYTES + body.length;
    if (needed > this.buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.buffer.length));
      this.buffer.copy(larger, 0, 0, this.used);
      this.buffer = larger;
    }
    this.used = writeFrame(this.buffer, this.used, seq, { body });
    this.waiters.push(waiter);
  }
}
