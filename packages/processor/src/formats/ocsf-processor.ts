// What a processor makes, in OCSF: both are there because somebody should look.
import type { FindingEvent, SealedEvent, WithheldEvent } from "@countersign/model";
import type { Gist } from "./gist.ts";
import { type Bag, classify, provenance } from "./ocsf-base.ts";

const PROCESSOR = "Countersign processor";

/** A withheld event: somebody has to look into the quarantine. */
export function withheldActivity(sealed: SealedEvent, event: WithheldEvent, gist: Gist): Bag {
  const { of, detector, member } = event.data;
  return {
    ...classify(event, gist, "Withhold"),
    ...provenance(sealed, ["security_control"], {
      event_code: "withheld",
      // It stands in the place of the other.
      sequence: of.seq,
    }),
    action: "Denied",
    action_id: 2,
    disposition: "Quarantined",
    disposition_id: 3,
    status_code: "withheld",
    status_detail: `${detector} in ${member}`,
    actor: { app_name: PROCESSOR },
    api: { operation: "withhold", service: { name: PROCESSOR } },
    src_endpoint: { name: of.emitter },
    unmapped: { of: ofOf(of), detector, member },
  };
}

/** A finding about the record: nothing was done, it was only seen. */
export function findingActivity(sealed: SealedEvent, event: FindingEvent, gist: Gist): Bag {
  const { finding, of, missing, expected, clock, policy } = event.data;
  return {
    ...classify(event, gist, "Find"),
    ...provenance(sealed, ["security_control"], {
      event_code: finding,
      ...(of.id === undefined ? undefined : { correlation_uid: of.id }),
    }),
    action: "Observed",
    action_id: 3,
    disposition: "Detected",
    disposition_id: 15,
    status_code: finding,
    actor: { app_name: PROCESSOR },
    api: { operation: "find", service: { name: PROCESSOR } },
    src_endpoint: { name: of.emitter ?? of.source ?? event.source },
    ...(policy === undefined ? undefined : { policy: { uid: policy.digest } }),
    unmapped: {
      of: ofOf(of),
      missing:
        missing === undefined
          ? undefined
          : { what: missing.what, from: missing.from, to: missing.to },
      expected_hash: expected,
      clock,
    },
  };
}

function ofOf({ emitter, epoch, seq, hash, id, source }: FindingEvent["data"]["of"]): Bag {
  return { emitter, epoch, seq, hash, id, source };
}
