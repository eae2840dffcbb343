// The four names that tell the rest of the world an item is ours, and everything derived from them. They are spelt here
// and nowhere else, so that a fork changes one file.
import type { EventKind } from "./event.ts";

/** First of the four names: reverse DNS, for event types, `_meta` keys, and scope names. */
export const NAME_DNS = "dev.countersign";
/** Second: URN namespace of sources, schemas, and our own issuers. */
export const NAME_URN = "urn:countersign";
/** Third: prefix of span, log and resource attributes. */
export const NAME_ATTRIBUTE = "countersign.";
/** Fourth: prefix of our record headers. */
export const NAME_HEADER = "cs_";

/** Start of every event type: `dev.countersign.<kind>.v1`. */
export const EVENT_TYPE_PREFIX: string = `${NAME_DNS}.`;
/** `source` of an event made by an emitter, before its name. */
export const EMITTER_SOURCE_PREFIX: string = `${NAME_URN}:emitter:`;
/** `source` of an event made by a processor, before the component's id. */
export const CONNECTOR_SOURCE_PREFIX: string = `${NAME_URN}:connector:`;
/** `$id` of the published schema of all sealed events. */
export const EVENT_SCHEMA_ID: string = `${NAME_URN}:schema:event:1`;
/** Issuer of a human that was only asserted by the environment. */
export const ASSERTED_ISSUER: string = `${NAME_URN}:asserted`;
/** Issuer prefix of a human known by the account of the operating system. */
export const OS_ISSUER: string = `${NAME_URN}:os`;
/** `_meta` key under which a denied `tools/call` finds its decision id. */
export const META_DENIAL: string = `${NAME_DNS}/denial`;
/** `_meta` key of a call proof. Taken out before anything but the gate sees it. */
export const META_CALL_PROOF: string = `${NAME_DNS}/call-proof`;
/** `apiVersion` of what a credential helper prints. */
export const EXEC_API_VERSION: string = `${NAME_DNS}/v1`;
/** Tracer of the client side. */
export const TRACER_CLIENT: string = `${NAME_DNS}.client`;
/** Tracer of the server side: SERVER and `authorize` spans. */
export const TRACER_SERVER: string = `${NAME_DNS}.server`;
/** Tracer of the gate (`check` spans), and scope of the OTLP log records that carry events. */
export const SCOPE_GATE: string = `${NAME_DNS}.gate`;

/** CloudEvents `type` of a kind. */
export function eventType(kind: EventKind): string {
  return `${EVENT_TYPE_PREFIX}${kind}.v1`;
}

/** CloudEvents `dataschema` of a kind. */
export function dataSchema(kind: EventKind): string {
  return `${NAME_URN}:schema:${kind}:1`;
}

/** OTLP `eventName` of a kind: `countersign.<kind>`. */
export function eventName(kind: EventKind): string {
  return `${NAME_ATTRIBUTE}${kind}`;
}

const KINDS: ReadonlySet<string> = new Set<EventKind>([
  "start",
  "decision",
  "outcome",
  "heartbeat",
  "lost",
  "stop",
  "withheld",
  "finding",
]);

/** The kind that a CloudEvents `type` names; undefined for another product, major, or an unknown kind. */
export function kindOf(type: unknown): EventKind | undefined {
  if (typeof type !== "string" || !type.startsWith(EVENT_TYPE_PREFIX) || !type.endsWith(".v1")) {
    return undefined;
  }
  const kind = type.slice(EVENT_TYPE_PREFIX.length, -".v1".length);
  return KINDS.has(kind) ? (kind as EventKind) : undefined;
}
