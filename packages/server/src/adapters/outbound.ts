import {
  type Attributes,
  type Span,
  SpanKind,
  SpanStatusCode,
  context,
  trace,
} from "@opentelemetry/api";
import * as model from "@countersign/model";
import { injectInto, isRecord } from "../propagate.ts";
import { enforcerOf, isClient, ownerOf } from "./inbound.ts";
import { isLocal } from "./transport.ts";

/** The requests that a server may send to its client. Nothing of it is gated: CLIENT span only (contract, section 5). */
interface OutgoingRequest {
  readonly method: string;
  readonly params?: Record<string, unknown>;
}

type Send = (this: object, ...given: unknown[]) => unknown;

const PATCHED: unique symbol = Symbol.for("@countersign/server outbound") as never;

/**
 * Gives the requests that a server sends (sampling, elicitation, roots) a CLIENT span and trace context.
 * `name` is the funnel of that SDK generation, `position` where the request stands among its arguments.
 */
export function patchOutbound(target: object, name: string, position: number): boolean {
  const owner = ownerOf(target, name) as (Record<string, Send> & { [PATCHED]?: true }) | undefined;
  const original = owner?.[name];
  if (owner === undefined || typeof original !== "function") return false;
  if (Object.hasOwn(owner, PATCHED)) return true;
  owner[name] = function tracedRequest(this: object, ...given) {
    if (enforcerOf(this) === undefined || isClient(this)) return original.apply(this, given);
    const request = given[position] as OutgoingRequest;
    const span = trace.getTracer(model.TRACER_SERVER).startSpan(request.method, {
      kind: SpanKind.CLIENT,
      attributes: attributesOf(this, request),
    });
    const active = trace.setSpan(context.active(), span);
    const params = injectInto(active, request.params);
    given[position] = params === undefined ? request : { ...request, params };
    return watch(span, () => context.with(active, () => original.apply(this, given)));
  };
  Object.defineProperty(owner, PATCHED, { value: true });
  return true;
}

function attributesOf(self: object, { method }: OutgoingRequest): Attributes {
  const { _requestMessageId: id, _transport: transport } = self as {
    _requestMessageId?: unknown;
    _transport?: object;
  };
  return {
    [model.ATTR_MCP_METHOD_NAME]: method,
    [model.ATTR_NETWORK_TRANSPORT]: isLocal(transport) ? "pipe" : "tcp",
    // The SDK gives out its ids one by one, and has not given out this one yet.
    ...(typeof id === "number" ? { [model.ATTR_JSONRPC_REQUEST_ID]: String(id) } : {}),
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
  const code =
    error instanceof Error || isRecord(error) ? (error as { code?: unknown }).code : undefined;
  if (Number.isSafeInteger(code))
    span.setAttribute(model.ATTR_RPC_RESPONSE_STATUS_CODE, String(code));
  span.setAttribute(model.ATTR_ERROR_TYPE, Number.isSafeInteger(code) ? String(code) : "_OTHER");
  span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}
