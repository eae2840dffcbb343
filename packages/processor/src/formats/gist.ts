// What every SIEM wants to know of an event first, said once, so that no two formats rank or name the same event differently.
import {
  type CountersignEvent,
  CountersignError,
  type DecisionEvent,
  type EventKind,
  type FindingEvent,
  type HeartbeatEvent,
  kindOf,
  type LostEvent,
  type OutcomeEvent,
  type StartEvent,
  type StopEvent,
  type WithheldEvent,
} from "@countersign/model";

/** 1 informational, 2 low, 3 medium, 4 high, 5 critical. */
export type Severity = 1 | 2 | 3 | 4 | 5;

/** How it went, for whoever did it: a blocked call is a failure, one that ran in `observe` is not. */
export type Result = "success" | "failure" | "unknown";

/** The first look at an event. */
export interface Gist {
  readonly kind: EventKind;
  /** `decision.forbidden`, `finding.gap`: constants of ours, `[a-z0-9_.]`. */
  readonly code: string;
  /** A few constant words: nothing in it was chosen by a caller. */
  readonly title: string;
  readonly severity: Severity;
  readonly result: Result;
  /** What the emitter or the processor did: `allowed`, `blocked`, `observed`, `started`, … */
  readonly action: string;
  /** One sentence for people; begins with a word of ours and may name the call. */
  readonly message: string;
}

/**
 * @throws INPUT_INVALID for a kind or a major that this version does not know: it must become a dead letter, which can be
 * redriven after an upgrade, and not be skipped.
 */
export function gistOf(event: CountersignEvent): Gist {
  const kind = kindOf(event.type);
  if (kind !== undefined) return (GISTS[kind] as (event: CountersignEvent) => Gist)(event);
  throw new CountersignError(
    "INPUT_INVALID",
    "formats: this kind or major of event is not known here: upgrade, then redrive the dead letter",
  );
}

interface Events {
  readonly start: StartEvent;
  readonly decision: DecisionEvent;
  readonly outcome: OutcomeEvent;
  readonly heartbeat: HeartbeatEvent;
  readonly lost: LostEvent;
  readonly stop: StopEvent;
  readonly withheld: WithheldEvent;
  readonly finding: FindingEvent;
}

/** The event of a kind. */
export type EventOf<Kind extends EventKind> = Events[Kind];

const GISTS: { readonly [Kind in EventKind]: (event: EventOf<Kind>) => Gist } = {
  decision: ofDecision,
  outcome: ofOutcome,
  start: ofStart,
  heartbeat: () => OF_HEARTBEAT,
  lost: ofLost,
  stop: ofStop,
  withheld: ofWithheld,
  finding: ofFinding,
};

function ofDecision({ data, subject }: DecisionEvent): Gist {
  const { decision, effect, reason, mode } = data;
  const allowed = decision === "allow";
  const ran = effect === "run";
  const what = `${subject ?? data.call.method}: ${reason}`;
  return {
    kind: "decision",
    code: `decision.${reason}`,
    title: ran ? (allowed ? ALLOWED : RAN) : decision === "error" ? UNDECIDED : DENIED,
    severity: ran && !allowed ? (mode === "break_glass" ? 4 : 3) : SEVERITY_OF_DECISION[decision],
    result: ran ? "success" : "failure",
    action: ran ? (allowed ? "allowed" : "observed") : "blocked",
    message: ran && !allowed ? `${decision} (ran in ${mode}) ${what}` : `${decision} ${what}`,
  };
}

const ALLOWED = "MCP call allowed";
const DENIED = "MCP call denied";
const UNDECIDED = "MCP call stopped because it could not be decided";
const RAN = "MCP call ran although it was not allowed";
const SEVERITY_OF_DECISION = { allow: 1, deny: 2, error: 3 } as const;

const RESULT_OF_STATUS: Readonly<Record<OutcomeEvent["data"]["status"], Result>> = {
  completed: "success",
  tool_error: "failure",
  rpc_error: "failure",
  cancelled: "failure",
  not_run: "failure",
  input_required: "unknown",
  task_created: "unknown",
  unknown: "unknown",
};

function ofOutcome({ data, subject }: OutcomeEvent): Gist {
  const { status } = data;
  const result = RESULT_OF_STATUS[status];
  return {
    kind: "outcome",
    code: `outcome.${status}`,
    title: result === "failure" ? "MCP call failed" : "MCP call ended",
    severity: result === "failure" || status === "unknown" ? 2 : 1,
    result,
    action: "ended",
    message: `outcome of ${subject ?? data.call.method}: ${status}`,
  };
}

const SEVERITY_OF_MODE = { enforce: 1, observe: 3, break_glass: 4 } as const;
const SEVERITY_OF_END = { stop: 1, no_stop: 2, journal_fault: 3, corrupt: 4 } as const;

function ofStart({ data: { mode, previous } }: StartEvent): Gist {
  const end = previous?.end ?? "stop";
  return {
    kind: "start",
    code: mode === "enforce" ? "start" : `start.${mode}`,
    title: mode === "enforce" ? "Gate started" : "Gate started without enforcement",
    severity: Math.max(SEVERITY_OF_MODE[mode], SEVERITY_OF_END[end]) as Severity,
    result: "success",
    action: "started",
    message: `gate started, mode ${mode}${end === "stop" ? "" : `, the epoch before ended: ${end}`}`,
  };
}

const OF_HEARTBEAT: Gist = {
  kind: "heartbeat",
  code: "heartbeat",
  title: "Gate is alive",
  severity: 1,
  result: "success",
  action: "counted",
  message: "gate is alive",
};

function ofLost({ data: { what, count, reason } }: LostEvent): Gist {
  return {
    kind: "lost",
    code: `lost.${what}`,
    title: what === "records" ? "Records are unreadable" : "Calls ran without a record",
    severity: 4,
    result: "failure",
    action: "lost",
    message: `${count} ${what} lost: ${reason}`,
  };
}

function ofStop({ data: { reason } }: StopEvent): Gist {
  const severity = reason === "fatal" ? 3 : reason === "journal_fault" ? 4 : 1;
  return {
    kind: "stop",
    code: `stop.${reason}`,
    title: "Gate stopped",
    severity,
    result: severity === 1 ? "success" : "failure",
    action: "stopped",
    message: `gate stopped: ${reason}`,
  };
}

function ofWithheld({ data: { detector, member } }: WithheldEvent): Gist {
  return {
    kind: "withheld",
    code: "withheld",
    title: "Event withheld into quarantine",
    severity: 4,
    result: "failure",
    action: "quarantined",
    message: `an event was withheld: ${detector} in ${member}`,
  };
}

const SEVERITY_OF_FINDING: Readonly<Record<FindingEvent["data"]["finding"], Severity>> = {
  DUPLICATE: 1,
  NO_STOP: 2,
  NO_OUTCOME: 2,
  CLOCK_SKEW: 3,
  SILENT: 3,
  POLICY_UNKNOWN: 4,
  GAP: 4,
  FORK: 5,
};

function ofFinding({ data: { finding, of } }: FindingEvent): Gist {
  return {
    kind: "finding",
    code: `finding.${finding.toLowerCase()}`,
    title: "Finding about the record",
    // A finding of a later version: somebody should look.
    severity: SEVERITY_OF_FINDING[finding] ?? 3,
    result: finding === "DUPLICATE" ? "success" : "failure",
    action: "found",
    message: `finding ${finding}${of.emitter === undefined ? "" : ` of ${of.emitter}`}`,
  };
}
