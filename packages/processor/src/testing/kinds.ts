// An event for each way in which each kind can look: what every format has to say, and what goldens are made of.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  canonicalBytes,
  type FindingEvent,
  findingEvent,
  type SealedEvent,
  unseal,
  validateOpen,
  withheldEvent,
} from "@countersign/model";

type Json = Record<string, unknown>;
type Loose = Json & { data: Json & { call: Json } };

const CHAIN = join(
  import.meta.dirname,
  "..",
  "..",
  "..",
  "model",
  "src",
  "testdata",
  "chain.jsonl",
);

/** The contract's chain: one epoch with every kind that an emitter seals. */
function contractChain(): SealedEvent[] {
  return readFileSync(CHAIN, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => unseal(Buffer.from(line)));
}

/** The contract's event at `seq`, changed, and still one that intake accepts. */
export function changedEvent(seq: number, change: (event: Loose) => void): SealedEvent {
  const event = structuredClone(contractChain()[seq]?.event) as unknown as Loose;
  change(event);
  const sealed = unseal(canonicalBytes(event));
  const [problem] = validateOpen(sealed.event);
  if (problem !== undefined) throw new Error(`kinds: ${problem.path} ${problem.message}`);
  return sealed;
}

const START = 0;
const LOST = 1;
const ALLOW = 2;
const OUTCOME = 3;
const DENY = 4;
const HEARTBEAT = 5;
const STOP = 6;

const data =
  (members: Json) =>
  (event: Loose): void =>
    void Object.assign(event.data, members);

function unidentified(event: Loose): void {
  Object.assign(event.data, { decision: "deny", reason: "identity_missing", effect: "block" });
  delete event.data["human"];
  delete event.data["agent"];
  delete event.data["checks"];
  delete event["traceparent"];
}

function list(event: Loose): void {
  Object.assign(event.data, { reason: "listed", list: { offered: 9, shown: 3 } });
  event.data.call = { method: "tools/list", transport: "http", gate: "guard" };
  event["subject"] = "tools/list";
  delete event.data["checks"];
}

function span(event: Loose): void {
  event["source"] = "urn:countersign:connector:decisions";
  event["id"] = "5d8f2d1e-7c1a-8b3c-9a52-0e6a1f4b7c90";
  event.data["evidence"] = "span";
  delete event.data["chain"];
}

function nameless(event: Loose): void {
  Object.assign(event.data, { decision: "deny", reason: "unmapped", effect: "block" });
  delete event.data.call["name"];
  event.data.call["nameWithheld"] = true;
  event["subject"] = "tools/call";
  delete event.data["checks"];
}

function full(event: Loose): void {
  event.data.call["digest"] = `hmac-sha256:k1:${"A".repeat(43)}`;
  event.data["checks"] = (event.data["checks"] as Json[]).map((check) => ({
    ...check,
    reason: "missing_context",
    verdict: "conditional",
    expiresAt: "2026-11-22T10:00:00.000Z",
    contextKeys: ["now", "region"],
  }));
  Object.assign(event.data, { decision: "deny", reason: "conditional", effect: "block" });
}

const finding = (members: Omit<FindingEvent["data"], "tenant">): SealedEvent =>
  findingEvent({
    data: { ...members, tenant: "acme" },
    time: "2026-11-22T09:05:00.000Z",
    component: "continuity",
  });

const EMITTER = "tickets-7f3a9c2e51d0b684";
const EPOCH = "8ca74318d50c4c1be14ceba89d191e69";
const ID = "01a2027b-e3d4-728a-9347-6e9986773eb1";
const HASH = "ab".repeat(32);
const place = { emitter: EMITTER, epoch: EPOCH };

/** By name of the golden. */
export const KINDS: Readonly<Record<string, SealedEvent>> = {
  allow: changedEvent(ALLOW, () => undefined),
  deny: changedEvent(DENY, () => undefined),
  error: changedEvent(DENY, data({ decision: "error", reason: "pdp_timeout", effect: "block" })),
  unidentified: changedEvent(DENY, unidentified),
  observed: changedEvent(DENY, data({ mode: "observe", effect: "run" })),
  break_glass: changedEvent(DENY, data({ mode: "break_glass", effect: "run" })),
  list: changedEvent(ALLOW, list),
  span: changedEvent(ALLOW, span),
  nameless: changedEvent(ALLOW, nameless),
  full: changedEvent(ALLOW, full),
  newer: changedEvent(
    DENY,
    data({ decision: "error", reason: "brand_new", effect: "block", added: { later: true } }),
  ),
  outcome: changedEvent(OUTCOME, () => undefined),
  outcome_rpc_error: changedEvent(OUTCOME, data({ status: "rpc_error", rpcCode: -32603 })),
  outcome_unknown: changedEvent(OUTCOME, (event) => {
    event.data["status"] = "unknown";
    event.data.call = { method: "resources/read", nameWithheld: true };
    event["subject"] = "resources/read";
    delete event["traceparent"];
  }),
  start: changedEvent(START, () => undefined),
  start_observe: changedEvent(START, (event) => {
    Object.assign(event.data, { mode: "observe", gate: "guard", auditDenied: 2 });
    delete event.data["previous"];
  }),
  heartbeat: changedEvent(HEARTBEAT, () => undefined),
  lost_records: changedEvent(LOST, () => undefined),
  lost_calls: changedEvent(LOST, (event) => {
    Object.assign(event.data, { what: "calls", reason: "observe", count: 3 });
    delete event.data["records"];
    event.data["calls"] = { since: "2026-11-22T08:00:00.000Z", until: "2026-11-22T08:10:00.000Z" };
  }),
  stop: changedEvent(STOP, () => undefined),
  stop_fault: changedEvent(STOP, data({ reason: "journal_fault" })),
  withheld: withheldEvent(
    changedEvent(ALLOW, () => undefined),
    "card",
    "data.call.name",
  ),
  finding_gap: finding({
    finding: "GAP",
    of: place,
    missing: { what: "events", from: 8, to: 11 },
  }),
  finding_fork: finding({
    finding: "FORK",
    of: { ...place, seq: 4, hash: HASH, id: ID },
    expected: "cd".repeat(32),
  }),
  finding_duplicate: finding({ finding: "DUPLICATE", of: { ...place, seq: 4, hash: HASH } }),
  finding_no_stop: finding({ finding: "NO_STOP", of: place }),
  finding_silent: finding({ finding: "SILENT", of: { emitter: EMITTER } }),
  finding_no_outcome: finding({ finding: "NO_OUTCOME", of: { ...place, seq: 2, id: ID } }),
  finding_clock: finding({ finding: "CLOCK_SKEW", of: { ...place, seq: 2 }, clock: "ahead" }),
  finding_policy: finding({
    finding: "POLICY_UNKNOWN",
    of: { id: ID, source: "urn:countersign:connector:decisions" },
    policy: { digest: `sha256:${HASH}` },
  }),
  // The last year that the form of a time can say, and the first second that 32 bits cannot.
  year_9999: changedEvent(OUTCOME, (event) => void (event["time"] = "9999-12-31T23:59:59.999Z")),
  year_2038: changedEvent(OUTCOME, (event) => void (event["time"] = "2038-01-19T03:14:08.000Z")),
};
