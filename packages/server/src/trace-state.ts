import {
  type Context,
  type Span,
  type SpanContext,
  type SpanOptions,
  type Tracer,
  trace,
} from "@opentelemetry/api";

// A caller's `tracestate` is up to 512 characters of its choice. It travels on with the trace, as W3C Trace Context asks,
// but an exporter writes a span's own trace state out, so ours have none.

/** Starts a span below the one in `parent`, without its trace state. */
export function startWithoutState(
  tracer: Tracer,
  name: string,
  options: SpanOptions,
  parent: Context,
): Span {
  const above = trace.getSpanContext(parent);
  const bare =
    above?.traceState === undefined
      ? parent
      : trace.setSpan(parent, trace.wrapSpanContext(withoutState(above)));
  return tracer.startSpan(name, options, bare);
}

/** `parent` with `span` active. What is injected from it carries the trace state of `parent`. */
export function carryState(parent: Context, span: Span): Context {
  const traceState = trace.getSpanContext(parent)?.traceState;
  if (traceState === undefined) return trace.setSpan(parent, span);
  const carrying = new Proxy(span, {
    get(target, key) {
      if (key === "spanContext") return () => ({ ...target.spanContext(), traceState });
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
  return trace.setSpan(parent, carrying);
}

/** The same context, fit for a span or a link of ours. */
export function withoutState({ traceState: _traceState, ...rest }: SpanContext): SpanContext {
  return rest;
}
