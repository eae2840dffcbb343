/** Time in milliseconds. */
export interface GateClock {
  /** Wall clock, for ids and the end of `observe`. */
  now(): number;
  /** Monotonic, for durations and the 5 s rule. */
  monotonic(): number;
}

/** The clocks of this machine. */
export const SYSTEM_CLOCK: GateClock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
