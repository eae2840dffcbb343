type Stop = (reason: string) => Promise<void>;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** One list per process, also between copies of this package and with the server's: whoever dies last must wait for all. */
const STOPS: unique symbol = Symbol.for("@countersign process end") as never;
const shared = globalThis as { [STOPS]?: Set<Stop> };

/**
 * Calls `stop` once when this process is about to end, without changing how it ends: with an empty event loop it waits for
 * `stop`; at a signal that nobody else handles it waits, then dies of that signal as it would have; if the application
 * handles the signal, `stop` runs beside it. `process.exit()` leaves no time.
 */
export function onProcessEnd(stop: Stop): void {
  const known = shared[STOPS];
  if (known !== undefined) {
    known.add(stop);
    return;
  }
  const stops = new Set([stop]);
  shared[STOPS] = stops;
  let ending: Promise<unknown> | undefined;
  const end = (reason: string): Promise<unknown> =>
    (ending ??= Promise.allSettled([...stops].map(async (one) => one(reason))));
  process.once("beforeExit", () => void end("shutdown"));
  for (const signal of SIGNALS) onSignal(signal, end);
}

function onSignal(signal: NodeJS.Signals, end: (reason: string) => Promise<unknown>): void {
  const handle = (): void => {
    process.off(signal, handle);
    const alone = process.listenerCount(signal) === 0;
    void end("signal").then(() => (alone ? process.kill(process.pid, signal) : undefined));
  };
  process.on(signal, handle);
}
