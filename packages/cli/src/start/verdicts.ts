import type { ArchivedDecision } from "../console-client.ts";

/** One call of the scenario, as the agent reports it. */
export interface AttemptedStep {
  readonly human: string;
  readonly server: string;
  readonly tool: string;
  readonly expect: {
    readonly decision: string;
    readonly reason: string;
    readonly assurance: string;
  };
  readonly because: string;
  /** What the agent saw: the call's result, our denial, or something else. */
  readonly seen: "allow" | "deny" | "failed";
}

/** What came of a scenario. `deny` counts every denial; `unmapped` those of them that no policy entry covers. */
export interface Verdicts {
  readonly allow: number;
  readonly deny: number;
  readonly unmapped: number;
  readonly errors: number;
  /** Calls whose verdict, in the record or to the agent, was not the expected one; a line each. */
  readonly wrong: readonly string[];
}

/**
 * Compares what the agent attempted with what the archive holds. One human's calls to one server are sequential and come
 * from one process, so the n-th attempt is the n-th decision.
 */
export function judge(
  attempts: readonly AttemptedStep[],
  decisions: readonly ArchivedDecision[],
): Verdicts {
  const wrong: string[] = [];
  const queues = new Map<string, ArchivedDecision[]>();
  for (const decision of callsOnly(decisions)) {
    const key = keyOf(decision.human?.subject ?? "", decision.server);
    queues.set(key, [...(queues.get(key) ?? []), decision]);
  }
  for (const attempt of attempts) {
    const decision = queues.get(keyOf(attempt.human, `urn:mcp:${attempt.server}`))?.shift();
    const problem = problemOf(attempt, decision);
    if (problem !== undefined) wrong.push(`${attempt.human}, ${attempt.tool}: ${problem}`);
  }
  for (const [key, left] of queues) {
    if (left.length > 0) wrong.push(`${key}: ${left.length} decisions that no call explains`);
  }
  const count = (test: (decision: ArchivedDecision) => boolean): number =>
    callsOnly(decisions).filter(test).length;
  return {
    allow: count(({ decision }) => decision === "allow"),
    deny: count(({ decision }) => decision === "deny"),
    unmapped: count(({ reason }) => reason === "unmapped"),
    errors: count(({ decision }) => decision === "error"),
    wrong,
  };
}

/** Decisions about tool calls; the filtered lists are decisions too, but nobody attempted anything with them. */
export function callsOnly(decisions: readonly ArchivedDecision[]): readonly ArchivedDecision[] {
  return decisions.filter(({ method }) => method === "tools/call");
}

function problemOf(
  attempt: AttemptedStep,
  decision: ArchivedDecision | undefined,
): string | undefined {
  const { expect, seen, tool } = attempt;
  if (decision === undefined) return "no decision in the archive";
  if (decision.name !== undefined && decision.name !== tool)
    return "the archive has another call there";
  if (decision.decision !== expect.decision || decision.reason !== expect.reason) {
    return `${decision.decision} (${decision.reason}) instead of ${expect.decision} (${expect.reason})`;
  }
  if (decision.human?.assurance !== expect.assurance)
    return `${decision.human?.assurance ?? "nobody"} instead of ${expect.assurance}`;
  if (seen !== expect.decision)
    return `recorded as ${decision.decision}, but the agent saw ${seen}`;
  return undefined;
}

function keyOf(human: string, server: string): string {
  return `${human} at ${server}`;
}
