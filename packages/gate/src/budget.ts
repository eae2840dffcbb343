/** How a wait ended that did not end by its own. */
export type BudgetEnd = "cancelled" | "expired";

/**
 * The time one call may spend in the gate, ended early by its caller. One wait at a time.
 * The signal tells the work underneath to stop; the race makes sure that nobody waits for work that does not listen.
 */
export class Budget {
  readonly #controller = new AbortController();
  readonly #parent: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  #end: BudgetEnd | undefined;
  #release: (() => void) | undefined;

  constructor(parent: AbortSignal, budgetMs: number) {
    this.#parent = parent;
    this.#timer = setTimeout(() => this.#stop("expired"), budgetMs);
    if (parent.aborted) this.#stop("cancelled");
    else parent.addEventListener("abort", this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get end(): BudgetEnd | undefined {
    return this.#end;
  }

  /** The work's value, or `undefined` as soon as the budget ends; `end` then says how. Rejects as the work does. */
  race<T>(work: Promise<T>): Promise<T | undefined> {
    if (this.#end !== undefined) {
      work.catch(() => undefined);
      return Promise.resolve(undefined);
    }
    return new Promise((resolve, reject) => {
      this.#release = () => resolve(undefined);
      work.then(resolve, reject);
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#parent.removeEventListener("abort", this.#onAbort);
    this.#release = undefined;
  }

  readonly #onAbort = (): void => this.#stop("cancelled");

  #stop(end: BudgetEnd): void {
    this.#end ??= end;
    this.#release?.();
    this.#controller.abort();
  }
}
