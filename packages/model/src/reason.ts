/** What happened to the question: `error` means that it could not be answered. Only `allow` allows. */
export type Decision = "allow" | "deny" | "error";

/** Every reason, under the decision that it belongs to (contract, section 3). Readers map an unknown one to `other`. */
export const REASONS = {
  allow: ["permitted", "listed"],
  deny: [
    "forbidden",
    "conditional",
    "unmapped",
    "no_checks",
    "too_many_checks",
    "resource_invalid",
    "identity_missing",
    "identity_not_human",
    "identity_invalid",
    "identity_conflict",
    "identity_replayed",
    "identity_too_weak",
    "task_not_owned",
    "malformed",
  ],
  error: [
    "pdp_timeout",
    "pdp_unavailable",
    "pdp_error",
    "identity_unavailable",
    "replay_cache_full",
    "cancelled",
    "too_large",
    "internal",
  ],
} as const;

/** Why a call was decided as it was: the first step that failed, in the order of work. */
export type Reason = (typeof REASONS)[Decision][number];

const DECISIONS: ReadonlyMap<string, Decision> = new Map(
  (["allow", "deny", "error"] as const).flatMap((decision) =>
    REASONS[decision].map((reason) => [reason, decision] as const),
  ),
);

/** The decision that a reason belongs to. A reason that is none of ours is an `error`: only a known one may allow. */
export function decisionOf(reason: Reason): Decision {
  return DECISIONS.get(reason) ?? "error";
}
