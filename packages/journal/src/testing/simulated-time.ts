// Timers and clocks of a simulated machine. Nothing waits: when nothing else is to be done, time goes to the next timer.
import type { Random } from "./random.ts";

interface Entry {
  readonly atMs: number;
  readonly everyMs: number | undefined;
  readonly callback: () => void;
}

/** Globals that are taken over while a simulation runs. */
const TIMERS = ["setTimeout", "setInterval", "clearTimeout", "clearInterval"] as const;

class SimulatedTimer {
  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  hasRef(): boolean {
    return false;
  }
}

/** One machine's time. */
export class SimulatedTime {
  #wallMs = 1_800_000_000_000;
  #monotonicMs = 0;
  readonly #timers = new Map<SimulatedTimer, Entry>();

  /** Runs the next timer, at its time; false if there is none. */
  advance(): boolean {
    let next: SimulatedTimer | undefined;
    for (const [timer, { atMs }] of this.#timers) {
      if (next === undefined || atMs < (this.#timers.get(next) as Entry).atMs) next = timer;
    }
    if (next === undefined) return false;
    const entry = this.#timers.get(next) as Entry;
    this.pass(Math.max(0, entry.atMs - this.#monotonicMs));
    if (entry.everyMs === undefined) this.#timers.delete(next);
    else this.#timers.set(next, { ...entry, atMs: this.#monotonicMs + entry.everyMs });
    entry.callback();
    return true;
  }

  /** Time goes by without a timer being run. */
  pass(ms: number): void {
    this.#monotonicMs += ms;
    this.#wallMs += ms;
  }

  /** Somebody sets the wall clock. */
  set(byMs: number): void {
    this.#wallMs += byMs;
  }

  /** The process is gone. */
  clear(): void {
    this.#timers.clear();
  }

  get nowMs(): number {
    return this.#wallMs;
  }

  /** Takes over the globals, and seeds `Math.random`, which jitters retries; returns how to give them back. */
  install(random: Random): () => void {
    const before = TIMERS.map((name) => [name, globalThis[name]] as const);
    const { now } = Date;
    const { random: mathRandom } = Math;
    const every = (callback: () => void, ms = 0): SimulatedTimer => this.#add(callback, ms, ms);
    const once = (callback: () => void, ms = 0): SimulatedTimer =>
      this.#add(callback, ms, undefined);
    const clear = (timer: SimulatedTimer | undefined): void => {
      if (timer !== undefined) this.#timers.delete(timer);
    };
    Object.assign(globalThis, {
      setTimeout: once,
      setInterval: every,
      clearTimeout: clear,
      clearInterval: clear,
    });
    Date.now = () => this.#wallMs;
    Math.random = () => random.next();
    const monotonic = (): number => this.#monotonicMs;
    Object.defineProperty(performance, "now", { value: monotonic, configurable: true });
    return () => {
      Object.assign(globalThis, Object.fromEntries(before));
      Date.now = now;
      Math.random = mathRandom;
      Reflect.deleteProperty(performance, "now");
    };
  }

  #add(callback: () => void, ms: number, everyMs: number | undefined): SimulatedTimer {
    const timer = new SimulatedTimer();
    this.#timers.set(timer, { atMs: this.#monotonicMs + Math.max(1, ms), everyMs, callback });
    return timer;
  }
}
