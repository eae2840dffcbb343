/** Why the process ends, as the `stop` event names it. */
type EndReason = "stdin_closed" | "signal" | "shutdown";

type Stop = (reason: EndReason) => Promise<void>;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** One list per process, also between copies of this package and with the client's: whoever dies last must wait for all. */
const STOPS: unique symbol = Symbol.for("@countersign process end") as never;
const shared = globalThis as { [STOPS]?: Set<Stop> };

/**
 * Calls `stop` once when this process is about to end, without changing how it ends: with an empty event loop it waits for
 * `stop`; at a signal that nobody else handles it waits, then dies of that signal as it would have; if the application
 * handles the signal, `stop` runs beside it. `process.exit()` and SIGKILL leave no time: what they cut off is the absence
 * of a `stop` event, and is seen as such.
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
  const end = (reason: EndReason): Promise<unknown> =>
    (ending ??= Promise.allSettled([...stops].map((one) => one(reason))));
  process.once("beforeExit", () => void end(stdinClosed() ? "stdin_closed" : "shutdown"));
  for (const signal of SIGNALS) onSignal(signal, end);
}

function onSignal(signal: NodeJS.Signals, end: (reason: EndReason) => Promise<unknown>): void {
  const handle = (): void => {
    process.off(signal, handle);
    const alone = process.listenerCount(signal) === 0;
    void end("signal").then(() => (alone ? process.kill(process.pid, signal) : undefined));
  };
  process.on(signal, handle);
}

let opened: NodeJS.ReadStream | undefined;

/** Told by whoever sees the application open its standard input: to look would be to open it. */
export function noteStdin(stdin: NodeJS.ReadStream): void {
  opened = stdin;
}

function stdinClosed(): boolean {
  return opened?.readableEnded === true;
}
