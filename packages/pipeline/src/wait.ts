import { setTimeout as delay } from "node:timers/promises";
import { CountersignError } from "@countersign/model";

/** Waits, unless `signal` aborts: then it rejects CANCELLED. */
export async function pause(ms: number, signal: AbortSignal, who: string): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (cause) {
    throw new CountersignError("CANCELLED", `${who}: stopped while it waited`, { cause });
  }
}

/** Throws CANCELLED when `signal` has aborted. */
export function throwIfAborted(signal: AbortSignal, who: string): void {
  if (signal.aborted) throw new CountersignError("CANCELLED", `${who}: stopped`);
}
