// Builders of what an emitter seals. They bound, neutralise, detect, and put members in the order of RFC 8785; the two
// slots that only the journal can fill (chain and time) stay empty until seal().
import { BOUNDS } from "./bounds.ts";
import {
  agentPart,
  callSubject,
  checkPart,
  type CallFields,
  countersPart,
  decisionCall,
  humanPart,
  type Members,
  outcomeCall,
  sdkPart,
  serverPart,
  whole,
} from "./draft-parts.ts";
import { CountersignError } from "./error.ts";
import type {
  Agent,
  Chain,
  Check,
  CountersignEvent,
  DecisionEvent,
  EventKind,
  HeartbeatEvent,
  Human,
  LostEvent,
  OutcomeEvent,
  StartEvent,
  StopEvent,
} from "./event.ts";
import { descriptive, traceparentText, type Withholding } from "./free-text.ts";
import { dataSchema, EMITTER_SOURCE_PREFIX, eventType } from "./names.ts";
import { byteLength } from "./neutralise.ts";
import { uuidv7 } from "./uuid.ts";

/** An event that is complete but for its place: `chain`, `source` and `time` are filled by `seal`, once. */
export interface EventDraft {
  readonly kind: EventKind;
  readonly event: CountersignEvent;
  /** How many values were withheld from this event. Who appends it adds this to `counters.withheld`. */
  readonly withheld: number;
}

type DecisionData = DecisionEvent["data"];
type OutcomeData = OutcomeEvent["data"];
type StartData = StartEvent["data"];

/** What a decision is made of. Ids of checks are encoded already; all other text is as it was received. */
export interface DecisionFields extends Omit<
  DecisionData,
  "chain" | "evidence" | "call" | "human" | "agent" | "checks" | "list"
> {
  readonly id: string;
  readonly call: CallFields;
  /** The policy or the server knows the name of the call. */
  readonly nameKnown: boolean;
  readonly human?: Human | undefined;
  readonly agent?: Agent | undefined;
  readonly checks?: readonly Check[] | undefined;
  readonly list?: DecisionData["list"] | undefined;
  /** Of the `authorize` span. */
  readonly traceparent?: string | undefined;
}

/** What an outcome is made of; `call` as its decision recorded it. */
export interface OutcomeFields extends Omit<OutcomeData, "chain" | "rpcCode"> {
  readonly id: string;
  readonly rpcCode?: number | undefined;
  /** Of the SERVER span. */
  readonly traceparent?: string | undefined;
}

/** What a start is made of. `id` is made if absent. */
export interface StartFields extends Omit<StartData, "chain"> {
  readonly id?: string;
}

/** What a heartbeat is made of. `id` is made if absent. */
export interface HeartbeatFields extends Omit<HeartbeatEvent["data"], "chain"> {
  readonly id?: string;
}

/** What a `lost` is made of. `id` is made if absent. */
export interface LostFields extends Omit<LostEvent["data"], "chain"> {
  readonly id?: string;
}

/** What a stop is made of. `id` is made if absent. */
export interface StopFields extends Omit<StopEvent["data"], "chain"> {
  readonly id?: string;
}

/** Holds the place of `chain`, so that the member keeps its position. */
const EMPTY_CHAIN = undefined as unknown as Chain;

interface Attributes {
  readonly id: string;
  readonly subject?: string;
  readonly traceparent?: string | undefined;
}

function draft(
  kind: EventKind,
  data: object,
  attributes: Attributes,
  count: Withholding = { withheld: 0 },
): EventDraft {
  const event: Record<string, unknown> = {
    data,
    datacontenttype: "application/json",
    dataschema: dataSchema(kind),
    id: attributes.id,
    source: EMITTER_SOURCE_PREFIX,
    specversion: "1.0",
  };
  if (attributes.subject !== undefined) event["subject"] = attributes.subject;
  event["time"] = "";
  const traceparent = traceparentText(attributes.traceparent);
  if (traceparent !== undefined) event["traceparent"] = traceparent;
  event["type"] = eventType(kind);
  return { kind, event: event as unknown as CountersignEvent, withheld: count.withheld };
}

/**
 * A decision, to be sealed (`evidence: sealed`).
 * @throws BUG when an identifying value is over its bound: ask `overBound` before.
 */
export function draftDecision(fields: DecisionFields): EventDraft {
  const count: Withholding = { withheld: 0 };
  const data: Members<DecisionData> = {};
  const agent = fields.agent === undefined ? undefined : agentPart(fields.agent, count);
  if (agent !== undefined) data.agent = agent;
  const call = decisionCall(fields.call, fields.nameKnown, count);
  data.call = call;
  data.chain = EMPTY_CHAIN;
  if (fields.checks !== undefined && fields.checks.length > 0)
    data.checks = checkParts(fields.checks);
  data.decision = fields.decision;
  data.durationUs = whole(fields.durationUs);
  data.effect = fields.effect;
  data.evidence = "sealed";
  if (fields.human !== undefined) data.human = humanPart(fields.human);
  if (fields.list !== undefined) {
    data.list = { offered: whole(fields.list.offered), shown: whole(fields.list.shown) };
  }
  data.mode = fields.mode;
  const rule = descriptive(fields.policy.rule);
  data.policy =
    rule === undefined ? { digest: fields.policy.digest } : { digest: fields.policy.digest, rule };
  data.reason = fields.reason;
  data.server = serverPart(fields.server, count);
  data.tenant = fields.tenant;
  if (fields.checks !== undefined) shrink(data, fields.checks);
  return draft(
    "decision",
    data,
    { id: fields.id, subject: callSubject(call), traceparent: fields.traceparent },
    count,
  );
}

/** Bytes of an event beside `data` without its chain. */
const ENVELOPE_BYTES = 2_048;

/** Bytes of a decision beside checks and actors, at most; and of a check beside its texts. */
const PLAIN_BYTES = 12_288;
const CHECK_BYTES = 240;

/**
 * An event with many long checks would not fit. What identifies always does (`overBound`), so what only describes goes: all
 * checks but the first lose their token and context keys. Tokens of one bulk answer are the same anyway.
 */
function shrink(data: Members<DecisionData>, given: readonly Check[]): void {
  let most = PLAIN_BYTES;
  for (const check of data.checks ?? []) most += mostBytes(check);
  for (const actor of data.agent?.actors ?? []) {
    most += 3 * (actor.issuer.length + actor.subject.length);
  }
  if (most <= BOUNDS.eventBytes) return;
  if (byteLength(JSON.stringify(data)) <= BOUNDS.eventBytes - ENVELOPE_BYTES) return;
  data.checks = given.map((check, index) => checkPart(check, index > 0));
}

/** At most: a UTF-16 unit is up to 3 bytes of JSON here, since controls are escaped already. */
function mostBytes(check: Check): number {
  let characters = check.permission.length + (check.consistencyToken?.length ?? 0);
  for (const key of check.contextKeys ?? []) characters += key.length + 1;
  const { resource, subject } = check;
  const ids = resource.id.length + resource.type.length + subject.id.length + subject.type.length;
  return CHECK_BYTES + ids + 3 * characters;
}

function checkParts(given: readonly Check[]): readonly Check[] {
  if (given.length > BOUNDS.checks) {
    throw new CountersignError("BUG", `draft: more than ${BOUNDS.checks} checks`);
  }
  return given.map((check) => checkPart(check, false));
}

/** What became of a call. */
export function draftOutcome(fields: OutcomeFields): EventDraft {
  const count: Withholding = { withheld: 0 };
  const data: Members<OutcomeData> = {};
  const call = outcomeCall(fields.call, count);
  data.call = call;
  data.chain = EMPTY_CHAIN;
  data.decisionId = fields.decisionId;
  data.durationUs = whole(fields.durationUs);
  // Plus 0: JSON has no -0.
  if (Number.isSafeInteger(fields.rpcCode)) data.rpcCode = (fields.rpcCode as number) + 0;
  data.status = fields.status;
  data.tenant = fields.tenant;
  return draft(
    "outcome",
    data,
    { id: fields.id, subject: callSubject(call), traceparent: fields.traceparent },
    count,
  );
}

/** First event of an epoch. */
export function draftStart(fields: StartFields): EventDraft {
  const count: Withholding = { withheld: 0 };
  const data: Members<StartData> = {};
  if (fields.auditDenied !== undefined) data.auditDenied = whole(fields.auditDenied);
  data.chain = EMPTY_CHAIN;
  data.coverage = { sdks: fields.coverage.sdks.slice(0, BOUNDS.sdks).map(sdkPart) };
  data.durability = fields.durability;
  data.epochNumber = fields.epochNumber;
  data.gate = fields.gate;
  data.mode = fields.mode;
  data.policy = { default: fields.policy.default, digest: fields.policy.digest };
  if (fields.previous !== undefined) {
    const { end, epoch, hash, seq } = fields.previous;
    data.previous = { end, epoch, hash, seq };
  }
  const { countersign, node, os } = fields.runtime;
  data.runtime = { countersign: version(countersign), node: version(node), os: version(os) };
  data.server = serverPart(fields.server, count);
  data.tenant = fields.tenant;
  return draft("start", data, { id: fields.id ?? uuidv7() }, count);
}

function version(text: string): string {
  return descriptive(text, BOUNDS.versionBytes) ?? "unknown";
}

/** The emitter lives. */
export function draftHeartbeat(fields: HeartbeatFields): EventDraft {
  const { bytes, oldestUnacknowledgedMs, unacknowledged } = fields.journal;
  const data: HeartbeatEvent["data"] = {
    chain: EMPTY_CHAIN,
    counters: countersPart(fields.counters),
    journal: {
      bytes: whole(bytes),
      oldestUnacknowledgedMs: whole(oldestUnacknowledgedMs),
      unacknowledged: whole(unacknowledged),
    },
    tenant: fields.tenant,
    uptimeMs: whole(fields.uptimeMs),
  };
  return draft("heartbeat", data, { id: fields.id ?? uuidv7() });
}

/** Something is missing. */
export function draftLost(fields: LostFields): EventDraft {
  const data: Members<LostEvent["data"]> = {};
  if (fields.calls !== undefined) {
    data.calls = { since: fields.calls.since, until: fields.calls.until };
  }
  data.chain = EMPTY_CHAIN;
  data.count = whole(fields.count);
  data.reason = fields.reason;
  if (fields.records !== undefined) {
    const { epoch, fromSeq, toSeq } = fields.records;
    data.records = { epoch, fromSeq, toSeq };
  }
  data.tenant = fields.tenant;
  data.what = fields.what;
  return draft("lost", data, { id: fields.id ?? uuidv7() });
}

/** Last event of an epoch. */
export function draftStop(fields: StopFields): EventDraft {
  const data: StopEvent["data"] = {
    chain: EMPTY_CHAIN,
    counters: countersPart(fields.counters),
    reason: fields.reason,
    tenant: fields.tenant,
    uptimeMs: whole(fields.uptimeMs),
  };
  return draft("stop", data, { id: fields.id ?? uuidv7() });
}
