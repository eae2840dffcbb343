// OTLP's messages as data: one description for both codecs. Field numbers are those of opentelemetry-proto v1 (1.11).
import { WIRE } from "./wire.ts";

/** How a field is written. `nano` and `int64` are decimal strings in memory, `hex` and `base64` are bytes on the wire. */
export type ScalarType =
  | "string"
  | "bool"
  | "uint32"
  | "enum"
  | "int64"
  | "fixed64"
  | "fixed32"
  | "double"
  | "hex"
  | "base64";

/** Wire type of each scalar. */
const WIRE_OF: Readonly<Record<ScalarType, number>> = {
  string: WIRE.bytes,
  hex: WIRE.bytes,
  base64: WIRE.bytes,
  bool: WIRE.varint,
  uint32: WIRE.varint,
  enum: WIRE.varint,
  int64: WIRE.varint,
  fixed64: WIRE.fixed64,
  double: WIRE.fixed64,
  fixed32: WIRE.fixed32,
};

/** The wire type that a field must have. */
export function wireTypeOf({ type }: Field): number {
  return typeof type === "string" ? WIRE_OF[type] : WIRE.bytes;
}

/** One field of a message. */
export interface Field {
  readonly number: number;
  /** In JSON and in memory. */
  readonly name: string;
  readonly type: ScalarType | Message;
  readonly repeated?: true;
  /** Part of a `oneof`: written even when it has its default value. */
  readonly choice?: true;
}

/** A message. */
export interface Message {
  readonly name: string;
  readonly fields: readonly Field[];
}

const field = (number: number, name: string, type: Field["type"]): Field => ({
  number,
  name,
  type,
});
const list = (number: number, name: string, type: Field["type"]): Field => ({
  number,
  name,
  type,
  repeated: true,
});

const anyFields: Field[] = [];
/** `AnyValue`: one of its fields, or none. */
export const ANY_VALUE: Message = { name: "AnyValue", fields: anyFields };
/** `KeyValue`. */
export const KEY_VALUE: Message = {
  name: "KeyValue",
  fields: [field(1, "key", "string"), field(2, "value", ANY_VALUE)],
};
/** `ArrayValue`. */
export const ARRAY_VALUE: Message = { name: "ArrayValue", fields: [list(1, "values", ANY_VALUE)] };
/** `KeyValueList`. */
export const KEY_VALUE_LIST: Message = {
  name: "KeyValueList",
  fields: [list(1, "values", KEY_VALUE)],
};

// AnyValue holds lists of itself, so its fields come after it. `string_value_strindex` (8) is for profiles: unknown here.
const choices: readonly (readonly [number, string, Field["type"]])[] = [
  [1, "stringValue", "string"],
  [2, "boolValue", "bool"],
  [3, "intValue", "int64"],
  [4, "doubleValue", "double"],
  [5, "arrayValue", ARRAY_VALUE],
  [6, "kvlistValue", KEY_VALUE_LIST],
  [7, "bytesValue", "base64"],
];
for (const [number, name, type] of choices) anyFields.push({ number, name, type, choice: true });

const attributes = (number: number): Field => list(number, "attributes", KEY_VALUE);
const dropped = (number: number, what: string): Field =>
  field(number, `dropped${what}Count`, "uint32");

const resource: Message = { name: "Resource", fields: [attributes(1), dropped(2, "Attributes")] };

const scope: Message = {
  name: "InstrumentationScope",
  fields: [
    field(1, "name", "string"),
    field(2, "version", "string"),
    attributes(3),
    dropped(4, "Attributes"),
  ],
};

const spanEvent: Message = {
  name: "Span.Event",
  fields: [
    field(1, "timeUnixNano", "fixed64"),
    field(2, "name", "string"),
    attributes(3),
    dropped(4, "Attributes"),
  ],
};

const spanLink: Message = {
  name: "Span.Link",
  fields: [
    field(1, "traceId", "hex"),
    field(2, "spanId", "hex"),
    field(3, "traceState", "string"),
    attributes(4),
    dropped(5, "Attributes"),
    field(6, "flags", "fixed32"),
  ],
};

const span: Message = {
  name: "Span",
  fields: [
    field(1, "traceId", "hex"),
    field(2, "spanId", "hex"),
    field(3, "traceState", "string"),
    field(4, "parentSpanId", "hex"),
    field(5, "name", "string"),
    field(6, "kind", "enum"),
    field(7, "startTimeUnixNano", "fixed64"),
    field(8, "endTimeUnixNano", "fixed64"),
    attributes(9),
    dropped(10, "Attributes"),
    list(11, "events", spanEvent),
    dropped(12, "Events"),
    list(13, "links", spanLink),
    dropped(14, "Links"),
    field(15, "status", {
      name: "Status",
      fields: [field(2, "message", "string"), field(3, "code", "enum")],
    }),
    field(16, "flags", "fixed32"),
  ],
};

const logRecord: Message = {
  name: "LogRecord",
  fields: [
    field(1, "timeUnixNano", "fixed64"),
    field(2, "severityNumber", "enum"),
    field(3, "severityText", "string"),
    field(5, "body", ANY_VALUE),
    attributes(6),
    dropped(7, "Attributes"),
    field(8, "flags", "fixed32"),
    field(9, "traceId", "hex"),
    field(10, "spanId", "hex"),
    field(11, "observedTimeUnixNano", "fixed64"),
    field(12, "eventName", "string"),
  ],
};

function perScope(name: string, items: string, item: Message): Message {
  return {
    name,
    fields: [field(1, "scope", scope), list(2, items, item), field(3, "schemaUrl", "string")],
  };
}

function perResource(name: string, items: string, item: Message): Message {
  return {
    name,
    fields: [field(1, "resource", resource), list(2, items, item), field(3, "schemaUrl", "string")],
  };
}

/** `ExportTraceServiceRequest`. */
export const TRACE_REQUEST: Message = {
  name: "ExportTraceServiceRequest",
  fields: [
    list(
      1,
      "resourceSpans",
      perResource("ResourceSpans", "scopeSpans", perScope("ScopeSpans", "spans", span)),
    ),
  ],
};

/** `ExportLogsServiceRequest`. */
export const LOGS_REQUEST: Message = {
  name: "ExportLogsServiceRequest",
  fields: [
    list(
      1,
      "resourceLogs",
      perResource("ResourceLogs", "scopeLogs", perScope("ScopeLogs", "logRecords", logRecord)),
    ),
  ],
};

/** `ExportTraceServiceResponse`. */
export const TRACE_RESPONSE: Message = {
  name: "ExportTraceServiceResponse",
  fields: [
    field(1, "partialSuccess", {
      name: "PartialSuccess",
      fields: [field(1, "rejectedSpans", "int64"), field(2, "errorMessage", "string")],
    }),
  ],
};

/** `google.rpc.Status` without details. */
export const RPC_STATUS: Message = {
  name: "Status",
  fields: [field(1, "code", "enum"), field(2, "message", "string")],
};

/** Messages within messages: OTLP itself needs 9, values may nest in values. */
export const MAX_DEPTH = 64;

/** What a decoder gives. */
export interface Decoded<Value> {
  readonly value: Value;
  /** Fields that are none of OTLP's, dropped. */
  readonly unknownFields: number;
}
