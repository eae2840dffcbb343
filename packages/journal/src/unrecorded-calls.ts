/** Calls that ran without a record, between two times in ms since 1970. */
export interface UnrecordedCalls {
  readonly count: number;
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** Both together. */
export function joinCalls(a: UnrecordedCalls | undefined, b: UnrecordedCalls): UnrecordedCalls {
  if (a === undefined) return b;
  return {
    count: a.count + b.count,
    sinceMs: Math.min(a.sinceMs, b.sinceMs),
    untilMs: Math.max(a.untilMs, b.untilMs),
  };
}
