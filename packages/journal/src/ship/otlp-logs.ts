// One event, one OTLP log record (contract, section 7; opentelemetry-proto logs.proto, JSON encoding). The body is the
// sealed bytes; attributes are copies for routing, never authority, and none names a human or a resource.
import {
  ATTR_CHAIN_EPOCH,
  ATTR_CHAIN_SEQ,
  ATTR_DECISION,
  ATTR_EFFECT,
  ATTR_EMITTER,
  ATTR_EVENT_HASH,
  ATTR_EVENT_ID,
  ATTR_GEN_AI_TOOL_NAME,
  ATTR_MCP_METHOD_NAME,
  ATTR_REASON,
  ATTR_TENANT,
  type Chain,
  type CountersignEvent,
  eventName,
  kindOf,
  SCOPE_GATE,
  sha256Hex,
} from "@countersign/model";
import type { SegmentHeader } from "../segment.ts";

/** A log record but for the time of sending, which each attempt sets anew. */
export interface EncodedRecord {
  readonly seq: number;
  /** JSON up to the value of `observedTimeUnixNano`, and after it. */
  readonly before: string;
  readonly after: string;
}

const SEVERITY_INFO = 9;
const SEVERITY_WARN = 13;
const SEVERITY_ERROR = 17;
const TRACEPARENT = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;

/** Encodes the sealed bytes of an event. Throws if they are not an event's: they were damaged and hit the checksum. */
export function encodeRecord(bytes: Uint8Array): EncodedRecord {
  const sealed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  const event = JSON.parse(sealed) as CountersignEvent;
  const chain = (event.data as { readonly chain: Chain }).chain;
  const kind = kindOf(event.type);
  const name = kind === undefined ? "" : eventName(kind);
  const after =
    `","severityNumber":${severity(event)},"eventName":${JSON.stringify(name)},${traceFields(event)}` +
    `"body":{"stringValue":${JSON.stringify(sealed)}},"attributes":[${attributes(event, chain, bytes)}]}`;
  return {
    seq: chain.seq,
    before: `{"timeUnixNano":"${nanos(Date.parse(event.time))}","observedTimeUnixNano":"`,
    after,
  };
}

/** The whole request. */
export function encodeRequest(
  records: readonly EncodedRecord[],
  resource: SegmentHeader,
  nowMs: number,
): string {
  const { service, emitter, tenant, producer } = resource;
  const resourceAttributes = [
    text("service.name", service.name),
    ...(service.version === undefined ? [] : [text("service.version", service.version)]),
    text(ATTR_EMITTER, emitter),
    text(ATTR_TENANT, tenant),
  ].join(",");
  const scope = `{"name":${JSON.stringify(SCOPE_GATE)},"version":${JSON.stringify(producer)}}`;
  const observed = nanos(nowMs);
  const logRecords = records.map(({ before, after }) => before + observed + after).join(",");
  return (
    `{"resourceLogs":[{"resource":{"attributes":[${resourceAttributes}]},` +
    `"scopeLogs":[{"scope":${scope},"logRecords":[${logRecords}]}]}]}`
  );
}

/** Bytes that a record takes in a request. */
export function encodedSize(record: EncodedRecord): number {
  return Buffer.byteLength(record.before) + Buffer.byteLength(record.after) + 20;
}

function nanos(ms: number): string {
  return `${Math.trunc(ms)}000000`;
}

function severity(event: CountersignEvent): number {
  const decision = (event.data as { readonly decision?: string }).decision;
  if (decision === "deny") return SEVERITY_WARN;
  return decision === "error" ? SEVERITY_ERROR : SEVERITY_INFO;
}

function traceFields(event: CountersignEvent): string {
  const traceparent = (event as { readonly traceparent?: string }).traceparent;
  const match = traceparent === undefined ? null : TRACEPARENT.exec(traceparent);
  if (match === null) return "";
  const flags = Number.parseInt(match[3] as string, 16);
  return `"traceId":"${match[1]}","spanId":"${match[2]}","flags":${flags},`;
}

function attributes(event: CountersignEvent, chain: Chain, bytes: Uint8Array): string {
  const { decision, reason, effect, call } = event.data as {
    readonly decision?: string;
    readonly reason?: string;
    readonly effect?: string;
    readonly call?: { readonly method: string; readonly name?: string };
  };
  const list = [
    text(ATTR_EVENT_ID, event.id),
    text(ATTR_EVENT_HASH, sha256Hex(bytes)),
    text(ATTR_CHAIN_EPOCH, chain.epoch),
    `{"key":"${ATTR_CHAIN_SEQ}","value":{"intValue":"${chain.seq}"}}`,
  ];
  if (decision !== undefined) list.push(text(ATTR_DECISION, decision));
  // Only a decision's: an outcome or a `lost` has a `reason` of another kind.
  if (decision !== undefined && reason !== undefined) list.push(text(ATTR_REASON, reason));
  if (effect !== undefined) list.push(text(ATTR_EFFECT, effect));
  if (call !== undefined) list.push(text(ATTR_MCP_METHOD_NAME, call.method));
  if (call?.method === "tools/call" && call.name !== undefined) {
    list.push(text(ATTR_GEN_AI_TOOL_NAME, call.name));
  }
  return list.join(",");
}

function text(key: string, value: string): string {
  return `{"key":"${key}","value":{"stringValue":${JSON.stringify(value)}}}`;
}
