import {
  CountersignError,
  type DecisionEvent,
  kindOf,
  type SealedEvent,
  type WithheldEvent,
} from "@countersign/model";
import type { Format } from "./format.ts";
import { decisionActivity } from "./ocsf-decision.ts";
import { withheldActivity } from "./ocsf-withheld.ts";
import { validateActivity } from "./ocsf-1.8.0.generated.ts";

/** A mapped event: OCSF 1.8.0, class API Activity (6003). */
export type OcsfActivity = Readonly<Record<string, unknown>>;

/** OCSF 1.8.0 of decisions and withheld events; the other kinds have no place there. */
export const ocsfFormat: Format = {
  version: "ocsf@1.8.0+1",
  shape: "json",
  line: (event) => {
    const activity = toOcsf(event);
    if (activity === undefined) return undefined;
    const problem = ocsfProblem(activity);
    if (problem === undefined) return Buffer.from(JSON.stringify(activity), "utf8");
    throw new CountersignError("INPUT_INVALID", `ocsf: the mapped event is not valid: ${problem}`);
  },
};

/** The event as OCSF 1.8.0 API Activity; undefined for kinds that have no place there. Pure. */
export function toOcsf(sealed: SealedEvent): OcsfActivity | undefined {
  const kind = kindOf(sealed.event.type);
  if (kind === "decision") return decisionActivity(sealed, sealed.event as DecisionEvent);
  if (kind === "withheld") return withheldActivity(sealed, sealed.event as WithheldEvent);
  return undefined;
}

/** What is wrong with a mapped event by the published schema: a path and a rule, never a value. */
export function ocsfProblem(activity: OcsfActivity): string | undefined {
  if (validateActivity(activity)) return undefined;
  const [error] = validateActivity.errors ?? [];
  return `${error?.instancePath || "/"} ${error?.message ?? "is not valid"}`;
}
