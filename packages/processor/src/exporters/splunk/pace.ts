import { pause } from "@countersign/pipeline";

const FIRST_MS = 250;
const MAX_MS = 10_000;

/** Slows down when the destination says that it is close to its capacity. */
export interface Pace {
  /** Resolves when the next request may go; rejects CANCELLED when `signal` aborts. */
  turn(signal: AbortSignal): Promise<void>;
  /** A request was taken: the wait ends, or doubles from 250 ms to 10 s. */
  taken(isSlow: boolean): void;
}

/** @param id component id, for messages */
export function createPace(id: string): Pace {
  let waitMs = 0;
  return {
    turn: async (signal) => {
      if (waitMs > 0) await pause(waitMs, signal, id);
    },
    taken: (isSlow) => {
      waitMs = isSlow ? Math.min(MAX_MS, Math.max(FIRST_MS, waitMs * 2)) : 0;
    },
  };
}
