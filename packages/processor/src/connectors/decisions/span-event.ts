// From a decision span to the event that it is evidence of. What does not add up is refused, never mended.
import {
  ATTR_AGENT_ID,
  ATTR_ASSURANCE,
  ATTR_CHECK_COUNT,
  ATTR_CHECK_PERMISSIONS,
  ATTR_CHECK_RESOURCES,
  ATTR_CHECK_SUBJECTS,
  ATTR_CHECK_VERDICTS,
  ATTR_CONSISTENCY_TOKEN,
  ATTR_DECISION,
  ATTR_EFFECT,
  ATTR_ENGINE,
  ATTR_ERROR_TYPE,
  ATTR_GATE,
  ATTR_GEN_AI_PROMPT_NAME,
  ATTR_GEN_AI_TOOL_NAME,
  ATTR_HUMAN_ISSUER,
  ATTR_HUMAN_SUBJECT,
  ATTR_MCP_METHOD_NAME,
  ATTR_MCP_PROTOCOL_VERSION,
  ATTR_MODE,
  ATTR_NETWORK_TRANSPORT,
  ATTR_PERMISSION,
  ATTR_POLICY_DIGEST,
  ATTR_POLICY_RULE,
  ATTR_REASON,
  ATTR_RESOURCE_ID,
  ATTR_RESOURCE_TYPE,
  ATTR_SERVER_ID,
  ATTR_SUBJECT_ID,
  ATTR_SUBJECT_TYPE,
  type Check,
  type Decision,
  decisionOf,
  type DecisionEvent,
  errorCode,
  eventTime,
  type Human,
  type ObjectRef,
  type Reason,
  REASONS,
  type SealedEvent,
  spanDecision,
} from "@countersign/model";
import type { Span } from "@countersign/pipeline";
import { readFacts, type SpanFacts, SpanRefusal } from "./span-attributes.ts";

/** What a span does not say itself. */
export interface SpanContext {
  readonly source: string;
  readonly tenant: string;
  /** `service.name` of the resource: the server, if the span does not name it. */
  readonly service: string | undefined;
  readonly transport: "stdio" | "http";
}

type Data = DecisionEvent["data"];

/** A policy of which the span says nothing. */
const NO_DIGEST = `sha256:${"0".repeat(64)}`;
const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;
const SPAN_ID = /^(?!0{16})[0-9a-f]{16}$/;
const NANO = /^\d{13,19}$/;
const REASON_WORDS: ReadonlySet<string> = new Set(Object.values(REASONS).flat());
/** Lists are shown filtered; there is nothing to ask the authorizer for the call itself. */
const NO_CHECK: ReadonlySet<string> = new Set<Reason>(["listed"]);

/** Methods by which a human can have been established, by what that is worth. */
const METHODS: Readonly<Record<string, Human["method"]>> = {
  call_bound: "call_proof",
  token_bound: "dpop",
  bearer: "bearer",
  os_user: "os_account",
  asserted: "asserted",
};

/** Makes the event of a span. Throws a {@link SpanRefusal} when it says too little, or something that cannot be. */
export function spanEvent(span: Span, context: SpanContext): SealedEvent {
  const { traceId = "", spanId = "" } = span;
  if (!TRACE_ID.test(traceId) || !SPAN_ID.test(spanId)) throw new SpanRefusal("id_invalid");
  const facts = readFacts(span.attributes ?? []);
  const times = timesOf(span);
  const verdict = verdictOf(facts);
  try {
    return spanDecision({
      source: context.source,
      traceId,
      spanId,
      time: eventTime(times.endMs),
      tenant: context.tenant,
      ...verdict,
      call: callOf(facts, context),
      nameKnown: false,
      human: humanOf(facts),
      agent: agentOf(facts),
      checks: checksOf(facts, verdict),
      server: { id: facts.text(ATTR_SERVER_ID) ?? context.service ?? missing(ATTR_SERVER_ID) },
      policy: policyOf(facts),
      durationUs: times.durationUs,
      // What is sent was sampled; not every exporter says so.
      traceparent: `00-${traceId}-${spanId}-01`,
    });
  } catch (error) {
    if (errorCode(error) !== "INPUT_INVALID") throw error;
    throw new SpanRefusal("event_invalid", (error as Error).message);
  }
}

function missing(attribute: string): never {
  throw new SpanRefusal("attribute_missing", attribute);
}

function oneOf<Word extends string>(word: string, words: readonly Word[], attribute: string): Word {
  const known = words.find((each) => each === word);
  if (known === undefined) throw new SpanRefusal("attribute_invalid", attribute);
  return known;
}

function timesOf({ startTimeUnixNano = "", endTimeUnixNano = "" }: Span): {
  endMs: number;
  durationUs: number;
} {
  if (!NANO.test(startTimeUnixNano) || !NANO.test(endTimeUnixNano))
    throw new SpanRefusal("time_invalid");
  const end = BigInt(endTimeUnixNano);
  const duration = end - BigInt(startTimeUnixNano);
  if (duration < 0n) throw new SpanRefusal("time_invalid");
  return { endMs: Number(end / 1_000_000n), durationUs: Number(duration / 1000n) };
}

interface Verdict extends Pick<Data, "mode" | "effect" | "decision" | "reason"> {}

/** The verdict, its reason and what was done must go together, as the gate's own always do. */
function verdictOf(facts: SpanFacts): Verdict {
  const decision = oneOf<Decision>(
    facts.text(ATTR_DECISION) ?? missing(ATTR_DECISION),
    ["allow", "deny", "error"],
    ATTR_DECISION,
  );
  const reason = facts.text(ATTR_REASON) ?? missing(ATTR_REASON);
  if (!REASON_WORDS.has(reason)) throw new SpanRefusal("reason_unknown", ATTR_REASON);
  if (decisionOf(reason as Reason) !== decision)
    throw new SpanRefusal("contradiction", ATTR_REASON);
  const mode = oneOf(
    facts.text(ATTR_MODE) ?? "enforce",
    ["enforce", "observe", "break_glass"],
    ATTR_MODE,
  );
  const effect = oneOf(
    facts.text(ATTR_EFFECT) ?? missing(ATTR_EFFECT),
    ["run", "block"],
    ATTR_EFFECT,
  );
  if (mode === "enforce" && (effect === "run") !== (decision === "allow"))
    throw new SpanRefusal("contradiction", ATTR_EFFECT);
  const failed = facts.text(ATTR_ERROR_TYPE);
  if (decision === "error" && failed !== undefined && failed !== reason)
    throw new SpanRefusal("contradiction", ATTR_ERROR_TYPE);
  return { mode, effect, decision, reason: reason as Reason };
}

function callOf(facts: SpanFacts, { transport }: SpanContext): Data["call"] {
  const name = facts.text(ATTR_GEN_AI_TOOL_NAME) ?? facts.text(ATTR_GEN_AI_PROMPT_NAME);
  const protocolVersion = facts.text(ATTR_MCP_PROTOCOL_VERSION);
  const carried = facts.text(ATTR_NETWORK_TRANSPORT);
  return {
    method: facts.text(ATTR_MCP_METHOD_NAME) ?? missing(ATTR_MCP_METHOD_NAME),
    ...(name === undefined ? {} : { name }),
    ...(protocolVersion === undefined ? {} : { protocolVersion }),
    gate: oneOf(facts.text(ATTR_GATE) ?? "in_process", ["in_process", "guard"], ATTR_GATE),
    transport: carried === undefined ? transport : carried === "pipe" ? "stdio" : "http",
  };
}

/** Who, and how surely: both or neither. */
function humanOf(facts: SpanFacts): Human | undefined {
  const issuer = facts.text(ATTR_HUMAN_ISSUER);
  const subject = facts.text(ATTR_HUMAN_SUBJECT);
  const assurance = facts.text(ATTR_ASSURANCE) ?? missing(ATTR_ASSURANCE);
  if (assurance === "none" && issuer === undefined && subject === undefined) return undefined;
  const method = Object.hasOwn(METHODS, assurance) ? METHODS[assurance] : undefined;
  if (method === undefined) throw new SpanRefusal("attribute_invalid", ATTR_ASSURANCE);
  return {
    issuer: issuer ?? missing(ATTR_HUMAN_ISSUER),
    subject: subject ?? missing(ATTR_HUMAN_SUBJECT),
    assurance: assurance as Human["assurance"],
    method,
  };
}

function agentOf(facts: SpanFacts): Data["agent"] {
  const id = facts.text(ATTR_AGENT_ID);
  return id === undefined ? undefined : { id };
}

function policyOf(facts: SpanFacts): Data["policy"] {
  const rule = facts.text(ATTR_POLICY_RULE);
  const digest = facts.text(ATTR_POLICY_DIGEST) ?? NO_DIGEST;
  return rule === undefined ? { digest } : { digest, rule };
}

/** The checks, one or all: only one or more of them, all allowed, make an `allow`. */
function checksOf(facts: SpanFacts, verdict: Verdict): readonly Check[] | undefined {
  const checks =
    facts.list(ATTR_CHECK_PERMISSIONS) === undefined ? one(facts, verdict) : all(facts);
  const { checkCount } = facts;
  if (checkCount !== undefined && checks !== undefined && checkCount !== checks.length)
    throw new SpanRefusal("contradiction", ATTR_CHECK_COUNT);
  if (verdict.decision !== "allow" || NO_CHECK.has(verdict.reason)) return checks;
  if (checks === undefined) return missing(ATTR_PERMISSION);
  if (checks.some((check) => check.verdict !== "allow"))
    throw new SpanRefusal("contradiction", ATTR_CHECK_VERDICTS);
  return checks;
}

function engineOf(facts: SpanFacts): Check["engine"] {
  const engine = facts.text(ATTR_ENGINE) ?? missing(ATTR_ENGINE);
  return oneOf(engine, ["spicedb", "authzen", "cedar", "relationships"], ATTR_ENGINE);
}

/** The deciding check, as the span names it. */
function one(facts: SpanFacts, { decision, reason }: Verdict): readonly Check[] | undefined {
  const permission = facts.text(ATTR_PERMISSION);
  if (permission === undefined) return undefined;
  const token = facts.text(ATTR_CONSISTENCY_TOKEN);
  const check: Check = {
    permission,
    resource: {
      type: facts.text(ATTR_RESOURCE_TYPE) ?? missing(ATTR_RESOURCE_TYPE),
      id: facts.text(ATTR_RESOURCE_ID) ?? missing(ATTR_RESOURCE_ID),
    },
    subject: {
      type: facts.text(ATTR_SUBJECT_TYPE) ?? missing(ATTR_SUBJECT_TYPE),
      id: facts.text(ATTR_SUBJECT_ID) ?? missing(ATTR_SUBJECT_ID),
    },
    verdict: reason === "conditional" ? "conditional" : decision,
    engine: engineOf(facts),
    durationUs: 0,
  };
  return [token === undefined ? check : { ...check, consistencyToken: token }];
}

/** All checks: four lists of one length. */
function all(facts: SpanFacts): readonly Check[] {
  const permissions = facts.list(ATTR_CHECK_PERMISSIONS) ?? missing(ATTR_CHECK_PERMISSIONS);
  const resources = facts.list(ATTR_CHECK_RESOURCES) ?? missing(ATTR_CHECK_RESOURCES);
  const subjects = facts.list(ATTR_CHECK_SUBJECTS) ?? missing(ATTR_CHECK_SUBJECTS);
  const verdicts = facts.list(ATTR_CHECK_VERDICTS) ?? missing(ATTR_CHECK_VERDICTS);
  const lengths = new Set([permissions, resources, subjects, verdicts].map(({ length }) => length));
  if (lengths.size > 1) throw new SpanRefusal("contradiction", ATTR_CHECK_PERMISSIONS);
  const engine = engineOf(facts);
  return permissions.map((permission, index) => ({
    permission,
    resource: objectOf(resources[index], ATTR_CHECK_RESOURCES),
    subject: objectOf(subjects[index], ATTR_CHECK_SUBJECTS),
    verdict: oneOf(
      verdicts[index] ?? "",
      ["allow", "deny", "conditional", "error"],
      ATTR_CHECK_VERDICTS,
    ),
    engine,
    durationUs: 0,
  }));
}

/** `type:id`; a type holds no colon. */
function objectOf(text: string | undefined, attribute: string): ObjectRef {
  const colon = text?.indexOf(":") ?? -1;
  if (text === undefined || colon < 1) throw new SpanRefusal("attribute_invalid", attribute);
  return { type: text.slice(0, colon), id: text.slice(colon + 1) };
}
