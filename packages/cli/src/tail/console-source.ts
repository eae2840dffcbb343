import { type ArchivedDecision, openConsoleClient } from "../console-client.ts";
import type { DecisionSource, TailedDecision } from "./source.ts";

/** Decisions that a processor archived, read from its console. */
export function consoleSource(address: string): DecisionSource {
  const client = openConsoleClient(address);
  let next = 0;
  return {
    async past(limit) {
      const { rows, indexed } = await client.latest(Math.max(limit, 1));
      next = indexed;
      return rows.map(tailed);
    },
    async follow(take, signal) {
      await client.follow(
        next,
        (rows) => {
          next = Math.max(next, ...rows.map(({ position }) => position + 1));
          take(rows.map(tailed));
        },
        signal,
      );
    },
  };
}

function tailed(row: ArchivedDecision): TailedDecision {
  return { summary: row, json: row };
}
