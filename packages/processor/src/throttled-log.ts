import type { LogFields, Logger } from "@countersign/model";

/** Warns about what strangers can cause as often as they like: at most once in an interval, with how often it happened. */
export interface ThrottledLog {
  warn(message: string, fields: LogFields): void;
}

const INTERVAL_MS = 10_000;

/** A log for one kind of event. */
export function createThrottledLog(log: Logger, now: () => number = Date.now): ThrottledLog {
  let last = Number.NEGATIVE_INFINITY;
  let silent = 0;
  return {
    warn: (message, fields) => {
      if (now() - last < INTERVAL_MS) {
        silent += 1;
        return;
      }
      log.warn(message, silent === 0 ? fields : { ...fields, more: silent });
      last = now();
      silent = 0;
    },
  };
}
