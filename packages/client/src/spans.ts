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
import { isRecord } from "./inject.ts";

/** A request as the client is about to send it. */
export interface OutgoingCall {
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>> | undefined;
  readonly requestId?: number | undefined;
  readonly protocolVersion?: string | undefined;
  readonly transport: "stdio" | "http";
  /** HTTP only: where the request goes. */
  readonly server?: URL | undefined;
  /** The server listed this tool or prompt. */
  readonly nameKnown: boolean;
}

/** Options of the spans. */
export interface SpanOptions {
  /** Default: the global one of `@opentelemetry/api`. */
  readonly tracerProvider?: TracerProvider;
  /** `mcp.resource.uri`. Off by default: a URI can carry a path, a name, a password. */
  readonly resourceUri?: boolean;
}

/** The CLIENT spans of calls, as the attribute contract has them. */
export interface ClientSpans {
  start(call: OutgoingCall, parent: Context): Span;
  /** Ends the span of a request that was answered. */
  answered(span: Span, result: unknown): void;
  /** Ends the span of a request that failed: every JSON-RPC code is an error to a client. No text: it could be payload. */
  failed(span: Span, error: unknown): void;
}

/** Makes the spans. Without an SDK in the process they are the API's no-ops. */
export function createClientSpans(options: SpanOptions = {}): ClientSpans {
  return new TracedRequests(options);
}

class TracedRequests implements ClientSpans {
  // A proxy until the application registers an SDK, so it may do that after us.
  readonly #tracer: Tracer;
  readonly #resourceUri: boolean;

  constructor(options: SpanOptions) {
    this.#tracer = (options.tracerProvider ?? trace).getTracer(model.TRACER_CLIENT);
    this.#resourceUri = options.resourceUri === true;
  }

  start(call: OutgoingCall, parent: Context): Span {
    const name = nameOf(call);
    const attributes = {
      ...callAttributes(call),
      ...namedAttributes(call.method, name),
      ...this.#resource(call),
    };
    return this.#tracer.startSpan(
      name === undefined ? call.method : `${call.method} ${name}`,
      { kind: SpanKind.CLIENT, attributes },
      parent,
    );
  }

  #resource({ params }: OutgoingCall): Attributes {
    const uri = params?.["uri"];
    if (!this.#resourceUri || typeof uri !== "string") return {};
    return {
      [model.ATTR_MCP_RESOURCE_URI]: model.boundText(model.neutralise(uri), MAX_TEXT_BYTES),
    };
  }

  answered(span: Span, result: unknown): void {
    if (isRecord(result) && result["isError"] === true) {
      span.setAttribute(model.ATTR_ERROR_TYPE, "tool_error");
      span.setStatus({ code: SpanStatusCode.ERROR });
    }
    span.end();
  }

  failed(span: Span, error: unknown): void {
    const code =
      isRecord(error) || error instanceof Error ? (error as { code?: unknown }).code : undefined;
    if (Number.isSafeInteger(code))
      span.setAttribute(model.ATTR_RPC_RESPONSE_STATUS_CODE, String(code));
    span.setAttribute(model.ATTR_ERROR_TYPE, errorType(code));
    span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  }
}

const MAX_TEXT_BYTES = 256;
/** C0 names of codes such as `REQUEST_TIMEOUT` or `ECONNREFUSED`; anything else could be somebody's text. */
const CODE_NAME = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

function errorType(code: unknown): string {
  if (Number.isSafeInteger(code)) return String(code);
  return typeof code === "string" && CODE_NAME.test(code) ? code : "_OTHER";
}

/** Methods whose `params.name` is the name of a thing of the server. */
const NAMED: Readonly<Record<string, string>> = {
  "tools/call": model.ATTR_GEN_AI_TOOL_NAME,
  "prompts/get": model.ATTR_GEN_AI_PROMPT_NAME,
};
const VERSION = /^[A-Za-z0-9._-]{1,32}$/;
const SAFE_NAME = /^[A-Za-z0-9_./-]{1,128}$/;

/** A model may call a tool that does not exist, by any text. Known is what the server listed, or what can hold no text. */
function nameOf({ method, params, nameKnown }: OutgoingCall): string | undefined {
  const name = Object.hasOwn(NAMED, method) ? params?.["name"] : undefined;
  if (typeof name !== "string" || name === "") return undefined;
  if (nameKnown) return model.boundText(model.neutralise(name), MAX_TEXT_BYTES);
  return SAFE_NAME.test(name) && model.detect(name) === undefined ? name : undefined;
}

function namedAttributes(method: string, name: string | undefined): Attributes {
  const key = NAMED[method];
  return key === undefined || name === undefined ? {} : { [key]: name };
}

function callAttributes(call: OutgoingCall): Attributes {
  const out: Attributes = {
    [model.ATTR_MCP_METHOD_NAME]: call.method,
    [model.ATTR_NETWORK_TRANSPORT]: call.transport === "stdio" ? "pipe" : "tcp",
  };
  if (call.method === "tools/call") out[model.ATTR_GEN_AI_OPERATION_NAME] = "execute_tool";
  if (call.requestId !== undefined) out[model.ATTR_JSONRPC_REQUEST_ID] = String(call.requestId);
  if (call.protocolVersion !== undefined && VERSION.test(call.protocolVersion)) {
    out[model.ATTR_MCP_PROTOCOL_VERSION] = call.protocolVersion;
  }
  if (call.transport === "http") out[model.ATTR_NETWORK_PROTOCOL_NAME] = "http";
  if (call.server !== undefined) {
    out[model.ATTR_SERVER_ADDRESS] = call.server.hostname;
    out[model.ATTR_SERVER_PORT] = Number(
      call.server.port || (call.server.protocol === "https:" ? 443 : 80),
    );
  }
  return out;
}
