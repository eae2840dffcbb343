// Counters across epochs. They count "since the epoch began"; when one ends by a fault, what its events did not say yet
// goes on into the next, and calls stopped meanwhile are named by its `start`.
import { type Counters, zeroCounters } from "@countersign/model";

/** Keeps what the events of the current epoch have said. */
export interface CounterBook {
  /** Counted in place by the gate. */
  readonly counters: Counters;
  /** Calls stopped for want of a record that no event has named. */
  auditDeniedUnsaid(): number;
  /** A heartbeat or stop with these values is durable. */
  said(values: Readonly<Counters>): void;
  /** A `start` that names `auditDenied` is durable: a new epoch counts from here. */
  restarted(auditDenied: number): void;
}

const NAMES = Object.keys(zeroCounters()) as (keyof Counters)[];

/** Counters at zero. */
export function createCounterBook(): CounterBook {
  const counters = zeroCounters();
  let reported: Readonly<Counters> = zeroCounters();
  return {
    counters,
    auditDeniedUnsaid: () => Math.max(0, counters.auditDenied - reported.auditDenied),
    said: (values) => {
      reported = { ...values };
    },
    restarted: (auditDenied) => {
      for (const name of NAMES) counters[name] = Math.max(0, counters[name] - reported[name]);
      counters.auditDenied = Math.max(0, counters.auditDenied - auditDenied);
      reported = zeroCounters();
    },
  };
}
