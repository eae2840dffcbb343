/** Ids of a log, and which of them a sink holds. */
export interface IdBook {
  add(id: string, timeMs: number): void;
  /** Says that the sink holds it. False when the log does not. */
  see(id: string): boolean;
  /** Ids that were seen more than once. */
  readonly duplicated: number;
  /** Of the times of what was added; the end is excluded. Undefined while there is nothing. */
  readonly range: { readonly fromMs: number; readonly untilMs: number } | undefined;
  /** There were too many: nothing can be said of what the log does not hold. */
  readonly full: boolean;
}

/** Ids of a run that are held in memory: about 150 MB. */
const MAX_IDS = 1_000_000;

/** An empty book. */
export function createIdBook(maxIds: number = MAX_IDS): IdBook {
  const seen = new Map<string, boolean>();
  const twice = new Set<string>();
  let fromMs = Number.POSITIVE_INFINITY;
  let lastMs = Number.NEGATIVE_INFINITY;
  let full = false;
  return {
    add: (id, timeMs) => {
      if (seen.size >= maxIds) full = true;
      else if (!seen.has(id)) seen.set(id, false);
      fromMs = Math.min(fromMs, timeMs);
      lastMs = Math.max(lastMs, timeMs);
    },
    see: (id) => {
      const before = seen.get(id);
      if (before === undefined) return false;
      if (before) twice.add(id);
      else seen.set(id, true);
      return true;
    },
    get duplicated() {
      return twice.size;
    },
    get range() {
      return lastMs < fromMs ? undefined : { fromMs, untilMs: lastMs + 1 };
    },
    get full() {
      return full;
    },
  };
}
