// A fake of Splunk's HTTP Event Collector, as its documentation describes it, since Splunk itself cannot be run here. Strict: whatever
// breaks the protocol, or a promise of ours, is a violation, and a test that looks at them fails.
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { ackAnswer, type AckMode, createAckLedger } from "./fake-hec-acks.ts";
import { jsonTexts } from "./json-texts.ts";

/** An answer that a test wants instead of the true one. */
export interface HecScript {
  readonly status: number;
  /** JSON, or text as it is. */
  readonly body?: object | string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The events are taken all the same. */
  readonly takes?: true;
}

/** What arrived. */
export interface HecStored {
  readonly uid: string;
  readonly envelope: Readonly<Record<string, unknown>>;
  /** `event` as it stood in the body. */
  readonly raw: string;
}

/** The fake and its switches. */
export interface FakeHec {
  readonly url: string;
  readonly stored: HecStored[];
  readonly violations: string[];
  /** Paths of the requests, with how many events they had. */
  readonly requests: { readonly path: string; readonly events: number; readonly cookie?: string }[];
  /** Answers for the next requests with events; then it behaves. */
  readonly script: HecScript[];
  token: string;
  /** Longest body; a longer one is 413. */
  maxBytes: number;
  /** Events that are no events: refused with code 6, with their number unless `numberless`. */
  refuses: ((uid: string) => boolean) | undefined;
  numberless: boolean;
  ack: AckMode;
  /** Set in every answer: `route=a`. */
  cookie: string | undefined;
  /** As a restart does: channels and acknowledgements are gone, numbers begin anew. */
  restart(): void;
  close(): Promise<void>;
}

const MEMBERS: ReadonlySet<string> = new Set([
  "time",
  "host",
  "source",
  "sourcetype",
  "index",
  "event",
  "fields",
]);
/** The longest body that we promise. */
const PROMISED_BYTES = 1_048_576;

/** Starts a fake on a free port of loopback. `ack: "off"`: the token has no indexer acknowledgement. */
export async function fakeHec(ack: AckMode = "off"): Promise<FakeHec> {
  const ledger = createAckLedger();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () =>
      answer(hec, ledger, { request, response, sent: Buffer.concat(chunks) }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const hec: FakeHec = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stored: [],
    violations: [],
    requests: [],
    script: [],
    token: "00000000-0000-0000-0000-000000000001",
    maxBytes: PROMISED_BYTES,
    refuses: undefined,
    numberless: false,
    ack,
    cookie: undefined,
    restart: () => ledger.restart(),
    close: () =>
      new Promise<void>((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  };
  return hec;
}

interface Asked {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly sent: Buffer;
}

type Ledger = ReturnType<typeof createAckLedger>;

function answer(hec: FakeHec, ledger: Ledger, { request, response, sent }: Asked): void {
  const say = (status: number, body: object | string, headers: object = {}): void => {
    if (hec.cookie !== undefined)
      response.setHeader("set-cookie", `${hec.cookie}; Path=/; HttpOnly`);
    response.writeHead(status, { ...headers });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };
  const violate = (what: string): void => void hec.violations.push(what);
  const { headers, method, url = "" } = request;
  const { pathname, searchParams } = new URL(url, hec.url);
  if (method !== "POST") violate(`method ${method}`);
  const refusal = authorize(hec, headers.authorization);
  if (refusal !== undefined) {
    if (refusal.code === 2) violate("no Authorization");
    return say(refusal.status, { text: "no", code: refusal.code });
  }
  const body = bodyOf(sent, headers["content-encoding"]);
  if (body === undefined) {
    violate(`content-encoding ${headers["content-encoding"]}`);
    return say(400, { text: "Invalid data format", code: 6 });
  }
  const { cookie } = headers;
  const channel = headers["x-splunk-request-channel"]?.toString();
  const note = (events: number): void =>
    void hec.requests.push({ path: pathname, events, ...(cookie === undefined ? {} : { cookie }) });
  if (pathname === "/services/collector/ack") {
    note(0);
    if (channel !== (searchParams.get("channel") ?? undefined)) violate("two channels");
    return ackAnswer({ ledger, mode: hec.ack, channel, body, say, violate });
  }
  if (pathname !== "/services/collector/event") {
    violate(`path ${pathname}`);
    return say(404, "");
  }
  const texts = jsonTexts(body) ?? [];
  note(texts.length);
  takeEvents(hec, { ledger, channel, texts, size: body.length, say, violate });
}

function takeEvents(
  hec: FakeHec,
  about: {
    ledger: Ledger;
    channel: string | undefined;
    texts: readonly string[];
    size: number;
    say: (status: number, body: object | string, headers?: object) => void;
    violate: (what: string) => void;
  },
): void {
  const { ledger, channel, texts, size, say, violate } = about;
  const script = hec.script.shift();
  if (script !== undefined && script.takes !== true)
    return say(script.status, script.body ?? "", script.headers);
  if (size > PROMISED_BYTES) violate(`a body of ${size} bytes`);
  if (size > hec.maxBytes) return say(413, "Request Entity Too Large");
  if (texts.length === 0) {
    violate("a body that is no objects one after the other");
    return say(400, { text: "No data", code: 5 });
  }
  if (hec.ack !== "off" && channel === undefined) {
    violate("no channel");
    return say(400, { text: "Data channel is missing", code: 10 });
  }
  const events = texts.map((text) => readEvent(text, violate));
  const bad = events.findIndex(({ uid }) => hec.refuses?.(uid) === true);
  if (bad >= 0) {
    const number = hec.numberless ? {} : { "invalid-event-number": bad };
    return say(400, { text: "Invalid data format", code: 6, ...number });
  }
  hec.stored.push(...events);
  const given = hec.ack === "off" ? {} : { ackId: ledger.give(channel as string, violate) };
  if (script !== undefined) return say(script.status, { ...(script.body as object), ...given });
  say(200, { text: "Success", code: 0, ...given });
}

function authorize(
  hec: FakeHec,
  authorization: string | undefined,
): { status: number; code: number } | undefined {
  if (authorization === undefined) return { status: 401, code: 2 };
  if (!authorization.startsWith("Splunk ")) return { status: 401, code: 3 };
  return authorization === `Splunk ${hec.token}` ? undefined : { status: 403, code: 4 };
}

function bodyOf(sent: Buffer, encoding: string | undefined): Buffer | undefined {
  if (encoding === undefined) return sent;
  return encoding === "gzip" ? gunzipSync(sent) : undefined;
}

/** `event` is the last member of what we send, so its bytes can be compared with the event's hash. */
function readEvent(text: string, violate: (what: string) => void): HecStored {
  const envelope = JSON.parse(text) as Record<string, unknown>;
  for (const member of Object.keys(envelope)) if (!MEMBERS.has(member)) violate(`member ${member}`);
  const { event, time } = envelope;
  if (event === undefined || event === null) violate("no event");
  if (event === "") violate("a blank event");
  if (time !== undefined && !/^\{"time":\d{1,11}\.\d{3},/.test(text)) violate("time");
  const fields = (envelope["fields"] ?? {}) as Record<string, unknown>;
  if (Object.values(fields).some((value) => typeof value !== "string")) violate("fields not flat");
  const raw = text.slice(text.indexOf('},"event":') + '},"event":'.length, -1);
  const hash = createHash("sha256").update(raw, "utf8").digest("hex");
  const isNative = String(fields["event_format"]).startsWith("native@");
  if (isNative && hash !== fields["event_hash"]) violate("sealed bytes were changed");
  return { uid: String(fields["event_uid"]), envelope, raw };
}
