import type { SpanView } from "@countersign/console";
import type { AnyValue, KeyValue, Span } from "@countersign/pipeline";

const KINDS: readonly SpanView["kind"][] = [
  "internal",
  "internal",
  "server",
  "client",
  "producer",
  "consumer",
];
const STATUSES: readonly SpanView["status"][] = ["unset", "ok", "error"];

/** A span as the console shows it. Microseconds: nanoseconds since 1970 do not fit into a number. */
export function spanView(span: Span, service: string | undefined): SpanView {
  const start = BigInt(span.startTimeUnixNano ?? "0");
  const end = BigInt(span.endTimeUnixNano ?? "0");
  return {
    spanId: span.spanId ?? "",
    ...(span.parentSpanId === undefined || span.parentSpanId === ""
      ? {}
      : { parentSpanId: span.parentSpanId }),
    name: span.name ?? "",
    kind: KINDS[span.kind ?? 0] ?? "internal",
    ...(service === undefined ? {} : { service }),
    startUs: Number(start / 1000n),
    durationUs: end > start ? Number((end - start) / 1000n) : 0,
    status: STATUSES[span.status?.code ?? 0] ?? "unset",
    attributes: attributesOf(span.attributes ?? []),
  };
}

function attributesOf(attributes: readonly KeyValue[]): SpanView["attributes"] {
  const plain: Record<string, string | number | boolean> = Object.create(null) as Record<
    string,
    string
  >;
  for (const { key, value } of attributes) {
    const read = plainValue(value);
    if (key !== undefined && read !== undefined) plain[key] = read;
  }
  return plain;
}

function plainValue(value: AnyValue | undefined): string | number | boolean | undefined {
  if (value === undefined) return undefined;
  if (value.stringValue !== undefined) return value.stringValue;
  if (value.boolValue !== undefined) return value.boolValue;
  if (value.intValue !== undefined) {
    const number = Number(value.intValue);
    return Number.isSafeInteger(number) ? number : value.intValue;
  }
  if (value.doubleValue !== undefined) return value.doubleValue;
  const list = value.arrayValue?.values;
  return list === undefined
    ? undefined
    : list.map((item) => String(plainValue(item) ?? "")).join(", ");
}
