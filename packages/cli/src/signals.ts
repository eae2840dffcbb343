/** Holds the process until disposed. `signal` aborts with the first of its signals; a second one ends the process at once. */
export interface UntilSignal {
  readonly signal: AbortSignal;
  /** Gives the process's default behaviour back. */
  readonly dispose: () => void;
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
/** For a service: a terminal that closes, or a reload by signal, does not end it. */
const SERVICE_SIGNALS = ["SIGINT", "SIGTERM"] as const;
const INTERRUPTED = 2;
const HOLD_MS = 1_000_000_000;

/** Ended by SIGINT, SIGTERM and SIGHUP. @param onSecond Called before the process ends for the second signal: kill what is left. */
export function untilSignal(onSecond: () => void = () => {}): UntilSignal {
  return hold(SIGNALS, onSecond);
}

/** Ended by SIGINT and SIGTERM. @param onHangup What SIGHUP does instead. */
export function untilServiceSignal(onHangup: () => void): UntilSignal {
  const held = hold(SERVICE_SIGNALS, () => {});
  process.on("SIGHUP", onHangup);
  return {
    signal: held.signal,
    dispose: () => {
      held.dispose();
      process.off("SIGHUP", onHangup);
    },
  };
}

function hold(signals: readonly NodeJS.Signals[], onSecond: () => void): UntilSignal {
  const controller = new AbortController();
  const take = (): void => {
    if (controller.signal.aborted) {
      onSecond();
      process.exit(INTERRUPTED);
    }
    controller.abort();
  };
  for (const name of signals) process.on(name, take);
  // What waits for a signal must not end before: the timers of a library may not hold the process.
  const timer = setInterval(() => {}, HOLD_MS);
  return {
    signal: controller.signal,
    dispose: () => {
      clearInterval(timer);
      for (const name of signals) process.off(name, take);
    },
  };
}
