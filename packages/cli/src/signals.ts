/** Holds the process until disposed. `signal` aborts with the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once. */
export interface UntilSignal {
  readonly signal: AbortSignal;
  /** Gives the process's default behaviour back. */
  readonly dispose: () => void;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const INTERRUPTED = 2;
const HOLD_MS = 1_000_000_000;

/** @param onSecond Called before the process ends for the second signal: kill what is left. */
export function untilSignal(onSecond: () => void = () => {}): UntilSignal {
  const controller = new AbortController();
  const take = (): void => {
    if (controller.signal.aborted) {
      onSecond();
      process.exit(INTERRUPTED);
    }
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, take);
  // What waits for a signal must not end before: the timers of a library may not hold the process.
  const hold = setInterval(() => {}, HOLD_MS);
  return {
    signal: controller.signal,
    dispose: () => {
      clearInterval(hold);
      for (const name of SIGNALS) process.off(name, take);
    },
  };
}
