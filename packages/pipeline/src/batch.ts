import { CountersignError } from "@countersign/model";
import type { Component } from "./component.ts";
import type { Consumer } from "./consumer.ts";

/** When batches are joined. */
export interface BatchOptions<Batch> {
  /** A joined batch is sent when it holds this many items. */
  readonly maxItems: number;
  /** … or when its first part has waited this long. */
  readonly maxWaitMs: number;
  readonly count: (batch: Batch) => number;
  readonly join: (batches: readonly Batch[]) => Batch;
}

interface Part<Batch> {
  readonly batch: Batch;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Joins small batches of callers at the same time. Each caller's promise settles with that of the joined batch, so nobody is
 * told "done" early. A caller that gives up while it waits is told so, its part goes on.
 */
export function createBatcher<Batch>(
  next: Consumer<Batch>,
  options: BatchOptions<Batch>,
): Component & Consumer<Batch> {
  return new Batcher(next, options);
}

class Batcher<Batch> implements Component, Consumer<Batch> {
  readonly #next: Consumer<Batch>;
  readonly #options: BatchOptions<Batch>;
  readonly #cancel = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #parts: Part<Batch>[] = [];
  #items = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(next: Consumer<Batch>, options: BatchOptions<Batch>) {
    this.#next = next;
    this.#options = options;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  consume(batch: Batch, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = (): void =>
        reject(new CountersignError("CANCELLED", "batch: stopped while it waited for others"));
      signal.addEventListener("abort", cancel, { once: true });
      const release = (): void => signal.removeEventListener("abort", cancel);
      this.#add({
        batch,
        resolve: () => (release(), resolve()),
        reject: (error) => (release(), reject(error)),
      });
    });
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping = true;
    const cut = (): void => this.#cancel.abort(deadline.reason);
    if (deadline.aborted) cut();
    deadline.addEventListener("abort", cut, { once: true });
    this.#flush();
    await Promise.all(this.#running);
    deadline.removeEventListener("abort", cut);
  }

  #add(part: Part<Batch>): void {
    const items = this.#options.count(part.batch);
    if (this.#items > 0 && this.#items + items > this.#options.maxItems) this.#flush();
    this.#parts.push(part);
    this.#items += items;
    if (this.#stopping || this.#items >= this.#options.maxItems) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), this.#options.maxWaitMs);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#parts.length === 0) return;
    const parts = this.#parts;
    this.#parts = [];
    this.#items = 0;
    const sending: Promise<void> = this.#send(parts).finally(() => this.#running.delete(sending));
    this.#running.add(sending);
  }

  async #send(parts: readonly Part<Batch>[]): Promise<void> {
    try {
      await this.#next.consume(
        this.#options.join(parts.map((part) => part.batch)),
        this.#cancel.signal,
      );
      for (const part of parts) part.resolve();
    } catch (error) {
      for (const part of parts) part.reject(error);
    }
  }
}
