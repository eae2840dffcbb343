// The attributes of a decision span, read once and typed: a closed list, whatever else the span carries.
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
  ATTR_EVENT_ID,
  ATTR_EVIDENCE,
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
  ATTR_TENANT,
  BOUNDS,
} from "@countersign/model";
import type { AnyValue, KeyValue } from "@countersign/pipeline";

const TEXT_KEYS: ReadonlySet<string> = new Set([
  ATTR_AGENT_ID,
  ATTR_ASSURANCE,
  ATTR_CONSISTENCY_TOKEN,
  ATTR_DECISION,
  ATTR_EFFECT,
  ATTR_ENGINE,
  ATTR_ERROR_TYPE,
  ATTR_EVIDENCE,
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
  ATTR_TENANT,
]);
const LIST_KEYS: ReadonlySet<string> = new Set([
  ATTR_CHECK_PERMISSIONS,
  ATTR_CHECK_RESOURCES,
  ATTR_CHECK_SUBJECTS,
  ATTR_CHECK_VERDICTS,
]);

/** What a decision span says, by the keys on the list; nothing for any other. */
export interface SpanFacts {
  text(key: string): string | undefined;
  list(key: string): readonly string[] | undefined;
  /** How many checks it says that there were. */
  readonly checkCount: number | undefined;
}

/** Why a span is no event: a word for the dead letter, and the attribute that it is about. */
export class SpanRefusal extends Error {
  readonly reason: string;
  readonly attribute: string | undefined;

  constructor(reason: string, attribute?: string) {
    super(reason);
    this.reason = reason;
    this.attribute = attribute;
  }
}

/** Longer values are refused: nothing on the list may be that long. */
const MAX_CHARACTERS = 4096;

/** Whether a span says that it is a decision, and not one whose event comes sealed: our own spans name that event. */
export function decisionMark(
  attributes: readonly KeyValue[] | undefined,
): "foreign" | "sealed" | undefined {
  let marked = false;
  for (const { key, value } of attributes ?? []) {
    if (key === ATTR_EVENT_ID) return "sealed";
    if (key === ATTR_EVIDENCE && value?.stringValue === "sealed") return "sealed";
    if (key === ATTR_DECISION) marked = true;
  }
  return marked ? "foreign" : undefined;
}

/** Reads what is on the list. Throws a {@link SpanRefusal} for a value of the wrong type, or a key that is there twice. */
export function readFacts(attributes: readonly KeyValue[]): SpanFacts {
  const texts = new Map<string, string>();
  const lists = new Map<string, readonly string[]>();
  let checkCount: number | undefined;
  for (const { key = "", value } of attributes) {
    if (texts.has(key) || lists.has(key)) throw new SpanRefusal("attribute_repeated", key);
    if (TEXT_KEYS.has(key)) texts.set(key, textOf(key, value));
    else if (LIST_KEYS.has(key)) lists.set(key, listOf(key, value));
    else if (key === ATTR_CHECK_COUNT) checkCount = countOf(key, value);
  }
  return { text: (key) => texts.get(key), list: (key) => lists.get(key), checkCount };
}

function textOf(key: string, value: AnyValue | undefined): string {
  const text = value?.stringValue;
  if (text === undefined || text === "" || text.length > MAX_CHARACTERS)
    throw new SpanRefusal("attribute_invalid", key);
  return text;
}

function listOf(key: string, value: AnyValue | undefined): readonly string[] {
  const values = value?.arrayValue?.values;
  if (values === undefined || values.length === 0 || values.length > BOUNDS.checks)
    throw new SpanRefusal("attribute_invalid", key);
  return values.map((one) => textOf(key, one));
}

function countOf(key: string, value: AnyValue | undefined): number {
  const count = Number(value?.intValue);
  if (!Number.isSafeInteger(count) || count < 0) throw new SpanRefusal("attribute_invalid", key);
  return count;
}
