/** Somebody to wake once. */
export interface Sleeper {
  wake(): void;
}

interface Entry {
  /** Taken out with the entry: tables that a set has outgrown would hold it, and a whole call, until the next full collection. */
  sleeper: Sleeper | undefined;
  readonly dueMs: number;
}

/**
 * Wakes each sleeper after the same time, with one timer for all: most calls are over before any timer would matter, and a
 * timer for each costs more than the wait. As long as somebody sleeps, the process stays alive.
 */
export class Alarms {
  readonly #afterMs: number;
  /** In the order in which they are due, since all sleep equally long. */
  readonly #entries = new Set<Entry>();
  #timer: NodeJS.Timeout | undefined;

  constructor(afterMs: number) {
    this.#afterMs = afterMs;
  }

  /** Gives the function that lets the sleeper off. */
  set(sleeper: Sleeper): () => void {
    const entry: Entry = { sleeper, dueMs: performance.now() + this.#afterMs };
    this.#entries.add(entry);
    if (this.#timer === undefined) this.#wait(this.#afterMs);
    else if (this.#entries.size === 1) this.#timer.ref();
    return () => {
      this.#entries.delete(entry);
      entry.sleeper = undefined;
      if (this.#entries.size === 0) this.#timer?.unref();
    };
  }

  #wait(ms: number): void {
    this.#timer = setTimeout(() => this.#ring(), ms);
  }

  #ring(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const entry of this.#entries) {
      // The timer was set for one that has been let off since, or fired a little early.
      if (entry.dueMs > now) {
        this.#wait(Math.max(1, Math.ceil(entry.dueMs - now)));
        return;
      }
      this.#entries.delete(entry);
      entry.sleeper?.wake();
    }
  }
}
