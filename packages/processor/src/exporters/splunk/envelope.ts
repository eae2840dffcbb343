// What HEC takes: JSON objects one after the other, not an array, each an event with its metadata around it.
import type { SealedEvent } from "@countersign/model";
import type { Format } from "../../formats/format.ts";
import type { Mapped } from "../mapped.ts";

/** One event as HEC wants it: `head`, `event`, and a closing brace. */
export interface HecEvent {
  /** Its place in the batch. */
  readonly index: number;
  /** ASCII. */
  readonly head: string;
  /** The value of `event`: the format's own bytes, or those as a JSON string. */
  readonly event: Uint8Array;
}

/** What is the same for all events of an exporter. */
export interface EnvelopeOptions {
  readonly format: Format;
  /** Absent: the event's own `source`. */
  readonly source?: string;
  readonly sourcetype: string;
  /** Absent: the token's own. */
  readonly index?: string;
}

/** Puts an event into its envelope. The sealed bytes are not parsed, and not changed. */
export function hecEnvelope(options: EnvelopeOptions): (mapped: Mapped) => HecEvent {
  const { format, source, sourcetype, index } = options;
  const wrap = format.shape === "text" ? asJsonText : (line: Uint8Array) => line;
  const fixedSource = source === undefined ? undefined : jsonText(source);
  const places = remembered((own: string) => {
    const host = own.slice(own.lastIndexOf(":") + 1);
    return `"host":${jsonText(host)},"source":${fixedSource ?? jsonText(own)},`;
  });
  const where = index === undefined ? "" : `"index":${jsonText(index)},`;
  const kind = `"sourcetype":${jsonText(sourcetype)},${where}"fields":{"event_format":${jsonText(format.version)},"event_uid":`;
  return ({ index: at, event, line }) => ({
    index: at,
    head: `{${hecTime(event)}${places(event.event.source)}${kind}${jsonText(event.event.id)},"event_hash":"${event.hash}"},"event":`,
    event: wrap(line),
  });
}

/** Bytes of an event in a body. */
export function hecSize({ head, event }: HecEvent): number {
  return head.length + event.length + 1;
}

/** The body of one request, in one piece of memory. */
export function hecBody(events: readonly HecEvent[]): Buffer {
  let size = 0;
  for (const event of events) size += hecSize(event);
  const body = Buffer.allocUnsafe(size);
  let at = 0;
  for (const { head, event } of events) {
    at += body.write(head, at, "latin1");
    body.set(event, at);
    at += event.length;
    body[at] = 0x7d;
    at += 1;
  }
  return body;
}

/** Seconds since 1970 with three digits. A time that is none is left to Splunk, which takes the time of arrival. */
function hecTime({ event }: SealedEvent): string {
  const ms = Date.parse(event.time);
  if (!(ms >= 0)) return "";
  return `"time":${Math.floor(ms / 1000)}.${String(ms % 1000).padStart(3, "0")},`;
}

const PLAIN = /^[\w .:/@+-]*$/;

/** A JSON string in ASCII, so that its length is its size. */
function jsonText(text: string): string {
  if (PLAIN.test(text)) return `"${text}"`;
  return JSON.stringify(text).replaceAll(
    /[^\u0020-\u007e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function asJsonText(line: Uint8Array): Uint8Array {
  return Buffer.from(JSON.stringify(Buffer.from(line).toString("utf8")), "utf8");
}

/** Emitters are few: what was made for one is kept, up to a thousand of them. */
function remembered(make: (key: string) => string): (key: string) => string {
  const known = new Map<string, string>();
  return (key) => {
    const before = known.get(key);
    if (before !== undefined) return before;
    const made = make(key);
    if (known.size < 1000) known.set(key, made);
    return made;
  };
}
