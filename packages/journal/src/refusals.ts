// What a caller is told when nothing is written. The texts say what to do and carry nothing of the event.
import { CountersignError } from "@countersign/model";
import { systemCode } from "./fs.ts";

/** Nothing can be written now. */
export function unavailable(message: string, retryAfterMs?: number): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    message,
    retryAfterMs === undefined ? {} : { retryAfterMs },
  );
}

/** Too many wait. */
export function overloaded(): CountersignError {
  return new CountersignError(
    "OVERLOADED",
    "journal: too many events wait for the disk. Is it slow, or are there more calls than it can take?",
    { retryAfterMs: 100 },
  );
}

/** The emitter's space is used up. */
export function outOfBudget(): CountersignError {
  return unavailable(
    "journal: the state directory holds as much as it may. Is the processor reachable? Raise the limit, or ship.",
    1_000,
  );
}

/** No epoch could be opened. Configuration errors, and faults that say it already, stay what they are. */
export function openingFault(error: unknown): CountersignError {
  if (error instanceof CountersignError) return error;
  return new CountersignError(
    "UNAVAILABLE",
    `journal: no epoch can be opened in the state directory: ${systemCode(error) ?? "an internal error"}. ` +
      "Check that it is writable and has space.",
    { cause: error },
  );
}
