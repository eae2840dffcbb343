// Spans of a real SDK for tests.
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace, TraceFlags } from "@opentelemetry/api";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { type ReadableSpan, type SpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

type Attributes = Parameters<typeof resourceFromAttributes>[0];

/** What a span is made of. */
export interface SpanFields {
  readonly name: string;
  readonly attributes?: Attributes;
  readonly resource?: Attributes;
  readonly events?: readonly { readonly name: string; readonly attributes?: Attributes }[];
  readonly links?: readonly Attributes[];
  readonly statusMessage?: string;
  readonly startTime?: [number, number];
}

const LINKED = { traceId: "c".repeat(32), spanId: "d".repeat(16), traceFlags: TraceFlags.SAMPLED };

/** Spans that a real tracer ended. */
export function sdkSpans(fields: readonly SpanFields[]): ReadableSpan[] {
  const spans: ReadableSpan[] = [];
  for (const one of fields) {
    const provider = new TracerProvider({
      resource: resourceFromAttributes({ "service.name": "tickets", ...one.resource }),
      spanProcessors: [keepIn(spans)],
    });
    const span = provider.getTracer("dev.countersign.test", "0.1.0").startSpan(
      one.name,
      {
        kind: SpanKind.SERVER,
        attributes: one.attributes ?? {},
        startTime: one.startTime ?? [1_795_338_003, 412_000_001],
        links: (one.links ?? []).map((attributes) => ({
          context: LINKED,
          attributes: attributes ?? {},
        })),
      },
      trace.setSpanContext(ROOT_CONTEXT, { ...LINKED, spanId: "e".repeat(16) }),
    );
    for (const event of one.events ?? [])
      span.addEvent(event.name, event.attributes ?? {}, [1_795_338_003, 500_000_007]);
    if (one.statusMessage !== undefined)
      span.setStatus({ code: SpanStatusCode.ERROR, message: one.statusMessage });
    span.end([1_795_338_004, 999_999_999]);
  }
  return spans;
}

function keepIn(spans: ReadableSpan[]): SpanProcessor {
  return {
    onStart: () => undefined,
    onEnd: (span) => void spans.push(span),
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
}
