import { CountersignError } from "@countersign/model";
import type { IndexStore } from "./index-store.ts";

const MINUTE_MS = 60_000;
/** Most buckets one answer holds. */
export const STATS_MAX_BUCKETS = 500;

/** Decisions that fall into one stretch of time, by event time. */
export interface StatsBucket {
  readonly startMs: number;
  readonly allow: number;
  readonly deny: number;
  readonly error: number;
}

/** Counts over time. Buckets without decisions are there, with zeros. */
export interface Stats {
  readonly bucketMs: number;
  readonly buckets: readonly StatsBucket[];
}

/** Which time, and how finely: whole minutes, at most 500 buckets. */
export interface StatsRequest {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly bucketMs: number;
}

/** Adds up the per-minute counts, which the index keeps, so a long time costs little. */
export function countDecisions(store: IndexStore, request: StatsRequest): Stats {
  const { sinceMs, untilMs, bucketMs } = request;
  const wide = bucketMs >= MINUTE_MS && bucketMs % MINUTE_MS === 0 && untilMs > sinceMs;
  const startMs = Math.floor(sinceMs / bucketMs) * bucketMs;
  const count = Math.ceil((untilMs - startMs) / bucketMs);
  if (!wide || !Number.isSafeInteger(count) || count > STATS_MAX_BUCKETS) {
    throw new CountersignError(
      "INPUT_INVALID",
      `archive: counts want whole minutes per bucket and 1 to ${STATS_MAX_BUCKETS} buckets`,
    );
  }
  const buckets = Array.from({ length: count }, (_, index) => ({
    startMs: startMs + index * bucketMs,
    allow: 0,
    deny: 0,
    error: 0,
  }));
  const rows = store
    .statement("SELECT minute, decision, count FROM minutes WHERE minute >= ? AND minute < ?")
    .all(Math.floor(startMs / MINUTE_MS), Math.ceil(untilMs / MINUTE_MS));
  for (const row of rows) {
    const bucket = buckets[Math.floor((Number(row["minute"]) * MINUTE_MS - startMs) / bucketMs)];
    const decision = row["decision"];
    if (bucket === undefined) continue;
    if (decision === "allow" || decision === "deny" || decision === "error") {
      bucket[decision] += Number(row["count"]);
    }
  }
  return { bucketMs, buckets };
}
