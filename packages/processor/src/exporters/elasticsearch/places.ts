// Whether a batch may have been sent before, as far as its place in the log tells.
import type { Origin } from "@countersign/pipeline";

/**
 * Remembers how far each partition was taken. A batch that does not follow on from there may have been sent before: the first one
 * after a start or after a partition came to us, and whatever is tried again after an unknown outcome.
 */
export interface Places {
  isNext(origin: Origin | undefined): boolean;
  /** What comes from there next is not known to be new. */
  forget(origin: Origin | undefined): void;
  /** All of it was taken. */
  take(origin: Origin | undefined): void;
}

/** Partitions of all logs. Beyond it the oldest is forgotten, and asked for once more. */
const MAX_PARTITIONS = 4096;

export function createPlaces(): Places {
  const next = new Map<string, bigint>();
  return {
    isNext: (origin) => next.get(keyOf(origin)) === (origin?.first ?? 0n),
    forget: (origin) => void next.delete(keyOf(origin)),
    take: (origin) => {
      const oldest = next.size >= MAX_PARTITIONS ? next.keys().next().value : undefined;
      if (oldest !== undefined) next.delete(oldest);
      next.set(keyOf(origin), origin === undefined ? 0n : origin.last + 1n);
    },
  };
}

function keyOf(origin: Origin | undefined): string {
  return origin === undefined ? "" : `${origin.partition} ${origin.log}`;
}
