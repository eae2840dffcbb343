import type { DecisionSummary } from "../decision-line.ts";

/** A decision to print: as a line, or as it came. */
export interface TailedDecision {
  readonly summary: DecisionSummary;
  readonly json: unknown;
}

/** Somewhere decisions can be followed. */
export interface DecisionSource {
  /** The newest ones, oldest first. `follow` goes on right after them. */
  past(limit: number): Promise<readonly TailedDecision[]>;
  /** Gives new ones until aborted. Rejects when the source fails; may be called again. */
  follow(take: (decisions: readonly TailedDecision[]) => void, signal: AbortSignal): Promise<void>;
}
