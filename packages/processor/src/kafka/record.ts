// Events, letters and receipts as records, and back (contract, section 7).
import {
  CONNECTOR_SOURCE_PREFIX,
  CountersignError,
  type CountersignEvent,
  detect,
  NAME_HEADER,
  type SealedEvent,
  unseal,
  validateOpen,
} from "@countersign/model";
import type { Letter, Receipt } from "@countersign/pipeline";
import type { Header, LogRecord, StoredRecord } from "./port.ts";

const CONTENT_TYPE_HEADER: Header = ["content-type", "application/cloudevents+json; charset=UTF-8"];
const SPECVERSION_HEADER: Header = ["ce_specversion", "1.0"];
const HASH_HEADER = `${NAME_HEADER}hash`;
const RECEIVED_HEADER = `${NAME_HEADER}received`;

// Where events and poisoned values came from: a dead letter has the same key and headers. Held as long as they are. Events carry it
// themselves: the garbage collector looks at every entry of a weak map, and nearly every record is an event.
const PLACE: unique symbol = Symbol("place");
const poisoned = new WeakMap<object, StoredRecord>();

interface Placed {
  [PLACE]?: StoredRecord;
}

/** Where a record was read that an event, or a value that is none, came from. */
export function placeOf(origin: object): StoredRecord | undefined {
  return (origin as Placed)[PLACE] ?? poisoned.get(origin);
}

/** Key of an event: what has the same key keeps its order. What is about an emitter's event stands in the order of that emitter. */
function keyOf(event: CountersignEvent): string {
  const { tenant } = event.data;
  return `${tenant}/${emitterOf(event) ?? makerOf(event)}`;
}

function emitterOf({ data }: CountersignEvent): string | undefined {
  if ("chain" in data && data.chain !== undefined) return data.chain.emitter;
  return "of" in data ? data.of.emitter : undefined;
}

/** What was made by a component has no chain: its order is that of the component. */
function makerOf({ source }: CountersignEvent): string {
  return source.startsWith(CONNECTOR_SOURCE_PREFIX)
    ? source.slice(CONNECTOR_SOURCE_PREFIX.length)
    : source;
}

/** Records of sealed events. What several of them say is made once. */
export function eventRecords(events: readonly SealedEvent[], receivedMs: number): LogRecord[] {
  const received = receivedHeader(receivedMs);
  const keys = new Map<string, Uint8Array>();
  return events.map((sealed) => {
    const text = keyOf(sealed.event);
    let key = keys.get(text);
    if (key === undefined) keys.set(text, (key = Buffer.from(text)));
    return recordOf(sealed, key, received);
  });
}

/** A sealed event: the value is its bytes, the headers are copies for routing, never authority. */
export function eventRecord(sealed: SealedEvent, receivedMs: number): LogRecord {
  return recordOf(sealed, Buffer.from(keyOf(sealed.event)), receivedHeader(receivedMs));
}

function receivedHeader(receivedMs: number): Header {
  return [RECEIVED_HEADER, String(receivedMs)];
}

function recordOf(
  { event, bytes, hash }: SealedEvent,
  key: Uint8Array,
  received: Header,
): LogRecord {
  return {
    key,
    value: bytes,
    headers: [
      CONTENT_TYPE_HEADER,
      SPECVERSION_HEADER,
      ["ce_id", event.id],
      ["ce_source", event.source],
      ["ce_type", event.type],
      ["ce_time", event.time],
      [HASH_HEADER, hash],
      received,
    ],
  };
}

/** A letter: key, value and headers of the original where there are any, and why it is here. */
export function letterRecord(letter: Letter): LogRecord {
  const { event, bytes, hash, component } = letter;
  const place = original(letter);
  const made = place ?? (event === undefined ? undefined : eventRecord(event, letter.timeMs));
  const key = made?.key ?? Buffer.from(hash ?? component);
  const headers = new Map<string, Uint8Array | string>(made?.headers);
  for (const [name, value] of reasons(letter, place)) {
    headers.set(`${NAME_HEADER}dlq_${name}`, value);
  }
  return { key, value: bytes ?? null, headers: [...headers] };
}

function original({ event, bytes }: Letter): StoredRecord | undefined {
  return (event && placeOf(event)) ?? (bytes && placeOf(bytes));
}

function reasons(letter: Letter, stored: StoredRecord | undefined): [string, string][] {
  const { reason, component, sink, attempts = 1, timeMs, detail, hash, size, count } = letter;
  const topic = stored?.topic ?? letter.place?.log;
  const partition = stored?.partition ?? letter.place?.partition;
  const offset = stored?.offset ?? letter.place?.offset;
  const found: [string, string | number | bigint | undefined][] = [
    ["reason", reason],
    ["component", component],
    ["sink", sink],
    ["topic", topic],
    ["partition", partition],
    ["offset", offset],
    ["attempts", attempts],
    ["time", new Date(timeMs).toISOString()],
    ["detail", detail],
    ["hash", hash],
    ["size", size],
    ["count", count],
  ];
  return found.flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]));
}

/** A receipt; the key is what it is about. */
export function receiptRecord(receipt: Receipt): LogRecord {
  return {
    key: Buffer.from(`${receipt.sink}/${receipt.log}/${receipt.partition}`),
    value: Buffer.from(JSON.stringify(receipt)),
    headers: [["content-type", "application/json"]],
  };
}

/** Why a record is no event. Closed; the words stand in dead letters. */
export type Poison = "value_missing" | "not_sealed" | "hash_mismatch" | "schema_invalid";

/** The event of a record, or why there is none. */
export type ReadRecord =
  | { readonly event: SealedEvent }
  | { readonly poison: Poison; readonly detail?: string; readonly hash?: string };

/** Reads a record. Its bytes rule: a header that contradicts them is a fault, a header that is missing is none. */
export function readRecord(record: StoredRecord): ReadRecord {
  const read = eventIn(record);
  if ("event" in read) (read.event as Placed)[PLACE] = record;
  else if (record.value !== null) poisoned.set(record.value, record);
  return read;
}

function eventIn({ value, headers }: StoredRecord): ReadRecord {
  if (value === null) return { poison: "value_missing" };
  let event: SealedEvent;
  try {
    event = unseal(value);
  } catch (error) {
    if (!(error instanceof CountersignError)) throw error;
    return { poison: "not_sealed", detail: error.message };
  }
  const said = headers.get(HASH_HEADER);
  if (said !== undefined && Buffer.from(said).toString("latin1") !== event.hash)
    return { poison: "hash_mismatch", hash: event.hash };
  const [problem] = validateOpen(event.event);
  if (problem !== undefined) {
    const detail = `${problem.path} ${problem.message}`;
    return { poison: "schema_invalid", detail, hash: event.hash };
  }
  return { event };
}

/**
 * The letter of a record that is no event. Where the free text is in it nobody knows: if a detector fires on any of it, the
 * letter has its place in the topic and nothing of its content.
 */
export function poisonLetter(
  record: StoredRecord,
  why: Extract<ReadRecord, { poison: Poison }>,
  component: string,
): Letter {
  const { value, topic, partition, offset } = record;
  const leak = leakIn(record);
  const detail = leak === undefined ? why.detail : `${leak}; the original is not copied`;
  return {
    reason: why.poison,
    component,
    timeMs: Date.now(),
    place: { log: topic, partition, offset },
    ...(detail === undefined ? {} : { detail }),
    ...(why.hash === undefined ? {} : { hash: why.hash }),
    ...(value === null || leak !== undefined ? {} : { bytes: value, size: value.length }),
  };
}

/** Part by part: digits at the end of one and the start of the next are no card. */
function leakIn({ key, value, headers }: StoredRecord): ReturnType<typeof detect> {
  for (const part of [key, value, ...headers.keys(), ...headers.values()]) {
    const leak = part === null ? undefined : detect(Buffer.from(part).toString("utf8"));
    if (leak !== undefined) return leak;
  }
  return undefined;
}
