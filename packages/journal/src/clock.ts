/** Wall clock. Tests bring their own; durations are taken from it as well, so that they can be set. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
}

/** The clock of this machine. */
export const systemClock: Clock = { now: () => Date.now() };
