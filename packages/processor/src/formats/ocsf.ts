import {
  CountersignError,
  type CountersignEvent,
  type EventKind,
  type SealedEvent,
} from "@countersign/model";
import type { Format } from "./format.ts";
import { type EventOf, type Gist, gistOf } from "./gist.ts";
import { decisionActivity } from "./ocsf-decision.ts";
import {
  heartbeatActivity,
  lostActivity,
  outcomeActivity,
  startActivity,
  stopActivity,
} from "./ocsf-emitter.ts";
import { findingActivity, withheldActivity } from "./ocsf-processor.ts";
import { validateActivity } from "./ocsf-1.8.0.generated.ts";
import { jsonLine } from "./text.ts";

/** A mapped event: OCSF 1.8.0, class API Activity (6003). */
export type OcsfActivity = Readonly<Record<string, unknown>>;

/** OCSF 1.8.0, every kind of event. */
export const ocsfFormat: Format = {
  version: "ocsf@1.8.0+2",
  shape: "json",
  line: (event) => {
    const activity = toOcsf(event);
    const problem = ocsfProblem(activity);
    if (problem === undefined) return jsonLine("ocsf", activity);
    throw new CountersignError("INPUT_INVALID", `ocsf: the mapped event is not valid: ${problem}`);
  },
};

type Map<Event> = (sealed: SealedEvent, event: Event, gist: Gist) => OcsfActivity;

const ACTIVITIES: { readonly [Kind in EventKind]: Map<EventOf<Kind>> } = {
  decision: decisionActivity,
  outcome: outcomeActivity,
  start: startActivity,
  heartbeat: heartbeatActivity,
  lost: lostActivity,
  stop: stopActivity,
  withheld: withheldActivity,
  finding: findingActivity,
};

/**
 * The event as OCSF 1.8.0 API Activity. Pure.
 * @throws INPUT_INVALID for an unknown kind or major, or a time that is none
 */
export function toOcsf(sealed: SealedEvent): OcsfActivity {
  const gist = gistOf(sealed.event);
  return (ACTIVITIES[gist.kind] as Map<CountersignEvent>)(sealed, sealed.event, gist);
}

/** What is wrong with a mapped event by the published schema: a path and a rule, never a value. */
export function ocsfProblem(activity: OcsfActivity): string | undefined {
  if (validateActivity(activity)) return undefined;
  const [error] = validateActivity.errors ?? [];
  return `${error?.instancePath || "/"} ${error?.message ?? "is not valid"}`;
}
