import {
  type Context,
  ROOT_CONTEXT,
  context,
  isSpanContextValid,
  propagation,
  trace,
} from "@opentelemetry/api";

/** A JSON object: not null, not an array. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

type Params = Readonly<Record<string, unknown>>;

/**
 * A copy of `params` whose `_meta` carries the trace context of `of` (SEP-414: `traceparent`, `tracestate`, `baggage`).
 * Everything else in `_meta` stays as the caller wrote it. Without an SDK in the process there is nothing to inject,
 * and `params` comes back as it is.
 */
export function injectInto(of: Context, params: Params | undefined): Params | undefined {
  const carrier: Record<string, string> = {};
  propagation.inject(of, carrier);
  if (Object.keys(carrier).length === 0) return params;
  const meta = params?.["_meta"];
  return { ...params, _meta: { ...(isRecord(meta) ? meta : undefined), ...carrier } };
}

const metaGetter = {
  keys: (meta: Params): string[] => Object.keys(meta),
  get(meta: Params, key: string): string | undefined {
    const value = Object.hasOwn(meta, key) ? meta[key] : undefined;
    return typeof value === "string" ? value : undefined;
  },
};

/**
 * The parent of a request. The active span, if there is one. Else what `_meta` carries already: the retry of a multi-round
 * call over STDIO comes from outside its async context, and repeats the `_meta` of the first leg; so the legs share a trace.
 */
export function parentOf(params: Params | undefined): Context {
  const active = context.active();
  const here = trace.getSpanContext(active);
  const meta = params?.["_meta"];
  if ((here !== undefined && isSpanContextValid(here)) || !isRecord(meta)) return active;
  const carried = trace.getSpanContext(propagation.extract(ROOT_CONTEXT, meta, metaGetter));
  return carried === undefined ? active : trace.setSpanContext(active, carried);
}
