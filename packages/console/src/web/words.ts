import type { RowView } from "./wire.ts";

/** The verdict in one word and a sign that can be told apart without colour. */
export function verdictWord(decision: string): { word: string; sign: string } {
  if (decision === "allow") return { word: "Allowed", sign: "✓" };
  if (decision === "deny") return { word: "Denied", sign: "✕" };
  return { word: "Undecided", sign: "!" };
}

/** Reasons in plain words. Where `{permission}` stands, the page puts the deciding check's permission. */
const REASONS: Readonly<Record<string, string>> = {
  permitted: "The permission {permission} was there",
  listed: "A list; only what this human may use was shown",
  forbidden: "The permission {permission} is missing",
  conditional: "The permission {permission} depends on facts that were not given",
  unmapped: "No rule of the policy covers this call",
  no_checks: "The rule gave nothing to check",
  too_many_checks: "The call would need more checks than are allowed",
  resource_invalid: "The resource could not be named from the call",
  identity_missing: "Nobody could be named as the human behind it",
  identity_not_human: "The credential names software, not a human",
  identity_invalid: "The credential did not hold up",
  identity_conflict: "Two credentials name different people",
  identity_replayed: "The proof had been used before",
  identity_too_weak: "The human is not established well enough for this policy",
  task_not_owned: "The task belongs to somebody else",
  malformed: "The request was malformed",
  pdp_timeout: "The authorizer did not answer in time",
  pdp_unavailable: "The authorizer could not be reached",
  pdp_error: "The authorizer failed",
  identity_unavailable: "The identity could not be checked at the moment",
  replay_cache_full: "Proofs could not be checked for replay",
  cancelled: "The caller cancelled before the decision",
  too_large: "The request was too large",
  internal: "Countersign failed; the call was stopped",
};

/** The reason as a sentence, split where the permission stands. A reason of a newer version is shown as it is. */
export function reasonWords(
  row: Pick<RowView, "reason" | "list" | "checks" | "check">,
): readonly string[] {
  const sentence = reasonSentence(row);
  return row.check === undefined
    ? [sentence.replace("{permission} ", "")]
    : sentence.split("{permission}");
}

function reasonSentence(row: Pick<RowView, "reason" | "list" | "checks">): string {
  if (row.reason === "listed" && row.list !== undefined) {
    return `A list: ${row.list.shown} of ${row.list.offered} shown`;
  }
  if (row.reason === "permitted" && row.checks > 1)
    return `All ${row.checks} permissions were there`;
  return Object.hasOwn(REASONS, row.reason) ? (REASONS[row.reason] as string) : row.reason;
}

/** How the human was established, short and long. */
const ASSURANCE: Readonly<Record<string, { short: string; long: string }>> = {
  call_bound: {
    short: "call-bound",
    long: "A key bound to the human's login signed this very call",
  },
  token_bound: { short: "token-bound", long: "Proof of possession of a token, for this request" },
  bearer: { short: "bearer", long: "A verified token that names the human" },
  os_user: { short: "OS user", long: "The account that runs the process" },
  asserted: { short: "asserted", long: "Somebody said so; nothing was verified" },
};

/** Words for an assurance level; an unknown one is shown as it is. */
export function assuranceWords(assurance: string): { short: string; long: string } {
  const known = Object.hasOwn(ASSURANCE, assurance) ? ASSURANCE[assurance] : undefined;
  return known ?? { short: assurance, long: "A level this page does not know" };
}

/** By what the human was established. */
const METHODS: Readonly<Record<string, string>> = {
  call_proof: "a signed proof in the call",
  dpop: "a token with proof of possession (DPoP)",
  bearer: "a bearer token",
  process_token: "the login on this machine, whose key the process proved",
  os_account: "the operating system's account",
  asserted: "an assertion of the host",
};

/** Words for a method; an unknown one is shown as it is. */
export function methodWords(method: string): string {
  return Object.hasOwn(METHODS, method) ? (METHODS[method] as string) : method;
}

const OUTCOMES: Readonly<Record<string, string>> = {
  completed: "completed",
  tool_error: "tool error",
  rpc_error: "server error",
  input_required: "asked for input",
  task_created: "task created",
  cancelled: "cancelled",
  not_run: "not run after all",
  unknown: "no answer",
};

/** What happened after the decision. */
export function outcomeWords(
  row: Pick<RowView, "effect" | "outcome" | "list" | "emitter">,
): string {
  if (row.effect === "block") return "stopped";
  // Lists have no outcome event: the answer was there when it was decided what to show.
  if (row.list !== undefined) return "answered";
  // A span tells of a decision, and of nothing that came after it.
  if (row.outcome === undefined) return row.emitter === undefined ? "not reported" : "running";
  const { status } = row.outcome;
  return Object.hasOwn(OUTCOMES, status) ? (OUTCOMES[status] as string) : status;
}

const FINDINGS: Readonly<Record<string, string>> = {
  GAP: "Something is missing from the record",
  FORK: "Two histories of one place",
  DUPLICATE: "An event came again",
  NO_STOP: "It fell silent, and nothing tells how it ended",
  SILENT: "It should be heard, and is not",
  NO_OUTCOME: "A call ran, and what became of it is not recorded",
  CLOCK_SKEW: "A clock that cannot be right",
  POLICY_UNKNOWN: "Decided by a policy that nobody listed",
};

/** What a finding says; one of a newer version is shown as it is. */
export function findingWords(finding: string): string {
  return Object.hasOwn(FINDINGS, finding) ? (FINDINGS[finding] as string) : finding;
}

const LINKS: Readonly<Record<string, string>> = {
  verified: "hash matches",
  withheld: "withheld for a leak; its hash matches",
  broken: "HASH DOES NOT MATCH",
  missing: "not in the archive",
  first: "first of its epoch",
};

/** What the link to a neighbour in the chain is worth. */
export function linkWords(state: string): string {
  return Object.hasOwn(LINKS, state) ? (LINKS[state] as string) : state;
}
