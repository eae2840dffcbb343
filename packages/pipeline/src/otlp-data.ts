// OTLP in memory: the JSON mapping of opentelemetry-proto v1 (ids in hex, 64-bit numbers as decimal strings, bytes in base64),
// whichever encoding it came in. So a nanosecond never loses a digit.

/** One of its members is set, or none: an empty value. */
export interface AnyValue {
  readonly stringValue?: string;
  readonly boolValue?: boolean;
  /** Signed 64 bits, decimal. */
  readonly intValue?: string;
  /** NaN and the infinities as `NaN`, `Infinity`, `-Infinity` (protobuf's JSON mapping). */
  readonly doubleValue?: number | "NaN" | "Infinity" | "-Infinity";
  readonly arrayValue?: { readonly values?: readonly AnyValue[] };
  readonly kvlistValue?: { readonly values?: readonly KeyValue[] };
  /** Base64. */
  readonly bytesValue?: string;
}

/** An attribute. */
export interface KeyValue {
  readonly key?: string;
  readonly value?: AnyValue;
}

/** What produced the data. */
export interface Resource {
  readonly attributes?: readonly KeyValue[];
  readonly droppedAttributesCount?: number;
}

/** The instrumentation that made the data. */
export interface Scope {
  readonly name?: string;
  readonly version?: string;
  readonly attributes?: readonly KeyValue[];
  readonly droppedAttributesCount?: number;
}

/** An event of a span. */
export interface SpanEvent {
  readonly timeUnixNano?: string;
  readonly name?: string;
  readonly attributes?: readonly KeyValue[];
  readonly droppedAttributesCount?: number;
}

/** A link to another span. */
export interface SpanLink {
  readonly traceId?: string;
  readonly spanId?: string;
  readonly traceState?: string;
  readonly attributes?: readonly KeyValue[];
  readonly droppedAttributesCount?: number;
  readonly flags?: number;
}

/** A span. Ids in lower-case hex, times in nanoseconds since 1970 as decimal strings. */
export interface Span {
  readonly traceId?: string;
  readonly spanId?: string;
  readonly traceState?: string;
  readonly parentSpanId?: string;
  readonly flags?: number;
  readonly name?: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind?: number;
  readonly startTimeUnixNano?: string;
  readonly endTimeUnixNano?: string;
  readonly attributes?: readonly KeyValue[];
  readonly droppedAttributesCount?: number;
  readonly events?: readonly SpanEvent[];
  readonly droppedEventsCount?: number;
  readonly links?: readonly SpanLink[];
  readonly droppedLinksCount?: number;
  /** Code 0 unset, 1 ok, 2 error. */
  readonly status?: { readonly message?: string; readonly code?: number };
}

/** Spans of one scope. */
export interface ScopeSpans {
  readonly scope?: Scope;
  readonly spans?: readonly Span[];
  readonly schemaUrl?: string;
}

/** Spans of one resource. */
export interface ResourceSpans {
  readonly resource?: Resource;
  readonly scopeSpans?: readonly ScopeSpans[];
  readonly schemaUrl?: string;
}

/** A log record. */
export interface LogRecord {
  readonly timeUnixNano?: string;
  readonly observedTimeUnixNano?: string;
  readonly severityNumber?: number;
  readonly severityText?: string;
  readonly body?: AnyValue;
  readonly attributes?: readonly KeyValue[];
  readonly droppedAttributesCount?: number;
  readonly flags?: number;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly eventName?: string;
}

/** Log records of one scope. */
export interface ScopeLogs {
  readonly scope?: Scope;
  readonly logRecords?: readonly LogRecord[];
  readonly schemaUrl?: string;
}

/** Log records of one resource. */
export interface ResourceLogs {
  readonly resource?: Resource;
  readonly scopeLogs?: readonly ScopeLogs[];
  readonly schemaUrl?: string;
}
