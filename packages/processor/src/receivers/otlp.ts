import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Server as HttpsServer } from "node:https";
import {
  type Component,
  type Consumer,
  durationMs,
  type EventCarrier,
  fanout,
  type Logs,
  measureReceiver,
  type PipelineInputs,
  type ReceiverSpec,
  type Runtime,
  saidOf,
  type SentBy,
  sizeBytes,
  type Traces,
} from "@countersign/pipeline";
import { errorCode } from "@countersign/model";
import { tokenCheckOf } from "../extensions/bearer-auth.ts";
import { endpointOf, listen, stopListening } from "../listen.ts";
import { type BodyLimits, contentEncoding, readBody } from "../otlp/body.ts";
import { answerBrokenRequests } from "../otlp/broken-request.ts";
import { decodeJson } from "../otlp/decode-json.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { eventCarriers, type LogsRequest } from "../otlp/event-carriers.ts";
import { faultOf, FAULTS, type HttpFault, RequestFault } from "../otlp/http-fault.ts";
import { type Decoded, LOGS_REQUEST, type Message, TRACE_REQUEST } from "../otlp/message.ts";
import { isGrpc, sendAccepted, sendFault, type WireFormat, wireFormat } from "../otlp/response.ts";
import {
  checkReceiver,
  type HttpConfig,
  RECEIVER_SCHEMA,
  receiverReferences,
  TLS_PATH,
} from "../otlp/settings.ts";
import { whoSends, type WhoSends } from "../otlp/who-sends.ts";
import { wireLogs } from "../otlp/wire-logs.ts";
import { wireTraces } from "../otlp/wire-traces.ts";
import { createThrottledLog, type ThrottledLog } from "../throttled-log.ts";
import { createServerTls, type ServerTls } from "../tls-server.ts";

interface Config {
  readonly protocols: { readonly http: HttpConfig };
}

/** OTLP over HTTP. */
export const otlpReceiver: ReceiverSpec = {
  kind: "receiver",
  type: "otlp",
  stability: "beta",
  summary:
    "OTLP over HTTP (protobuf and JSON, gzip, zstd): spans, and sealed events as log records. 200 means taken over.",
  signals: ["traces", "decisions"],
  gives: { traces: "traces", decisions: "logs" },
  config: RECEIVER_SCHEMA,
  check: ({ protocols }: Config) => checkReceiver(protocols.http),
  references: ({ protocols }: Config) => receiverReferences(protocols.http),
  create: (config: Config, runtime, next) => new OtlpReceiver(config.protocols.http, runtime, next),
};

interface Route {
  readonly message: Message;
  readonly consumer: Consumer<Traces> | Consumer<Logs>;
}

interface Taken extends Route {
  readonly format: WireFormat;
  readonly sentBy: SentBy | undefined;
}

const MAX_HEADER_BYTES = 16 * 1024;
/** A connection on which nothing moves, although a request or an answer is under way. */
const STALLED_MS = 120_000;
/** What is left of a refused body is read, up to here, so that the connection can be used again or the answer be seen. */
const MAX_UNREAD_BYTES = 256 * 1024;
const LINGER_MS = 2000;

class OtlpReceiver implements Component {
  readonly #config: HttpConfig;
  readonly #runtime: Runtime;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #limits: BodyLimits;
  readonly #cancel = new AbortController();
  readonly #refusals: ThrottledLog;
  #tls: ServerTls | undefined;
  #server: Server | HttpsServer | undefined;
  #whoSends: WhoSends | undefined;
  #active = 0;
  /** Where it listens, once started: `http://127.0.0.1:4318`. */
  url = "";

  constructor(config: HttpConfig, runtime: Runtime, next: PipelineInputs) {
    this.#config = config;
    this.#runtime = runtime;
    this.#refusals = createThrottledLog(runtime.log);
    this.#routes = routesOf(next, runtime);
    this.#limits = {
      maxBytes: sizeBytes(config.max_request_body_size),
      maxDecompressedBytes: sizeBytes(config.max_decompressed_size),
    };
    const labels = { receiver: runtime.id };
    runtime.metrics.gauge(
      "receiver_in_flight_requests",
      "Requests that are being answered.",
      labels,
      () => this.#active,
    );
  }

  async start(): Promise<void> {
    const { tls, auth, endpoint } = this.#config;
    const { id, service, log } = this.#runtime;
    this.#tls = tls === undefined ? undefined : createServerTls(tls, TLS_PATH, this.#runtime);
    this.#whoSends = whoSends({
      ...(auth === undefined ? {} : { tokens: tokenCheckOf(service.extension(auth), id) }),
      isMutualTls: tls?.client_ca !== undefined,
      clients: () => this.#tls?.clients,
    });
    this.#server = this.#createServer();
    this.url = await listen(this.#server, endpointOf(endpoint), id);
    this.#tls?.watch();
    log.info("listening", { url: this.url });
  }

  #createServer(): Server | HttpsServer {
    const config = this.#config;
    const options = {
      headersTimeout: durationMs(config.header_timeout),
      requestTimeout: durationMs(config.read_timeout),
      keepAliveTimeout: durationMs(config.idle_timeout),
      connectionsCheckingInterval: 1000,
      maxHeaderSize: MAX_HEADER_BYTES,
    };
    const listener = (request: IncomingMessage, response: ServerResponse): void =>
      void this.#traced(request, response);
    const server = this.#tls?.createServer(options, listener) ?? createServer(options, listener);
    server.setTimeout(STALLED_MS);
    server.maxConnections = config.max_connections;
    server.on("drop", () => this.#count("too_many_connections"));
    answerBrokenRequests(server, (reason, address) => {
      this.#count(reason);
      this.#refusals.warn("something came that is no request", { reason, address: address ?? "" });
    });
    return server;
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#tls?.close();
    if (this.#server === undefined) return;
    const cut = (): void => this.#cancel.abort();
    deadline.addEventListener("abort", cut, { once: true });
    await stopListening(this.#server, deadline);
    deadline.removeEventListener("abort", cut);
  }

  /** Without the service's own traces: {@link #answer}. */
  async #traced(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { trace, id } = this.#runtime;
    if (trace === undefined) return await this.#answer(request, response);
    const path = (request.url ?? "").split("?", 1)[0] as string;
    const route = this.#routes.has(path) ? path : "other";
    const attributes = { "otelcol.component.id": id, "http.route": route };
    await trace({ name: `POST ${route}`, kind: "server", attributes }, async (set) => {
      await this.#answer(request, response);
      set({ "http.response.status_code": response.statusCode });
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const format = wireFormat(request.headers["content-type"]);
    const admitted = this.#active < this.#config.max_concurrent_requests;
    this.#active += 1;
    try {
      const sentBy = this.#whoSends?.(request);
      const route = this.#admit(request, format);
      if (!admitted) throw new RequestFault(FAULTS.busy);
      await this.#take(request, { ...route, format: format as WireFormat, sentBy });
      sendAccepted(response, format as WireFormat);
    } catch (error) {
      this.#refuse(request, response, { fault: this.#faultOf(error), format: format ?? "json" });
    } finally {
      this.#active -= 1;
    }
  }

  /** What can be refused before a byte of the body is read. */
  #admit(request: IncomingMessage, format: WireFormat | undefined): Route {
    if (isGrpc(request.headers["content-type"])) throw new RequestFault(FAULTS.grpc);
    const route = this.#routes.get((request.url ?? "").split("?", 1)[0] as string);
    if (route === undefined) throw new RequestFault(FAULTS.notFound);
    if (request.method !== "POST") throw new RequestFault(FAULTS.method);
    if (format === undefined) throw new RequestFault(FAULTS.mediaType);
    return route;
  }

  async #take(request: IncomingMessage, route: Taken): Promise<void> {
    const encoding = contentEncoding(request.headers["content-encoding"]);
    if (encoding === undefined) throw new RequestFault(FAULTS.encoding);
    const body = await readBody(request, encoding, this.#limits);
    await route.consumer.consume(this.#read(body, route), this.#cancel.signal);
  }

  /**
   * Spans stay bytes, whichever encoding they came in; who makes objects of them is whoever needs some. Of log records nothing is
   * read but what may carry an event. An empty request is a legal one.
   */
  #read(body: Buffer, { message, format, sentBy }: Taken): never {
    const by = sentBy === undefined ? {} : { sentBy };
    if (message === LOGS_REQUEST) return { records: this.#recordsOf(body, format), ...by } as never;
    if (format === "proto") return wireTraces(body, by) as never;
    const value = this.#known(decodeJson<Traces>(body, message));
    return wireTraces(encodeProto(value, message), by) as never;
  }

  #recordsOf(body: Buffer, format: WireFormat): readonly EventCarrier[] {
    if (format === "proto") return this.#known(wireLogs(body));
    return eventCarriers(this.#known(decodeJson<LogsRequest>(body, LOGS_REQUEST)));
  }

  #known<Value>({ value, unknownFields }: Decoded<Value>): Value {
    if (unknownFields > 0) this.#countUnknown(unknownFields);
    return value;
  }

  #countUnknown(fields: number): void {
    const help = "Fields that are none of OTLP's, dropped.";
    this.#runtime.metrics
      .counter("receiver_unknown_fields", help, { receiver: this.#runtime.id })
      .add(fields);
  }

  #faultOf(error: unknown): HttpFault {
    const code = errorCode(error);
    if (!(error instanceof RequestFault) && (code === undefined || code === "BUG")) {
      this.#runtime.log.error("a batch could not be processed", {
        error: saidOf(error),
      });
    }
    return faultOf(error);
  }

  #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    { fault, format }: { fault: HttpFault; format: WireFormat },
  ): void {
    this.#count(fault.reason);
    const isStranger = STRANGERS.has(fault.status);
    if (isStranger) {
      const address = request.socket.remoteAddress ?? "";
      this.#refusals.warn("a sender was refused", { reason: fault.reason, address });
    }
    if (response.destroyed || response.headersSent) return;
    const isLast = isStranger || !isSmall(request);
    sendFault(response, { format, fault, isLast });
    if (isLast) response.once("finish", () => linger(request));
  }

  #count(reason: string): void {
    const help = "Requests, and connections, that were refused, by the reason.";
    const labels = { receiver: this.#runtime.id, reason };
    this.#runtime.metrics.counter("receiver_refused_requests", help, labels).add();
  }
}

/** Who is not let in. */
const STRANGERS: ReadonlySet<number> = new Set([401, 403, 429]);

/** What was not read of it is little: cheaper to read than a new connection. */
function isSmall({ complete, headers }: IncomingMessage): boolean {
  return complete || Number(headers["content-length"] ?? Number.NaN) <= MAX_UNREAD_BYTES;
}

/** Closing on a sender that still writes would reset the connection, and it would never see the answer. */
function linger(request: IncomingMessage): void {
  if (request.complete) return;
  let left = MAX_UNREAD_BYTES;
  const end = (): void => {
    clearTimeout(timer);
    request.destroy();
  };
  const timer = setTimeout(end, LINGER_MS).unref();
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) end();
  });
  request.once("end", end).once("close", end);
}

function routesOf(next: PipelineInputs, runtime: Runtime): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>();
  const { id, metrics } = runtime;
  if (next.traces.length > 0) {
    const consumer = measureReceiver(
      fanout(next.traces.map((input) => input.consumer)),
      id,
      metrics,
    );
    routes.set("/v1/traces", { message: TRACE_REQUEST, consumer });
  }
  if (next.logs.length > 0) {
    const consumer = measureReceiver(fanout(next.logs.map((input) => input.consumer)), id, metrics);
    routes.set("/v1/logs", { message: LOGS_REQUEST, consumer });
  }
  return routes;
}
