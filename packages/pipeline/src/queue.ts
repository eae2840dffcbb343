import { CountersignError, type Logger } from "@countersign/model";
import type { Component } from "./component.ts";
import { type Consumer, countItems, type Traces } from "./consumer.ts";
import type { Counter } from "./metrics.ts";

/** Bounds of a queue and what happens at them. */
export interface QueueOptions {
  readonly id: string;
  /** Spans that may wait. */
  readonly maxItems: number;
  /** Batches handed on at the same time. */
  readonly concurrency?: number;
  /** `refuse`: a full queue rejects OVERLOADED. `drop`: it takes the batch, forgets it and counts. */
  readonly onFull: "refuse" | "drop";
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

class MemoryQueue implements Queue {
  readonly #next: Consumer<Traces>;
  readonly #options: QueueOptions;
  readonly #waiting: { batch: Traces; items: number }[] = [];
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

  async consume(batch: Traces): Promise<void> {
    // It takes over what it does not read, and what is no request would spoil the batch that it is joined with.
    batch.wire?.check();
    const items = countItems(batch);
    const fits = this.#depth + items <= this.#options.maxItems;
    if (fits && !this.#stopping) {
      this.#depth += items;
      this.#waiting.push({ batch, items });
      this.#pump();
      return;
    }
    if (this.#options.onFull === "drop") {
      this.#options.dropped.add(items);
      return;
    }
    const why = this.#stopping ? "is stopping" : `is full (${this.#options.maxItems} spans)`;
    throw new CountersignError(
      "OVERLOADED",
      `${this.#options.id}: the queue ${why}; send again later`,
      { retryAfterMs: RETRY_AFTER_MS },
    );
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping = true;
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
        reason: error instanceof Error ? error.message : "not an error",
      });
    } finally {
      this.#active -= 1;
      this.#pump();
    }
  }

  #lose(items: number): void {
    this.#depth -= items;
    this.#options.dropped.add(items);
  }
}
