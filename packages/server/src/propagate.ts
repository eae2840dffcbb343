import {
  type Context,
  type Link,
  ROOT_CONTEXT,
  type SpanContext,
  TraceFlags,
  context,
  isSpanContextValid,
  propagation,
  trace,
} from "@opentelemetry/api";
import { isRecord } from "./json.ts";
import { withoutState } from "./trace-state.ts";

/** Where a SERVER span hangs: its parent, and a link when the process already had an active (HTTP) span. */
export interface Parent {
  readonly context: Context;
  readonly links: readonly Link[];
}

const metaGetter = {
  keys: (carrier: Readonly<Record<string, unknown>>): string[] => Object.keys(carrier),
  get(carrier: Readonly<Record<string, unknown>>, key: string): string | undefined {
    const value = Object.hasOwn(carrier, key) ? carrier[key] : undefined;
    return typeof value === "string" ? value : undefined;
  },
};

/**
 * The caller's trace context, out of `params._meta` (SEP-414), by the propagators that the application configured.
 * It wins over the ambient span, which becomes a link (semantic conventions for MCP, "context propagation").
 * The values are the caller's choice: a key to join by, never evidence and never identity.
 */
export function parentOf(meta: Readonly<Record<string, unknown>> | undefined): Parent {
  const ambient = context.active();
  if (meta === undefined) return { context: ambient, links: [] };
  const extracted = propagation.extract(ROOT_CONTEXT, meta, metaGetter);
  const remote = trace.getSpanContext(extracted) ?? parseTraceparent(meta["traceparent"]);
  if (remote === undefined || !isSpanContextValid(remote)) return { context: ambient, links: [] };
  const here = trace.getSpanContext(ambient);
  const links =
    here !== undefined && isSpanContextValid(here) ? [{ context: withoutState(here) }] : [];
  const baggage = propagation.getBaggage(extracted);
  const parent = trace.setSpanContext(ambient, remote);
  return {
    context: baggage === undefined ? parent : propagation.setBaggage(parent, baggage),
    links,
  };
}

/**
 * Without an SDK in this process the API extracts nothing; the event should still be joined to the caller's trace.
 * Version `00` of W3C Trace Context; a later version is read as its first four fields, as section 3.2.2 asks.
 */
function parseTraceparent(value: unknown): SpanContext | undefined {
  if (typeof value !== "string" || value.length > 256) return undefined;
  const match = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/.exec(
    value,
  );
  if (match === null) return undefined;
  const [, traceId, spanId, flags] = match as unknown as [string, string, string, string];
  return {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & TraceFlags.SAMPLED,
    isRemote: true,
  };
}

/** The trace id in the caller's own `traceparent`, whatever propagators this application has: a call proof names it. */
export function traceIdOf(meta: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const parent =
    meta === undefined ? undefined : parseTraceparent(metaGetter.get(meta, "traceparent"));
  return parent !== undefined && isSpanContextValid(parent) ? parent.traceId : undefined;
}

/** The `traceparent` of a span, or undefined without a valid context. Never the `tracestate`: free text of the caller. */
export function traceparentOf(span: SpanContext): string | undefined {
  if (!isSpanContextValid(span)) return undefined;
  return `00-${span.traceId}-${span.spanId}-${(span.traceFlags & 0xff).toString(16).padStart(2, "0")}`;
}

/** A copy of `params` with the context of `of` in its `_meta`. What the caller put there stays, but for the trace keys. */
export function injectInto(
  of: Context,
  params: Readonly<Record<string, unknown>> | undefined,
): Record<string, unknown> | undefined {
  const carrier: Record<string, string> = {};
  propagation.inject(of, carrier);
  if (Object.keys(carrier).length === 0) return params;
  const meta = params?.["_meta"];
  return { ...params, _meta: { ...(isRecord(meta) ? meta : undefined), ...carrier } };
}
