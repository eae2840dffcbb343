import { CountersignError, type Logger } from "@countersign/model";
import type { Component } from "./component.ts";
import { type Consumer, countItems, type Traces } from "./consumer.ts";
import type { Counter } from "./metrics.ts";
import { saidOf } from "./said-of.ts";

/** Bounds of a queue and what happens at them. */
export interface QueueOptions {
  readonly id: string;
  /** Spans that may wait. */
  readonly maxItems: number;
  /** Batches handed on at the same time. */
  readonly concurrency?: number;
  /**
   * `refuse`: a full queue rejects OVERLOADED. `drop`: it takes the batch, forgets it and counts. `wait`: the caller waits for
   * room; who calls bounds how many do.
   */
  readonly onFull: "refuse" | "drop" | "wait";
  /** Spans that were taken and are lost: full, or refused for good further on. */
  readonly dropped: Counter;
  readonly log?: Logger;
}

/** A queue, and how full it is. */
export interface Queue extends Component, Consumer<Traces> {
  readonly depth: number;
  readonly capacity: number;
}

const RETRY_AFTER_MS = 1000;

/**
 * A bounded queue in memory, for traces only: it takes over what a crash would lose, which decisions must never risk. `stop`
 * refuses what is new and hands on what waits; what is left when the deadline aborts is counted as dropped.
 */
export function createQueue(next: Consumer<Traces>, options: QueueOptions): Queue {
  return new MemoryQueue(next, options);
}

interface Job {
  readonly batch: Traces;
  readonly items: number;
}

/** Somebody who waits for room. */
interface Caller {
  readonly job: Job;
  readonly admit: () => void;
  readonly refuse: () => void;
}

class MemoryQueue implements Queue {
  readonly #next: Consumer<Traces>;
  readonly #options: QueueOptions;
  readonly #waiting: Job[] = [];
  readonly #callers: Caller[] = [];
  readonly #cancel = new AbortController();
  readonly #idle: (() => void)[] = [];
  #depth = 0;
  #active = 0;
  #stopping = false;

  constructor(next: Consumer<Traces>, options: QueueOptions) {
    this.#next = next;
    this.#options = options;
  }

  get depth(): number {
    return this.#depth;
  }

  get capacity(): number {
    return this.#options.maxItems;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  async consume(batch: Traces, signal: AbortSignal): Promise<void> {
    // It takes over what it does not read, and what is no request would spoil the batch that it is joined with.
    batch.wire?.check();
    const items = countItems(batch);
    const { onFull, maxItems, dropped } = this.#options;
    if (this.#stopping && onFull !== "drop") throw this.#overloaded("is stopping");
    if (!this.#stopping && this.#callers.length === 0 && this.#fits(items)) {
      this.#take({ batch, items });
    } else if (onFull === "drop") dropped.add(items);
    else if (onFull === "wait" && items <= maxItems) await this.#room({ batch, items }, signal);
    else throw this.#overloaded(`is full (${maxItems} spans)`);
  }

  #fits(items: number): boolean {
    return this.#depth + items <= this.#options.maxItems;
  }

  #take(job: Job): void {
    this.#depth += job.items;
    this.#waiting.push(job);
    this.#pump();
  }

  /** Whoever came first is first, however large its batch is. */
  #room(job: Job, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = (): void => {
        this.#callers.splice(this.#callers.indexOf(caller), 1);
        reject(new CountersignError("CANCELLED", `${this.#options.id}: stopped while it waited`));
      };
      const settle = (run: () => void) => (): void => {
        signal.removeEventListener("abort", cancel);
        run();
      };
      const caller = {
        job,
        admit: settle(resolve),
        refuse: settle(() => reject(this.#overloaded("is stopping"))),
      };
      this.#callers.push(caller);
      signal.addEventListener("abort", cancel, { once: true });
    });
  }

  /** Lets in who waits, as far as there is room. */
  #admit(): void {
    for (let [first] = this.#callers; first !== undefined; [first] = this.#callers) {
      if (!this.#stopping && !this.#fits(first.job.items)) return;
      this.#callers.shift();
      if (this.#stopping) first.refuse();
      else {
        first.admit();
        this.#take(first.job);
      }
    }
  }

  #overloaded(why: string): CountersignError {
    return new CountersignError(
      "OVERLOADED",
      `${this.#options.id}: the queue ${why}; send again later`,
      { retryAfterMs: RETRY_AFTER_MS },
    );
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping = true;
    this.#admit();
    const cut = (): void => this.#abandon();
    if (deadline.aborted) cut();
    deadline.addEventListener("abort", cut, { once: true });
    if (this.#active > 0 || this.#waiting.length > 0) {
      await new Promise<void>((resolve) => this.#idle.push(resolve));
    }
    deadline.removeEventListener("abort", cut);
  }

  #abandon(): void {
    for (const { items } of this.#waiting.splice(0)) this.#lose(items);
    this.#cancel.abort();
    this.#settle();
  }

  #pump(): void {
    const { concurrency = 1 } = this.#options;
    while (this.#active < concurrency) {
      const job = this.#waiting.shift();
      if (job === undefined) break;
      this.#active += 1;
      void this.#run(job.batch, job.items);
    }
    this.#settle();
  }

  #settle(): void {
    if (this.#active > 0 || this.#waiting.length > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  async #run(batch: Traces, items: number): Promise<void> {
    try {
      await this.#next.consume(batch, this.#cancel.signal);
      this.#depth -= items;
    } catch (error) {
      this.#lose(items);
      this.#options.log?.warn("spans were dropped", {
        spans: items,
        reason: saidOf(error),
      });
    } finally {
      this.#active -= 1;
      this.#admit();
      this.#pump();
    }
  }

  #lose(items: number): void {
    this.#depth -= items;
    this.#options.dropped.add(items);
  }
}
