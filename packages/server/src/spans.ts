import {
  type Attributes,
  type Context,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace,
} from "@opentelemetry/api";
import * as model from "@countersign/model";
import {
  type CallOutcome,
  type McpCall,
  type Policy,
  type Verdict,
  classify,
} from "@countersign/gate";
import { isRecord } from "./json.ts";
import { type Parent, traceparentOf } from "./propagate.ts";
import { carryState, startWithoutState } from "./trace-state.ts";

/** Span attributes of level O in the attribute contract: off unless the application asks for them by name. */
export interface OptInAttributes {
  /** `mcp.resource.uri`. A URI can carry a path, a name, a password. */
  readonly resourceUri?: boolean;
  /** Resource and subject ids, the whole list of checks, the consistency token. */
  readonly checks?: boolean;
  /** The human's issuer and subject, the verified agent id. */
  readonly identity?: boolean;
}

/** A started span and the context in which it is active. */
export interface ActiveSpan {
  readonly span: Span;
  readonly context: Context;
  /** Absent without a valid context. */
  readonly traceparent?: string;
}

/** JSON-RPC codes that say "the caller made a mistake": on the server they are no error (semconv for MCP, #404). */
const CALLER_MISTAKES: ReadonlySet<number> = new Set([-32700, -32600, -32601, -32602, -32002]);

/** The spans of a call on the server side, as the attribute contract has them. */
export interface CallSpans {
  /** SERVER span of a call. It gets the name of the tool only once the policy knows it. */
  server(call: McpCall, parent: Parent): ActiveSpan;
  /** `authorize`, child of the SERVER span. `decided` ends it, before the handler starts. */
  authorize(server: ActiveSpan): ActiveSpan;
  /** Puts the verdict on both spans and ends `authorize`. A denial is no error of `authorize`; an `error` decision is. */
  decided(spans: DecisionSpans, verdict: Verdict, about: Decided): void;
  /** Ends the SERVER span: `isError` and every code but the caller's own mistakes are errors. No text: it could be payload. */
  finished(server: ActiveSpan, outcome: Pick<CallOutcome, "status" | "rpcCode">): void;
}

/** The two spans that a decision is written on. */
interface DecisionSpans {
  readonly server: ActiveSpan;
  readonly authorize: ActiveSpan;
}

/** What was decided on, and by which policy. */
interface Decided {
  readonly call: McpCall;
  readonly policy: Policy;
}

/** Options of {@link createCallSpans}. */
export interface CallSpansOptions {
  readonly tracerProvider?: TracerProvider;
  readonly optIn?: OptInAttributes;
}

/** Makes the spans of calls. Without an SDK in the process they are the API's no-ops. */
export function createCallSpans(options: CallSpansOptions = {}): CallSpans {
  return new TracedCalls(options);
}

class TracedCalls implements CallSpans {
  // A proxy until the application registers an SDK, so it may do that after us.
  readonly #tracer: Tracer;
  readonly #optIn: OptInAttributes;

  constructor(options: CallSpansOptions) {
    this.#tracer = (options.tracerProvider ?? trace).getTracer(model.TRACER_SERVER);
    this.#optIn = options.optIn ?? {};
  }

  server(call: McpCall, parent: Parent): ActiveSpan {
    const span = startWithoutState(
      this.#tracer,
      methodText(call.method),
      {
        kind: SpanKind.SERVER,
        links: [...parent.links],
        attributes: Object.assign(callAttributes(call), this.#resourceUri(call)),
      },
      parent.context,
    );
    return activate(span, carryState(parent.context, span));
  }

  #resourceUri(call: McpCall): Attributes | undefined {
    if (this.#optIn.resourceUri !== true || !isRecord(call.params)) return undefined;
    const { uri } = call.params;
    return typeof uri === "string"
      ? { [model.ATTR_MCP_RESOURCE_URI]: model.boundText(model.neutralise(uri), 256) }
      : undefined;
  }

  authorize(server: ActiveSpan): ActiveSpan {
    const options = { kind: SpanKind.INTERNAL };
    const span = startWithoutState(this.#tracer, "authorize", options, server.context);
    return activate(span, trace.setSpan(server.context, span));
  }

  decided(spans: DecisionSpans, verdict: Verdict, about: Decided): void {
    const { span } = spans.authorize;
    const named = nameAttributes(about.call, verdict);
    if (span.isRecording()) {
      const attributes = verdictAttributes(verdict, about);
      span.setAttributes(Object.assign(attributes, named, this.#optional(verdict)));
    }
    if (verdict.decision === "error") span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
    spans.server.span.setAttributes(Object.assign(eventAttributes(verdict), named));
    if (verdict.callName !== undefined && Object.keys(named).length > 0) {
      spans.server.span.updateName(`${about.call.method} ${verdict.callName}`);
    }
  }

  #optional(verdict: Verdict): Attributes | undefined {
    if (this.#optIn.checks !== true && this.#optIn.identity !== true) return undefined;
    const out: Attributes = {};
    const check = model.deciding(verdict.checks);
    if (this.#optIn.checks === true && check !== undefined && verdict.checks !== undefined) {
      out[model.ATTR_RESOURCE_ID] = check.resource.id;
      out[model.ATTR_SUBJECT_TYPE] = check.subject.type;
      out[model.ATTR_SUBJECT_ID] = check.subject.id;
      if (check.consistencyToken !== undefined) {
        out[model.ATTR_CONSISTENCY_TOKEN] = check.consistencyToken;
      }
      const all = verdict.checks;
      out[model.ATTR_CHECK_PERMISSIONS] = all.map((one) => one.permission);
      out[model.ATTR_CHECK_RESOURCES] = all.map((one) => `${one.resource.type}:${one.resource.id}`);
      out[model.ATTR_CHECK_SUBJECTS] = all.map((one) => `${one.subject.type}:${one.subject.id}`);
      out[model.ATTR_CHECK_VERDICTS] = all.map((one) => one.verdict);
    }
    if (this.#optIn.identity === true) {
      if (verdict.human !== undefined) {
        out[model.ATTR_HUMAN_ISSUER] = verdict.human.issuer;
        out[model.ATTR_HUMAN_SUBJECT] = verdict.human.subject;
      }
      if (verdict.agent?.id !== undefined) out[model.ATTR_AGENT_ID] = verdict.agent.id;
    }
    return out;
  }

  finished(server: ActiveSpan, outcome: Pick<CallOutcome, "status" | "rpcCode">): void {
    const { span } = server;
    const { rpcCode } = outcome;
    if (rpcCode !== undefined)
      span.setAttribute(model.ATTR_RPC_RESPONSE_STATUS_CODE, String(rpcCode));
    const error =
      rpcCode !== undefined
        ? CALLER_MISTAKES.has(rpcCode)
          ? undefined
          : String(rpcCode)
        : ERROR_STATUS.get(outcome.status);
    if (error !== undefined) {
      span.setAttribute(model.ATTR_ERROR_TYPE, error);
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
  }
}

const ERROR_STATUS: ReadonlyMap<CallOutcome["status"], string> = new Map([
  ["tool_error", "tool_error"],
  ["cancelled", "cancelled"],
  ["unknown", "unknown"],
]);

function activate(span: Span, context: Context): ActiveSpan {
  const traceparent = traceparentOf(span.spanContext());
  return traceparent === undefined ? { span, context } : { span, context, traceparent };
}

function callAttributes(call: McpCall): Attributes {
  const out: Attributes = {
    [model.ATTR_MCP_METHOD_NAME]: methodText(call.method),
  };
  if (call.method === "tools/call") out[model.ATTR_GEN_AI_OPERATION_NAME] = "execute_tool";
  const id = model.requestIdText(call.requestId);
  if (id !== undefined) out[model.ATTR_JSONRPC_REQUEST_ID] = id;
  if (call.protocolVersion !== undefined && VERSION.test(call.protocolVersion)) {
    out[model.ATTR_MCP_PROTOCOL_VERSION] = call.protocolVersion;
  }
  out[model.ATTR_NETWORK_TRANSPORT] = call.transport === "stdio" ? "pipe" : "tcp";
  if (call.transport === "http") out[model.ATTR_NETWORK_PROTOCOL_NAME] = "http";
  return out;
}

const VERSION = /^[A-Za-z0-9._-]{1,32}$/;
const METHOD = /^[A-Za-z0-9_$][A-Za-z0-9_$./-]{0,127}$/;

/** Any caller may send any string as a method: one that is in no table must look like one, as in the event. */
function methodText(method: string): string {
  if (classify(method) !== "unmapped" && !method.startsWith("tasks/")) return method;
  return METHOD.test(method) && model.detect(method) === undefined ? method : model.OTHER_METHOD;
}

/** The tool or prompt, when the policy or the server knows it: a name that only `*` takes is the caller's free text. */
function nameAttributes({ method, toolKnown }: McpCall, verdict: Verdict): Attributes {
  const { callName: name, rule } = verdict;
  if (name === undefined || rule === undefined) return {};
  if (rule.endsWith(".*") && toolKnown !== true) return {};
  if (method === "tools/call") return { [model.ATTR_GEN_AI_TOOL_NAME]: name };
  if (method === "prompts/get") return { [model.ATTR_GEN_AI_PROMPT_NAME]: name };
  return {};
}

function eventAttributes(verdict: Verdict): Attributes {
  const out: Attributes = { [model.ATTR_DECISION]: verdict.decision };
  if (verdict.recorded) out[model.ATTR_EVENT_ID] = verdict.id;
  return out;
}

function verdictAttributes(verdict: Verdict, about: Decided): Attributes {
  const out: Attributes = {
    ...eventAttributes(verdict),
    [model.ATTR_REASON]: verdict.reason,
    [model.ATTR_MODE]: verdict.mode,
    [model.ATTR_EFFECT]: verdict.effect,
    [model.ATTR_EVIDENCE]: "sealed",
    [model.ATTR_ASSURANCE]: verdict.human?.assurance ?? "none",
    [model.ATTR_GATE]: about.call.gate,
    [model.ATTR_SERVER_ID]: about.policy.server,
    [model.ATTR_MCP_METHOD_NAME]: methodText(about.call.method),
    [model.ATTR_POLICY_DIGEST]: about.policy.digest,
  };
  if (verdict.rule !== undefined) out[model.ATTR_POLICY_RULE] = verdict.rule;
  const check = model.deciding(verdict.checks);
  if (check !== undefined) {
    out[model.ATTR_CHECK_COUNT] = verdict.checks?.length ?? 0;
    out[model.ATTR_PERMISSION] = check.permission;
    out[model.ATTR_RESOURCE_TYPE] = check.resource.type;
    out[model.ATTR_ENGINE] = check.engine;
  }
  if (verdict.decision === "error") out[model.ATTR_ERROR_TYPE] = verdict.reason;
  return out;
}
