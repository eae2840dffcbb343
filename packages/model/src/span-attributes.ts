import * as key from "./attributes.ts";

/** How freely an attribute is set: `opt_in` is off by default, `never` is not set by us and dropped from others. */
export type AttributeLevel = "required" | "conditional" | "recommended" | "opt_in" | "never";

/** Our spans: `call` is the CLIENT or SERVER span of an MCP call. */
export type SpanName = "call" | "authorize" | "check";

/** One attribute of our spans. */
export interface SpanAttribute {
  readonly key: string;
  readonly level: AttributeLevel;
  readonly type: "string" | "int" | "string[]" | "any";
  readonly spans: readonly SpanName[];
}

function entry(
  spans: string,
  level: AttributeLevel,
  name: string,
  type: SpanAttribute["type"] = "string",
): SpanAttribute {
  return { key: name, level, type, spans: spans.split(" ") as readonly SpanName[] };
}

/**
 * Every attribute of our spans with its level: the table of the span page, for spans that our own packages make. An
 * attribute of several spans has the strictest level of them, where `required` is the least and `never` the most strict.
 */
export const SPAN_ATTRIBUTES: readonly SpanAttribute[] = [
  entry("call authorize", "required", key.ATTR_MCP_METHOD_NAME),
  entry("call authorize", "conditional", key.ATTR_GEN_AI_TOOL_NAME),
  entry("call authorize", "conditional", key.ATTR_GEN_AI_PROMPT_NAME),
  entry("call", "recommended", key.ATTR_GEN_AI_OPERATION_NAME),
  entry("call", "conditional", key.ATTR_JSONRPC_REQUEST_ID),
  entry("call", "conditional", key.ATTR_RPC_RESPONSE_STATUS_CODE),
  entry("call authorize check", "conditional", key.ATTR_ERROR_TYPE),
  entry("call", "recommended", key.ATTR_MCP_PROTOCOL_VERSION),
  entry("call", "recommended", key.ATTR_NETWORK_TRANSPORT),
  entry("call", "recommended", key.ATTR_NETWORK_PROTOCOL_NAME),
  entry("call", "recommended", key.ATTR_NETWORK_PROTOCOL_VERSION),
  entry("call check", "recommended", key.ATTR_SERVER_ADDRESS),
  entry("call check", "recommended", key.ATTR_SERVER_PORT, "int"),
  entry("call", "opt_in", key.ATTR_CLIENT_ADDRESS),
  entry("call", "opt_in", key.ATTR_CLIENT_PORT, "int"),
  entry("call", "opt_in", key.ATTR_MCP_RESOURCE_URI),
  entry("call", "never", key.ATTR_MCP_SESSION_ID),
  entry("call", "never", key.ATTR_GEN_AI_TOOL_CALL_ARGUMENTS, "any"),
  entry("call", "never", key.ATTR_GEN_AI_TOOL_CALL_RESULT, "any"),
  entry("call authorize", "required", key.ATTR_EVENT_ID),
  entry("call authorize", "required", key.ATTR_DECISION),
  entry("authorize", "required", key.ATTR_REASON),
  entry("authorize", "required", key.ATTR_MODE),
  entry("authorize", "required", key.ATTR_EFFECT),
  entry("authorize", "required", key.ATTR_EVIDENCE),
  entry("authorize", "required", key.ATTR_ASSURANCE),
  entry("authorize", "recommended", key.ATTR_GATE),
  entry("authorize", "recommended", key.ATTR_SERVER_ID),
  entry("authorize", "recommended", key.ATTR_TENANT),
  entry("authorize", "recommended", key.ATTR_POLICY_DIGEST),
  entry("authorize", "recommended", key.ATTR_POLICY_RULE),
  entry("authorize check", "recommended", key.ATTR_CHECK_COUNT, "int"),
  entry("authorize", "conditional", key.ATTR_PERMISSION),
  entry("authorize", "conditional", key.ATTR_RESOURCE_TYPE),
  entry("authorize", "opt_in", key.ATTR_RESOURCE_ID),
  entry("authorize", "opt_in", key.ATTR_SUBJECT_TYPE),
  entry("authorize", "opt_in", key.ATTR_SUBJECT_ID),
  entry("authorize", "opt_in", key.ATTR_HUMAN_ISSUER),
  entry("authorize", "opt_in", key.ATTR_HUMAN_SUBJECT),
  entry("authorize", "recommended", key.ATTR_USER_HASH),
  entry("authorize", "opt_in", key.ATTR_AGENT_ID),
  entry("authorize", "opt_in", key.ATTR_CHECK_PERMISSIONS, "string[]"),
  entry("authorize", "opt_in", key.ATTR_CHECK_RESOURCES, "string[]"),
  entry("authorize", "opt_in", key.ATTR_CHECK_SUBJECTS, "string[]"),
  entry("authorize", "opt_in", key.ATTR_CHECK_VERDICTS, "string[]"),
  entry("authorize", "recommended", key.ATTR_ENGINE),
  entry("authorize", "opt_in", key.ATTR_CONSISTENCY_TOKEN),
  entry("check", "required", key.ATTR_RPC_SYSTEM_NAME),
  entry("check", "required", key.ATTR_RPC_METHOD),
  entry("check", "conditional", key.ATTR_RPC_STATUS_CODE),
];

/** What `redact` with `preset: mcp` lets through; everything else is dropped and counted. */
export interface AttributeAllowlist {
  readonly keys: ReadonlySet<string>;
  /** Allowed are keys that begin with one of these. */
  readonly prefixes: readonly string[];
}

/** The allowlist `mcp`: our attributes below opt-in, and what describes the service and the SDK. */
export const MCP_ALLOWLIST: AttributeAllowlist = {
  keys: new Set([
    ...SPAN_ATTRIBUTES.filter(({ level }) => level !== "opt_in" && level !== "never").map(
      (attribute) => attribute.key,
    ),
    key.ATTR_EMITTER,
    "deployment.environment.name",
  ]),
  prefixes: ["service.", "telemetry.", "otel."],
};
