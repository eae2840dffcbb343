// A strict OTLP/HTTP logs receiver (contract, section 7): it fails the test on anything the contract does not allow,
// and takes responsibility for a batch only when its behaviour says so.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256Hex } from "@countersign/model";

/** What the receiver does with a batch: accept it (200), or answer something else and keep nothing. */
export type Behaviour = (batch: ReceivedBatch) => Reply | Promise<Reply>;

/** An answer other than 200, or 200. `hangUp` closes the connection without one. */
export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly hangUp?: boolean;
  /** With `hangUp`, or an error status: the batch was kept all the same, as when an answer is lost. */
  readonly keep?: boolean;
}

/** One event as it arrived. */
export interface ReceivedEvent {
  readonly emitter: string;
  readonly epoch: string;
  readonly seq: number;
  readonly hash: string;
  readonly kind: string;
  readonly text: string;
}

/** One request. */
export interface ReceivedBatch {
  readonly number: number;
  readonly events: readonly ReceivedEvent[];
  readonly headers: IncomingMessage["headers"];
  readonly bytes: number;
}

/** A receiver on the loopback. */
export interface OtlpReceiver {
  readonly endpoint: string;
  readonly port: number;
  behaviour: Behaviour;
  /** Batches that were kept, in order. */
  readonly accepted: readonly ReceivedBatch[];
  /** All requests, kept or not. */
  readonly seen: readonly ReceivedBatch[];
  /** What broke the contract; a test expects it to be empty. */
  readonly violations: readonly string[];
  /** Events of an epoch without repeats, in the order of first arrival. */
  events(epoch?: string): readonly ReceivedEvent[];
  /** Stops listening and cuts every connection; what was accepted stays. */
  stop(): Promise<void>;
}

interface LogRecord {
  readonly timeUnixNano: string;
  readonly observedTimeUnixNano: string;
  readonly severityNumber: number;
  readonly eventName: string;
  readonly traceId?: string;
  readonly spanId?: string;
  readonly flags?: number;
  readonly body: { readonly stringValue: string };
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, string> }[];
}

const RECORD_KEYS =
  "timeUnixNano observedTimeUnixNano severityNumber eventName traceId spanId flags body attributes".split(
    " ",
  );

class StrictReceiver implements OtlpReceiver {
  endpoint = "";
  port = 0;
  behaviour: Behaviour = () => ({});
  readonly accepted: ReceivedBatch[] = [];
  readonly seen: ReceivedBatch[] = [];
  readonly violations: string[] = [];
  private readonly inFlight = new Set<string>();
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      this.serve(request, response).catch((error: unknown) => {
        this.violations.push(String(error));
        response.destroy();
      });
    });
  }

  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(port, "127.0.0.1", resolve);
    });
    this.port = (this.server.address() as AddressInfo).port;
    this.endpoint = `http://127.0.0.1:${this.port}`;
  }

  events(epoch?: string): readonly ReceivedEvent[] {
    const known = new Map<string, ReceivedEvent>();
    for (const event of this.accepted.flatMap((batch) => batch.events)) {
      if (epoch !== undefined && event.epoch !== epoch) continue;
      const key = `${event.emitter}/${event.epoch}/${event.seq}`;
      const before = known.get(key);
      if (before === undefined) known.set(key, event);
      else if (before.hash !== event.hash) this.violations.push(`fork at ${key}`);
    }
    return [...known.values()];
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const bytes = Buffer.concat(chunks);
    const batch = this.check(request, bytes);
    this.seen.push(batch);
    const epochs = new Set(batch.events.map((event) => `${event.emitter}/${event.epoch}`));
    for (const epoch of epochs) {
      if (this.inFlight.has(epoch)) this.violations.push(`two batches in flight for ${epoch}`);
      this.inFlight.add(epoch);
    }
    try {
      const reply = await this.behaviour(batch);
      const status = reply.status ?? 200;
      if ((status === 200 && reply.hangUp !== true) || reply.keep === true) {
        this.accepted.push(batch);
      }
      if (reply.hangUp === true) response.destroy();
      else response.writeHead(status, reply.headers).end(reply.body ?? "{}");
    } finally {
      for (const epoch of epochs) this.inFlight.delete(epoch);
    }
  }

  private check(request: IncomingMessage, bytes: Buffer): ReceivedBatch {
    const wrong = (what: string): unknown => this.violations.push(what);
    if (request.method !== "POST" || request.url !== "/v1/logs")
      wrong(`${request.method} ${request.url}`);
    if (request.headers["content-type"] !== "application/json") wrong("content-type");
    if (request.headers["traceparent"] !== undefined) wrong("the request itself is traced");
    if (bytes.length > 1024 * 1024) wrong(`a batch of ${bytes.length} bytes`);
    const body = JSON.parse(bytes.toString("utf8")) as {
      resourceLogs: {
        resource: { attributes: LogRecord["attributes"] };
        scopeLogs: { scope: { name: string; version: string }; logRecords: LogRecord[] }[];
      }[];
    };
    const [resource] = body.resourceLogs;
    const [scope] = resource?.scopeLogs ?? [];
    if (resource === undefined || scope === undefined) throw new Error("no resource or scope");
    if (body.resourceLogs.length !== 1 || resource.scopeLogs.length !== 1) wrong("several scopes");
    if (scope.scope.name !== "dev.countersign.gate") wrong("scope name");
    const keys = resource.resource.attributes.map((attribute) => attribute.key);
    for (const key of ["service.name", "countersign.emitter", "countersign.tenant"]) {
      if (!keys.includes(key)) wrong(`resource without ${key}`);
    }
    const events = scope.logRecords.map((record) => this.checkRecord(record));
    if (events.length === 0 || events.length > 512) wrong(`a batch of ${events.length} events`);
    for (const [index, event] of events.entries()) {
      const before = events[index - 1];
      if (before !== undefined && (before.epoch !== event.epoch || event.seq <= before.seq)) {
        wrong("a batch that is out of order or of several epochs");
      }
    }
    const number = this.seen.length + 1;
    return { number, events, headers: request.headers, bytes: bytes.length };
  }

  private checkRecord(record: LogRecord): ReceivedEvent {
    const wrong = (what: string): unknown => this.violations.push(what);
    for (const key of Object.keys(record)) if (!RECORD_KEYS.includes(key)) wrong(`member ${key}`);
    const text = record.body.stringValue;
    const event = JSON.parse(text) as {
      id: string;
      time: string;
      type: string;
      traceparent?: string;
      data: {
        chain: { emitter: string; epoch: string; seq: number };
        decision?: string;
      };
    };
    const { emitter, epoch, seq } = event.data.chain;
    const kind = event.type.split(".")[2] ?? "";
    const hash = sha256Hex(text);
    const attribute = (key: string): Record<string, string> | undefined =>
      record.attributes.find((each) => each.key === key)?.value;
    if (attribute("countersign.event.hash")?.["stringValue"] !== hash) wrong("hash attribute");
    if (attribute("countersign.event.id")?.["stringValue"] !== event.id) wrong("id attribute");
    if (attribute("countersign.chain.epoch")?.["stringValue"] !== epoch) wrong("epoch attribute");
    if (attribute("countersign.chain.seq")?.["intValue"] !== String(seq)) wrong("seq attribute");
    if (record.eventName !== `countersign.${kind}`) wrong("eventName");
    if (record.timeUnixNano !== `${Date.parse(event.time)}000000`) wrong("timeUnixNano");
    const observed = Number(BigInt(record.observedTimeUnixNano) / 1_000_000n);
    if (Math.abs(observed - Date.now()) > 60_000) wrong("observedTimeUnixNano is not now");
    const severity = { deny: 13, error: 17 }[event.data.decision ?? ""] ?? 9;
    if (record.severityNumber !== severity) wrong("severityNumber");
    const [, traceId, spanId, flags] = event.traceparent?.split("-") ?? [];
    if (record.traceId !== traceId || record.spanId !== spanId) wrong("trace id or span id");
    if (record.flags !== (flags === undefined ? undefined : Number.parseInt(flags, 16)))
      wrong("flags");
    return { emitter, epoch, seq, hash, kind, text };
  }
}

/** Listens on `port` of the loopback, or on a free one. */
export async function startOtlpReceiver(port = 0): Promise<OtlpReceiver> {
  const receiver = new StrictReceiver();
  await receiver.listen(port);
  return receiver;
}
