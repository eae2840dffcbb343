import { follow, type JournalEntry, listEpochs, readEpoch } from "@countersign/journal";
import { type DecisionEvent, kindOf } from "@countersign/model";
import { summaryOf } from "../decision-line.ts";
import type { DecisionSource, TailedDecision } from "./source.ts";

/**
 * Decisions that this machine's journal holds. What a processor acknowledged is released from the journal and can no longer be
 * seen here.
 *
 * @param directory The journal's.
 */
export function journalSource(directory: string): DecisionSource {
  return new JournalSource(directory);
}

class JournalSource implements DecisionSource {
  readonly #directory: string;
  /** Hashes of what `past` has read, so that `follow` can begin without a gap. At most what the journal held then. */
  readonly #seen = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async past(limit: number): Promise<readonly TailedDecision[]> {
    const found: TailedDecision[] = [];
    for (const { path } of await listEpochs(this.#directory)) {
      for await (const entry of readEpoch(path)) {
        this.#seen.add(entry.event.hash);
        found.push(...decisionIn(entry));
      }
    }
    const byTime = found.toSorted((left, right) =>
      left.summary.time.localeCompare(right.summary.time),
    );
    return byTime.slice(Math.max(0, byTime.length - limit));
  }

  async follow(
    take: (decisions: readonly TailedDecision[]) => void,
    signal: AbortSignal,
  ): Promise<void> {
    for await (const entry of follow(this.#directory, { signal, fromStart: true })) {
      if (!this.#seen.has(entry.event.hash)) take(decisionIn(entry));
    }
  }
}

function decisionIn({ event: { event } }: JournalEntry): TailedDecision[] {
  return kindOf(event.type) === "decision"
    ? [{ summary: summaryOf(event as DecisionEvent), json: event }]
    : [];
}
