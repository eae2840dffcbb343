// Attribute keys of our spans and log records, and how freely each may be shown. MCP and GenAI names are vendored from the
// semantic conventions for MCP (semantic-conventions-genai, docs/gen-ai/mcp.md, status Development): the constants of the
// npm package are deprecated, since the conventions moved out of core in 1.42. The others are those of core 1.45.
import { NAME_ATTRIBUTE } from "./names.ts";

/** `tools/call` and the like. */
export const ATTR_MCP_METHOD_NAME = "mcp.method.name";
/** Version of the MCP protocol. */
export const ATTR_MCP_PROTOCOL_VERSION = "mcp.protocol.version";
/** Opt-in: a URI can carry a path, a name, a password. */
export const ATTR_MCP_RESOURCE_URI = "mcp.resource.uri";
/** Never set: it opens the session in older peers. Named here so that it can be dropped. */
export const ATTR_MCP_SESSION_ID = "mcp.session.id";
/** Name of the tool that is called, if it is known. */
export const ATTR_GEN_AI_TOOL_NAME = "gen_ai.tool.name";
/** Name of the prompt that is asked for, if it is known. */
export const ATTR_GEN_AI_PROMPT_NAME = "gen_ai.prompt.name";
/** `execute_tool`; tool calls only. */
export const ATTR_GEN_AI_OPERATION_NAME = "gen_ai.operation.name";
/** Never set: payload. Named here so that it can be dropped. */
export const ATTR_GEN_AI_TOOL_CALL_ARGUMENTS = "gen_ai.tool.call.arguments";
/** Never set: payload. Named here so that it can be dropped. */
export const ATTR_GEN_AI_TOOL_CALL_RESULT = "gen_ai.tool.call.result";
/** Id of the JSON-RPC request, in the form of `requestIdText`. */
export const ATTR_JSONRPC_REQUEST_ID = "jsonrpc.request.id";
/** JSON-RPC error code, as the MCP page has it (core 1.45 renamed it `rpc.status_code`). */
export const ATTR_RPC_RESPONSE_STATUS_CODE = "rpc.response.status_code";
/** Why an operation failed; `tool_error` for `isError`. */
export const ATTR_ERROR_TYPE = "error.type";
/** `pipe` or `tcp`. */
export const ATTR_NETWORK_TRANSPORT = "network.transport";
/** `http`. */
export const ATTR_NETWORK_PROTOCOL_NAME = "network.protocol.name";
/** `1.1`, `2`. */
export const ATTR_NETWORK_PROTOCOL_VERSION = "network.protocol.version";
/** Host of the peer that serves. */
export const ATTR_SERVER_ADDRESS = "server.address";
/** Port of the peer that serves. */
export const ATTR_SERVER_PORT = "server.port";
/** Opt-in. */
export const ATTR_CLIENT_ADDRESS = "client.address";
/** Opt-in. */
export const ATTR_CLIENT_PORT = "client.port";
/** `grpc`. */
export const ATTR_RPC_SYSTEM_NAME = "rpc.system.name";
/** `package.Service/Method`. */
export const ATTR_RPC_METHOD = "rpc.method";
/** Status of an RPC that failed, by name. */
export const ATTR_RPC_STATUS_CODE = "rpc.status_code";
/** Pseudonym of the human, when a pseudonym key is configured. */
export const ATTR_USER_HASH = "user.hash";

const own = <Name extends string>(name: Name): `countersign.${Name}` => `${NAME_ATTRIBUTE}${name}`;

/** Id of the event that a span or log record belongs to. */
export const ATTR_EVENT_ID: "countersign.event.id" = own("event.id");
/** Log records: hash of the sealed bytes. */
export const ATTR_EVENT_HASH: "countersign.event.hash" = own("event.hash");
/** Log records: epoch of the chain. */
export const ATTR_CHAIN_EPOCH: "countersign.chain.epoch" = own("chain.epoch");
/** Log records: number in the chain. */
export const ATTR_CHAIN_SEQ: "countersign.chain.seq" = own("chain.seq");
/** Resource: the emitter. */
export const ATTR_EMITTER: "countersign.emitter" = own("emitter");
/** Resource: the tenant. */
export const ATTR_TENANT: "countersign.tenant" = own("tenant");
/** `allow`, `deny`, `error`. */
export const ATTR_DECISION: "countersign.decision" = own("decision");
/** Why. */
export const ATTR_REASON: "countersign.reason" = own("reason");
/** `enforce`, `observe`, `break_glass`. */
export const ATTR_MODE: "countersign.mode" = own("mode");
/** `run`, `block`. */
export const ATTR_EFFECT: "countersign.effect" = own("effect");
/** `sealed` on our own spans. */
export const ATTR_EVIDENCE: "countersign.evidence" = own("evidence");
/** How the human was established; `none` without one. */
export const ATTR_ASSURANCE: "countersign.assurance" = own("assurance");
/** `in_process`, `guard`. */
export const ATTR_GATE: "countersign.gate" = own("gate");
/** The server's own name in the policy. */
export const ATTR_SERVER_ID: "countersign.server.id" = own("server.id");
/** Digest of the policy in force. */
export const ATTR_POLICY_DIGEST: "countersign.policy.digest" = own("policy.digest");
/** Rule of the policy that matched. */
export const ATTR_POLICY_RULE: "countersign.policy.rule" = own("policy.rule");
/** How many checks were made, or sent in one request. */
export const ATTR_CHECK_COUNT: "countersign.check.count" = own("check.count");
/** Permission of the deciding check. */
export const ATTR_PERMISSION: "countersign.permission" = own("permission");
/** Resource type of the deciding check. */
export const ATTR_RESOURCE_TYPE: "countersign.resource.type" = own("resource.type");
/** Opt-in. */
export const ATTR_RESOURCE_ID: "countersign.resource.id" = own("resource.id");
/** Opt-in. */
export const ATTR_SUBJECT_TYPE: "countersign.subject.type" = own("subject.type");
/** Opt-in. */
export const ATTR_SUBJECT_ID: "countersign.subject.id" = own("subject.id");
/** Opt-in. */
export const ATTR_HUMAN_ISSUER: "countersign.human.issuer" = own("human.issuer");
/** Opt-in. */
export const ATTR_HUMAN_SUBJECT: "countersign.human.subject" = own("human.subject");
/** Opt-in. */
export const ATTR_AGENT_ID: "countersign.agent.id" = own("agent.id");
/** Opt-in: all checks, one list each. */
export const ATTR_CHECK_PERMISSIONS: "countersign.check.permissions" = own("check.permissions");
/** Opt-in. */
export const ATTR_CHECK_RESOURCES: "countersign.check.resources" = own("check.resources");
/** Opt-in. */
export const ATTR_CHECK_SUBJECTS: "countersign.check.subjects" = own("check.subjects");
/** Opt-in. */
export const ATTR_CHECK_VERDICTS: "countersign.check.verdicts" = own("check.verdicts");
/** Which authorizer answered. */
export const ATTR_ENGINE: "countersign.engine" = own("engine");
/** Opt-in. */
export const ATTR_CONSISTENCY_TOKEN: "countersign.consistency_token" = own("consistency_token");
