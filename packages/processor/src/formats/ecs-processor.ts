// What a processor makes, in ECS: both are there because somebody should look.
import type { FindingEvent, WithheldEvent } from "@countersign/model";
import type { Bag, EcsFields } from "./ecs-fields.ts";

/** Stands for an event that must not go on. */
export function withheldFields({ data: { of, detector, member } }: WithheldEvent): EcsFields {
  return {
    event: { kind: "alert", type: ["info"], action: "withhold", reason: detector },
    root: {},
    ours: { of: ofOf(of), detector, member },
  };
}

/** What a look along the chains found. */
export function findingFields({ data }: FindingEvent): EcsFields {
  const { finding, of, missing, expected, clock, policy } = data;
  return {
    event: { kind: "alert", type: ["info"], action: "find", reason: finding },
    root: policy === undefined ? {} : { rule: { ruleset: policy.digest } },
    ours: {
      finding,
      of: ofOf(of),
      missing:
        missing === undefined
          ? undefined
          : { what: missing.what, from: missing.from, to: missing.to },
      expected_hash: expected,
      clock,
      policy: policy === undefined ? undefined : { digest: policy.digest },
    },
  };
}

function ofOf({ emitter, epoch, seq, hash, id, source }: FindingEvent["data"]["of"]): Bag {
  return { emitter, epoch, seq, hash, id, source };
}
