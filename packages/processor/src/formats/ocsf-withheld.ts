import type { SealedEvent, WithheldEvent } from "@countersign/model";
import { classify, OCSF, provenance } from "./ocsf-base.ts";

/** A withheld event: somebody has to look into the quarantine. */
export function withheldActivity(
  sealed: SealedEvent,
  event: WithheldEvent,
): Readonly<Record<string, unknown>> {
  const { of, detector, member } = event.data;
  return {
    ...classify(event, { activity: OCSF.other, activityName: "Withhold", severity: OCSF.high }),
    ...provenance(sealed, ["security_control"], { sequence: of.seq, event_code: "withheld" }),
    action: "Denied",
    action_id: 2,
    disposition: "Quarantined",
    disposition_id: 3,
    status: "Failure",
    status_id: 2,
    status_code: "withheld",
    status_detail: `${detector} in ${member}`,
    message: `an event was withheld: ${detector} in ${member}`,
    actor: { app_name: "Countersign processor" },
    api: { operation: "withhold", service: { name: "Countersign processor" } },
    src_endpoint: { name: of.emitter },
    unmapped: { of, detector, member },
  };
}
