// Every place of a span where text can be.
import type {
  ResourceSpans,
  Scope,
  ScopeSpans,
  Span,
  SpanEvent,
  SpanLink,
  Traces,
} from "@countersign/pipeline";
import type { Scrubber } from "./scrub-text.ts";

const TRACE_ID = /^(?!0{32})[0-9a-f]{32}$/;
const SPAN_ID = /^(?!0{16})[0-9a-f]{16}$/;
const SCHEMA_URL = /^https:\/\/opentelemetry\.io\/schemas\/\d{1,3}\.\d{1,3}\.\d{1,3}$/;
const NANO = /^\d{1,20}$/;
const MAX_EVENTS = 128;
const MAX_LINKS = 128;

/** The same spans without what must not pass. Members that are not named here are gone: nothing passes by being forgotten. */
export function scrubTraces(batch: Traces, scrub: Scrubber): Traces {
  return { resourceSpans: batch.resourceSpans.map((one) => scrubResourceSpans(one, scrub)) };
}

function scrubResourceSpans(
  { resource, scopeSpans, schemaUrl }: ResourceSpans,
  scrub: Scrubber,
): ResourceSpans {
  return compact<ResourceSpans>({
    resource: resource === undefined ? undefined : scrubAttributes(resource, scrub),
    scopeSpans: (scopeSpans ?? []).map((one) => scrubScopeSpans(one, scrub)),
    schemaUrl: scrubSchemaUrl(schemaUrl, scrub),
  });
}

function scrubScopeSpans({ scope, spans, schemaUrl }: ScopeSpans, scrub: Scrubber): ScopeSpans {
  return compact<ScopeSpans>({
    scope:
      scope === undefined
        ? undefined
        : compact<Scope>({
            name: scrub.text(scope.name),
            version: scrub.text(scope.version),
            ...scrubAttributes(scope, scrub),
          }),
    spans: (spans ?? []).flatMap((span) => scrubSpan(span, scrub)),
    schemaUrl: scrubSchemaUrl(schemaUrl, scrub),
  });
}

/** A span whose ids are none cannot be found by anybody, and an id is no place for text. */
function scrubSpan(span: Span, scrub: Scrubber): readonly Span[] {
  if (!TRACE_ID.test(span.traceId ?? "") || !SPAN_ID.test(span.spanId ?? "")) {
    scrub.count("invalid_id");
    return [];
  }
  if (isSet(span.traceState)) scrub.count("trace_state");
  if (isSet(span.status?.message)) scrub.count("status_message");
  const events = (span.events ?? []).slice(0, MAX_EVENTS);
  const links = (span.links ?? []).slice(0, MAX_LINKS);
  const droppedEvents = (span.events?.length ?? 0) - events.length;
  const droppedLinks = (span.links?.length ?? 0) - links.length;
  return [
    compact<Span>({
      traceId: span.traceId,
      spanId: span.spanId,
      parentSpanId: SPAN_ID.test(span.parentSpanId ?? "") ? span.parentSpanId : undefined,
      flags: span.flags,
      name: scrub.text(span.name) ?? "",
      kind: span.kind,
      startTimeUnixNano: nano(span.startTimeUnixNano),
      endTimeUnixNano: nano(span.endTimeUnixNano),
      ...scrubAttributes(span, scrub),
      events: events.map((event) => scrubEvent(event, scrub)),
      droppedEventsCount: sum(span.droppedEventsCount, droppedEvents),
      links: links.flatMap((link) => scrubLink(link, scrub)),
      droppedLinksCount: sum(span.droppedLinksCount, droppedLinks),
      status: span.status?.code === undefined ? undefined : { code: span.status.code },
    }),
  ];
}

function scrubEvent(event: SpanEvent, scrub: Scrubber): SpanEvent {
  return compact<SpanEvent>({
    timeUnixNano: nano(event.timeUnixNano),
    name: scrub.text(event.name) ?? "",
    ...scrubAttributes(event, scrub),
  });
}

function scrubLink(link: SpanLink, scrub: Scrubber): readonly SpanLink[] {
  if (!TRACE_ID.test(link.traceId ?? "") || !SPAN_ID.test(link.spanId ?? "")) {
    scrub.count("invalid_id");
    return [];
  }
  if (isSet(link.traceState)) scrub.count("trace_state");
  return [
    compact<SpanLink>({
      traceId: link.traceId,
      spanId: link.spanId,
      flags: link.flags,
      ...scrubAttributes(link, scrub),
    }),
  ];
}

type WithAttributes = Pick<Span, "attributes" | "droppedAttributesCount">;

function scrubAttributes(owner: WithAttributes, scrub: Scrubber): WithAttributes {
  const { kept, dropped } = scrub.attributes(owner.attributes);
  return compact<WithAttributes>({
    attributes: kept,
    droppedAttributesCount: sum(owner.droppedAttributesCount, dropped),
  });
}

function scrubSchemaUrl(url: string | undefined, scrub: Scrubber): string | undefined {
  if (!isSet(url) || SCHEMA_URL.test(url as string)) return url;
  scrub.count("schema_url");
  return undefined;
}

function nano(time: string | undefined): string | undefined {
  return time !== undefined && NANO.test(time) ? time : undefined;
}

function isSet(text: string | undefined): boolean {
  return text !== undefined && text !== "";
}

/** Counts stop at what their field can hold. */
function sum(before: number | undefined, more: number): number | undefined {
  return before === undefined && more === 0
    ? undefined
    : Math.min(0xffffffff, (before ?? 0) + more);
}

/** Without members that are undefined. */
function compact<Value extends object>(value: {
  readonly [Key in keyof Value]: Value[Key] | undefined;
}): Value {
  return Object.fromEntries(
    Object.entries(value).filter(([, member]) => member !== undefined),
  ) as Value;
}
