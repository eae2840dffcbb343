// Which events of the running process the processor has, and who waits to hear of it.
import type { Chain, SealedEvent } from "@countersign/model";

/** Points kept to tell the age of the oldest unacknowledged event; over it, every second one is forgotten. */
const MAX_MARKS = 1_024;
/** Epochs kept in the book: the current one, and those that ended by a fault and are not acknowledged yet. */
const MAX_EPOCHS = 16;

/** Book of acknowledgements. */
export interface Acknowledgements {
  /** Events up to `seq` of `epoch` are durable here. */
  durable(epoch: string, seq: number, nowMs: number): void;
  /** Events up to `seq` of `epoch` are with the processor. */
  acknowledge(epoch: string, seq: number): void;
  /** True once `event` is acknowledged; false after `timeoutMs`. */
  wait(event: SealedEvent, timeoutMs: number): Promise<boolean>;
  /** Tells everybody who waits: it will not come. */
  giveUp(): void;
  /** Whether the processor has everything of `epoch` that is durable here. */
  isComplete(epoch: string): boolean;
  /** Whether anybody waits. */
  awaited(): boolean;
  unacknowledged(): number;
  oldestMs(nowMs: number): number;
}

interface Mark {
  readonly seq: number;
  readonly atMs: number;
}

interface Waiting {
  readonly seq: number;
  tell(acknowledged: boolean): void;
}

interface EpochBook {
  durable: number;
  acknowledged: number;
  marks: Mark[];
  readonly waiting: Set<Waiting>;
}

class EpochAcknowledgements implements Acknowledgements {
  private readonly epochs = new Map<string, EpochBook>();

  private book(epoch: string): EpochBook {
    let book = this.epochs.get(epoch);
    if (book === undefined) {
      this.forgetOld();
      book = { durable: -1, acknowledged: -1, marks: [], waiting: new Set() };
      this.epochs.set(epoch, book);
    }
    return book;
  }

  private forgetOld(): void {
    for (const [epoch, book] of this.epochs) {
      const settled = book.acknowledged >= book.durable && book.waiting.size === 0;
      if (!settled && this.epochs.size < MAX_EPOCHS) continue;
      for (const waiting of book.waiting) waiting.tell(false);
      this.epochs.delete(epoch);
    }
  }

  durable(epoch: string, seq: number, nowMs: number): void {
    const book = this.book(epoch);
    book.marks.push({ seq: book.durable + 1, atMs: nowMs });
    book.durable = Math.max(book.durable, seq);
    if (book.marks.length > MAX_MARKS)
      book.marks = book.marks.filter((_, index) => index % 2 === 0);
  }

  acknowledge(epoch: string, seq: number): void {
    const book = this.epochs.get(epoch);
    if (book === undefined) return;
    book.acknowledged = Math.max(book.acknowledged, seq);
    // The last mark at or before the first unacknowledged event still tells its age.
    const next = book.marks.findLastIndex((mark) => mark.seq <= book.acknowledged + 1);
    if (next > 0) book.marks.splice(0, next);
    // What comes next is not as old as what has gone.
    if (book.acknowledged >= book.durable) book.marks = [];
    for (const waiting of book.waiting) if (waiting.seq <= book.acknowledged) waiting.tell(true);
  }

  wait(event: SealedEvent, timeoutMs: number): Promise<boolean> {
    const { chain } = event.event.data as { chain?: Chain };
    if (chain === undefined) return Promise.resolve(false);
    const book = this.book(chain.epoch);
    if (chain.seq <= book.acknowledged) return Promise.resolve(true);
    return new Promise((resolve) => {
      const waiting: Waiting = {
        seq: chain.seq,
        tell: (acknowledged) => {
          clearTimeout(timer);
          book.waiting.delete(waiting);
          resolve(acknowledged);
        },
      };
      const timer = setTimeout(() => waiting.tell(false), timeoutMs);
      book.waiting.add(waiting);
    });
  }

  giveUp(): void {
    for (const book of this.epochs.values()) {
      for (const waiting of book.waiting) waiting.tell(false);
    }
  }

  isComplete(epoch: string): boolean {
    const book = this.epochs.get(epoch);
    return book !== undefined && book.acknowledged >= book.durable;
  }

  awaited(): boolean {
    for (const book of this.epochs.values()) if (book.waiting.size > 0) return true;
    return false;
  }

  unacknowledged(): number {
    let count = 0;
    for (const book of this.epochs.values()) count += Math.max(0, book.durable - book.acknowledged);
    return count;
  }

  oldestMs(nowMs: number): number {
    let oldest = 0;
    for (const book of this.epochs.values()) {
      const mark = book.acknowledged < book.durable ? book.marks[0] : undefined;
      if (mark !== undefined) oldest = Math.max(oldest, nowMs - mark.atMs);
    }
    return oldest;
  }
}

/** An empty book. */
export function createAcknowledgements(): Acknowledgements {
  return new EpochAcknowledgements();
}
