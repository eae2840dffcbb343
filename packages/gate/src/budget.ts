import type { Alarms } from "./alarms.ts";

/** How a wait ended that did not end by its own. */
export type BudgetEnd = "cancelled" | "expired";

/**
 * The time one call may spend in the gate, ended early by its caller. One wait at a time.
 * The signal tells the work underneath to stop; the race makes sure that nobody waits for work that does not listen.
 * The clock is set and the caller listened to only when a wait is not over in the turn in which it began: most are.
 */
export class Budget {
  readonly #parent: AbortSignal;
  readonly #alarms: Alarms;
  #controller: AbortController | undefined;
  #end: BudgetEnd | undefined;
  #release: (() => void) | undefined;
  #disarm: (() => void) | undefined;
  #state: "idle" | "arming" | "armed" | "closed" = "idle";

  constructor(parent: AbortSignal, alarms: Alarms) {
    this.#parent = parent;
    this.#alarms = alarms;
  }

  /** Made when somebody asks for it. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.end !== undefined) this.#controller.abort();
    return this.#controller.signal;
  }

  get end(): BudgetEnd | undefined {
    if (this.#end === undefined && this.#parent.aborted && this.#state !== "closed")
      this.#stop("cancelled");
    return this.#end;
  }

  /** The work's value, or `undefined` as soon as the budget ends; `end` then says how. Rejects as the work does. */
  race<T>(work: Promise<T>): Promise<T | undefined> {
    if (this.end !== undefined) {
      work.catch(() => undefined);
      return Promise.resolve(undefined);
    }
    if (this.#state === "idle") {
      this.#state = "arming";
      // Runs when no microtask is left, so after any work that waited for nothing.
      process.nextTick(this.#arm);
    }
    return new Promise((resolve, reject) => {
      this.#release = () => resolve(undefined);
      work.then(resolve, reject);
    });
  }

  close(): void {
    this.#state = "closed";
    this.#release = undefined;
    if (this.#disarm === undefined) return;
    this.#disarm();
    this.#parent.removeEventListener("abort", this.#onAbort);
  }

  readonly #arm = (): void => {
    if (this.#state !== "arming") return;
    this.#state = "armed";
    this.#disarm = this.#alarms.set({ wake: () => this.#stop("expired") });
    this.#parent.addEventListener("abort", this.#onAbort, { once: true });
    if (this.#parent.aborted) this.#stop("cancelled");
  };

  readonly #onAbort = (): void => this.#stop("cancelled");

  #stop(end: BudgetEnd): void {
    this.#end ??= end;
    this.#release?.();
    this.#controller?.abort();
  }
}
