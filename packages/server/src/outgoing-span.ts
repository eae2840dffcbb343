import {
  type Attributes,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TracerProvider,
  context,
  trace,
} from "@opentelemetry/api";
import * as model from "@countersign/model";
import { isRecord } from "./json.ts";
import { injectInto } from "./propagate.ts";
import { carryState, startWithoutState } from "./trace-state.ts";

/** A request that a server sends to its client. Nothing of it is gated: CLIENT span only (contract, section 5). */
export interface OutgoingRequest {
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>> | undefined;
  readonly requestId?: number | undefined;
  readonly transport: "stdio" | "http";
}

/** The span of a request on its way. */
export interface OutgoingSpan {
  /** What to send: a copy of the params with trace context in `_meta`. */
  readonly params: Readonly<Record<string, unknown>> | undefined;
  /** Sends with the span active, and ends it when the answer is there. What `send` gives or throws goes back untouched. */
  run(send: () => unknown): unknown;
}

/** Starts the CLIENT span of a request that the server sends. */
export function startOutgoing(
  request: OutgoingRequest,
  provider: TracerProvider = trace.getTracerProvider(),
): OutgoingSpan {
  const span = startWithoutState(
    provider.getTracer(model.TRACER_SERVER),
    request.method,
    { kind: SpanKind.CLIENT, attributes: attributesOf(request) },
    context.active(),
  );
  const active = carryState(context.active(), span);
  return {
    params: injectInto(active, request.params),
    run: (send) => watch(span, () => context.with(active, send)),
  };
}

function attributesOf({ method, requestId, transport }: OutgoingRequest): Attributes {
  return {
    [model.ATTR_MCP_METHOD_NAME]: method,
    [model.ATTR_NETWORK_TRANSPORT]: transport === "stdio" ? "pipe" : "tcp",
    ...(requestId === undefined ? {} : { [model.ATTR_JSONRPC_REQUEST_ID]: String(requestId) }),
  };
}

function watch(span: Span, send: () => unknown): unknown {
  try {
    const sent = send();
    void Promise.resolve(sent).then(
      () => span.end(),
      (error: unknown) => failed(span, error),
    );
    return sent;
  } catch (error) {
    failed(span, error);
    throw error;
  }
}

function failed(span: Span, error: unknown): void {
  const { code } = (isRecord(error) || error instanceof Error ? error : {}) as { code?: unknown };
  const known = Number.isSafeInteger(code);
  if (known) span.setAttribute(model.ATTR_RPC_RESPONSE_STATUS_CODE, String(code));
  span.setAttribute(model.ATTR_ERROR_TYPE, known ? String(code) : "_OTHER");
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}
