// The far end, a process of its own: an OTLP and Splunk HEC endpoint that takes everything and counts every item by its id.
// It knows protobuf by itself: what judges the product shares no code with it.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { FORBIDDEN, KEPT_KEY, SPAN_ID_PREFIX } from "./planted.ts";

/** What arrived since the last reset. */
export interface Arrived {
  readonly requests: number;
  /** Bytes of bodies as they came, compressed or not. */
  readonly wireBytes: number;
  /** Spans or events, each time they came. */
  readonly items: number;
  /** How many different ids, and how often the one that came least and the one that came most did. */
  readonly ids: number;
  readonly least: number;
  readonly most: number;
  /** How often a key arrived that every span has and may keep. */
  readonly kept: number;
  /** Planted secrets, unlisted keys and their values that arrived: what, and how often. */
  readonly leaks: Readonly<Record<string, number>>;
}

/** What the harness may ask; every question is answered by {@link Arrived}, `reset` by the state before it. */
export type FarEndQuestion = "reset" | "count" | "audit";

const SUCCESS = Buffer.from('{"text":"Success","code":0}');
const EVENT_ID = Buffer.from('"id":"');
const EVENT_ID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const forbidden = FORBIDDEN.map((text) => [text, Buffer.from(text)] as const);
const keptKey = Buffer.from(KEPT_KEY);

const fresh = () => ({
  requests: 0,
  wireBytes: 0,
  items: 0,
  kept: 0,
  leaks: {} as Record<string, number>,
});
let state = fresh();
const seen = new Map<string, number>();

function saw(id: string): void {
  state.items += 1;
  seen.set(id, (seen.get(id) ?? 0) + 1);
}

function occurrences(bytes: Buffer, what: Buffer): number {
  let found = 0;
  for (let at = bytes.indexOf(what); at >= 0; at = bytes.indexOf(what, at + what.length))
    found += 1;
  return found;
}

/** Calls `visit` for each length-delimited field of that number between two offsets. */
function eachField(
  bytes: Buffer,
  [from, to]: readonly [number, number],
  wanted: number,
  visit: (range: readonly [number, number]) => void,
): void {
  let at = from;
  const varint = (): number => {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
  };
  while (at < to) {
    const tag = varint();
    const type = tag & 7;
    if (type === 0) varint();
    else if (type === 1) at += 8;
    else if (type === 5) at += 4;
    else if (type === 2) {
      const length = varint();
      if (tag >>> 3 === wanted) visit([at, at + length]);
      at += length;
    } else throw new Error(`bench: wire type ${type} at ${at}`);
  }
}

/** ExportTraceServiceRequest.resource_spans(1).scope_spans(2).spans(2).span_id(2). */
function takeSpans(bytes: Buffer): void {
  eachField(bytes, [0, bytes.length], 1, (resource) =>
    eachField(bytes, resource, 2, (scope) =>
      eachField(bytes, scope, 2, (span) => {
        let ids = 0;
        eachField(bytes, span, 2, ([start, end]) => {
          const id = bytes.toString("hex", start, end);
          if (!id.startsWith(SPAN_ID_PREFIX)) throw new Error("bench: a span that nobody sent");
          ids += 1;
          saw(id);
        });
        if (ids !== 1) throw new Error(`bench: a span with ${ids} ids`);
      }),
    ),
  );
  state.kept += occurrences(bytes, keptKey);
  for (const [name, what] of forbidden) {
    const found = occurrences(bytes, what);
    if (found > 0) state.leaks[name] = (state.leaks[name] ?? 0) + found;
  }
}

/** CloudEvents in whatever envelope, parsed or as escaped text: by the ids alone. */
function takeEvents(bytes: Buffer): void {
  const text = bytes.includes('\\"id\\":')
    ? Buffer.from(bytes.toString().replaceAll('\\"', '"'))
    : bytes;
  for (
    let at = text.indexOf(EVENT_ID);
    at >= 0;
    at = text.indexOf(EVENT_ID, at + EVENT_ID.length)
  ) {
    const start = at + EVENT_ID.length;
    const id = text.toString("latin1", start, start + 36);
    if (EVENT_ID_PATTERN.test(id)) saw(id);
  }
}

async function take(request: IncomingMessage): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const body = Buffer.concat(chunks);
  state.requests += 1;
  state.wireBytes += body.length;
  const bytes = request.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body;
  if (request.url?.startsWith("/v1/traces") === true) takeSpans(bytes);
  else takeEvents(bytes);
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const isHec = request.url?.startsWith("/services/collector") === true;
  try {
    await take(request);
  } catch (error) {
    process.stderr.write(`${String(error)}\n`);
    response.writeHead(400).end();
    return;
  }
  const type = isHec ? "application/json" : "application/x-protobuf";
  response.writeHead(200, { "content-type": type });
  response.end(isHec ? SUCCESS : undefined);
}

const server = createServer((request, response) => void answer(request, response));

function arrived(withIds: boolean): Arrived {
  if (!withIds) return { ...state, ids: 0, least: 0, most: 0 };
  let least = Number.POSITIVE_INFINITY;
  let most = 0;
  for (const times of seen.values()) {
    least = Math.min(least, times);
    most = Math.max(most, times);
  }
  return { ...state, ids: seen.size, least: seen.size === 0 ? 0 : least, most };
}

process.on("message", (question: FarEndQuestion) => {
  process.send?.(arrived(question !== "count"));
  if (question !== "reset") return;
  state = fresh();
  seen.clear();
});
process.on("disconnect", () => process.exit());
// Idle connections of a target that waits are not this end's to close.
server.keepAliveTimeout = 600_000;
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
