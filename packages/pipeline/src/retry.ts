import { type CountersignError, errorCode, type Logger } from "@countersign/model";
import type { Component } from "./component.ts";
import type { Consumer } from "./consumer.ts";
import { saidOf } from "./said-of.ts";
import { pause, throwIfAborted } from "./wait.ts";

/** How long and how often. */
export interface RetryOptions<Batch> {
  /** Component id, for messages. */
  readonly id: string;
  readonly initialMs?: number;
  readonly maxMs?: number;
  /** Gives up after this long. Absent: never, as decisions must be retried. */
  readonly maxElapsedMs?: number;
  /** The part of a batch that failed. Without it the whole batch is sent again. */
  readonly pick?: (batch: Batch, indexes: readonly number[]) => Batch;
  readonly log?: Logger;
  /** 0 to 1; tests make it constant. */
  readonly random?: () => number;
}

/** What an exporter may say of how long to wait before it is tried again. */
export interface Retried {
  readonly retry?: { readonly initialMs: number; readonly maxMs: number };
}

const INITIAL_MS = 200;
const MAX_MS = 30_000;
/** Longest `retryAfterMs` that is obeyed: whoever asks for more is asked again after this. */
const MAX_RETRY_AFTER_MS = 300_000;

/**
 * Sends again what failed for now (OVERLOADED, UNAVAILABLE, and errors that are none of ours), with exponential backoff and
 * jitter, and not before `retryAfterMs` (at most 5 minutes). Anything else passes. Once stopped it tries each batch only once more, so that
 * what stands before it drains without waiting.
 */
export function createRetry<Batch>(
  next: Consumer<Batch>,
  options: RetryOptions<Batch>,
): Component & Consumer<Batch> {
  return new Retry(next, options);
}

/** Whether trying again can help. */
export function isTransient(error: unknown): boolean {
  const code = errorCode(error);
  return code === "OVERLOADED" || code === "UNAVAILABLE" || code === undefined;
}

class Retry<Batch> implements Component, Consumer<Batch> {
  readonly #next: Consumer<Batch>;
  readonly #options: RetryOptions<Batch>;
  readonly #stopped = new AbortController();

  constructor(next: Consumer<Batch>, options: RetryOptions<Batch>) {
    this.#next = next;
    this.#options = options;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    this.#stopped.abort();
    return Promise.resolve();
  }

  async consume(batch: Batch, signal: AbortSignal): Promise<void> {
    const startedMs = performance.now();
    let rest = batch;
    for (let attempt = 1; ; attempt += 1) {
      throwIfAborted(signal, this.#options.id);
      try {
        return await this.#next.consume(rest, signal);
      } catch (error) {
        const waitMs = this.#waitMs(error, attempt);
        if (!isTransient(error) || this.#givesUp(startedMs, waitMs)) throw error;
        this.#report(error, attempt, waitMs);
        rest = this.#rest(rest, error);
        await this.#pause(waitMs, signal, error);
      }
    }
  }

  #waitMs(error: unknown, attempt: number): number {
    const { initialMs = INITIAL_MS, maxMs = MAX_MS, random = Math.random } = this.#options;
    const ceiling = Math.min(maxMs, initialMs * 2 ** Math.min(attempt - 1, 30));
    const asked = (error as Partial<CountersignError>)?.retryAfterMs ?? 0;
    const least = Math.min(asked, MAX_RETRY_AFTER_MS);
    return Math.max(least, Math.ceil(ceiling * (0.5 + random() / 2)));
  }

  #givesUp(startedMs: number, waitMs: number): boolean {
    const { maxElapsedMs } = this.#options;
    return maxElapsedMs !== undefined && performance.now() - startedMs + waitMs > maxElapsedMs;
  }

  #rest(batch: Batch, error: unknown): Batch {
    const failed = (error as Partial<CountersignError>)?.failed;
    const { pick } = this.#options;
    return failed === undefined || pick === undefined ? batch : pick(batch, failed);
  }

  /** A stop during the wait ends it: the failure stands. */
  async #pause(waitMs: number, signal: AbortSignal, error: unknown): Promise<void> {
    const either = AbortSignal.any([signal, this.#stopped.signal]);
    try {
      await pause(waitMs, either, this.#options.id);
    } catch (cancelled) {
      throw signal.aborted ? cancelled : error;
    }
  }

  #report(error: unknown, attempt: number, waitMs: number): void {
    // The first failure, then ever more rarely: an outage of hours must not fill a log.
    if ((attempt & (attempt - 1)) !== 0) return;
    this.#options.log?.warn("could not deliver, will try again", {
      attempt,
      waitMs,
      code: errorCode(error) ?? "unknown",
      reason: saidOf(error),
    });
  }
}
