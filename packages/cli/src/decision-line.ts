import { type DecisionEvent, decodeObjectId, deciding, type Human } from "@countersign/model";
import { shown } from "./terminal.ts";

/** A decision as the console's API lists it, or as taken from an event. Every string in it may be an attacker's choice. */
export interface DecisionSummary {
  readonly id: string;
  readonly time: string;
  readonly decision: string;
  readonly reason: string;
  readonly mode: string;
  readonly effect: string;
  readonly method: string;
  readonly name?: string;
  readonly nameWithheld?: true;
  readonly human?: {
    readonly subject: string;
    readonly assurance: string;
    readonly issuer: string;
    /** Thumbprint of the login's key. */
    readonly key?: string;
  };
  readonly check?: { readonly permission: string; readonly type: string; readonly id: string };
  readonly checks: number;
  readonly list?: { readonly offered: number; readonly shown: number };
}

const VERDICTS: Readonly<Record<string, string>> = {
  allow: "granted",
  deny: "denied",
  error: "error",
};
const WIDTHS = { human: 20, call: 36, resource: 42, verdict: 8, reason: 16 } as const;

const SHOWN_KEY_CHARACTERS = 8;

/** One line: time, human and how sure we are, call, resource, granted or not, why, by whose word. Safe on a terminal. */
export function decisionLine(decision: DecisionSummary): string {
  return [
    decision.time.slice(11, 19),
    cell(humanOf(decision), WIDTHS.human),
    cell(callOf(decision), WIDTHS.call),
    cell(resourceOf(decision), WIDTHS.resource),
    cell(verdictOf(decision), WIDTHS.verdict),
    cell(decision.reason, WIDTHS.reason),
    issuerOf(decision),
  ]
    .map(shown)
    .join("  ")
    .trimEnd();
}

/** The summary of an event. */
export function summaryOf(event: DecisionEvent): DecisionSummary {
  const { data } = event;
  const check = deciding(data.checks);
  return {
    id: event.id,
    time: event.time,
    decision: data.decision,
    reason: data.reason,
    mode: data.mode,
    effect: data.effect,
    method: data.call.method,
    ...(data.call.name === undefined ? {} : { name: data.call.name }),
    ...(data.call.nameWithheld === undefined ? {} : { nameWithheld: true }),
    ...(data.human === undefined ? {} : { human: humanSummary(data.human) }),
    ...(check === undefined
      ? {}
      : {
          check: {
            permission: check.permission,
            type: check.resource.type,
            id: check.resource.id,
          },
        }),
    checks: data.checks?.length ?? 0,
    ...(data.list === undefined ? {} : { list: data.list }),
  };
}

function humanSummary(human: Human): NonNullable<DecisionSummary["human"]> {
  const { subject, assurance, issuer, binding } = human;
  const key = binding?.jkt;
  return { subject, assurance, issuer, ...(key === undefined ? {} : { key }) };
}

function humanOf({ human }: DecisionSummary): string {
  return human === undefined ? "nobody" : `${human.subject} (${human.assurance})`;
}

/** Who vouches for the human, and the login's key: enough of it to tell two logins apart. */
function issuerOf({ human }: DecisionSummary): string {
  if (human === undefined) return "";
  const key = human.key?.slice(0, SHOWN_KEY_CHARACTERS);
  return `by ${human.issuer}${key === undefined ? "" : `, key ${key}`}`;
}

function callOf({ method, name, nameWithheld }: DecisionSummary): string {
  if (nameWithheld) return `${method} (name withheld)`;
  return name === undefined ? method : `${method} ${name}`;
}

function resourceOf({ check, checks, list }: DecisionSummary): string {
  if (list !== undefined) return `${list.shown} of ${list.offered} shown`;
  if (check === undefined) return "-";
  const more = checks > 1 ? ` +${checks - 1}` : "";
  return `${check.permission} ${check.type}:${readable(check.id)}${more}`;
}

/** In observe mode a call runs whatever the verdict: say both. */
function verdictOf({ decision, effect, mode }: DecisionSummary): string {
  const verdict = VERDICTS[decision] ?? decision;
  return mode !== "enforce" && effect === "run" && decision !== "allow"
    ? `${verdict}, ran`
    : verdict;
}

/** Ids are escaped on the wire; people read the value. An id that no encoder of ours made is shown as it is. */
function readable(id: string): string {
  try {
    return decodeObjectId(id);
  } catch {
    return id;
  }
}

function cell(text: string, width: number): string {
  return text.padEnd(width);
}
