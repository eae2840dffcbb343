import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import {
  type Component,
  type Consumer,
  durationMs,
  fanout,
  type Logs,
  measureReceiver,
  type PipelineInputs,
  type ReceiverSpec,
  type Runtime,
  sizeBytes,
  type Traces,
} from "@countersign/pipeline";
import { errorCode } from "@countersign/model";
import {
  asksForLoopback,
  ENDPOINT_SCHEMA,
  endpointOf,
  listen,
  loopbackOnly,
  stopListening,
} from "../listen.ts";
import { type BodyLimits, contentEncoding, readBody } from "../otlp/body.ts";
import { decodeJson } from "../otlp/decode-json.ts";
import { decodeProto } from "../otlp/decode-proto.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { faultOf, FAULTS, RequestFault } from "../otlp/http-fault.ts";
import { LOGS_REQUEST, type Message, TRACE_REQUEST } from "../otlp/message.ts";
import { sendAccepted, sendFault, type WireFormat, wireFormat } from "../otlp/response.ts";
import { wireTraces } from "../otlp/wire-traces.ts";

interface HttpConfig {
  readonly endpoint: string;
  readonly max_request_body_size: string;
  readonly max_decompressed_size: string;
  readonly max_concurrent_requests: number;
  readonly header_timeout: string;
  readonly read_timeout: string;
}

interface Config {
  readonly protocols: { readonly http: HttpConfig };
}

const duration = (value: string, description: string): object => ({
  type: "string",
  format: "duration",
  default: value,
  description,
});
const size = (value: string, description: string): object => ({
  type: "string",
  format: "size",
  default: value,
  description,
});

/** OTLP over HTTP. */
export const otlpReceiver: ReceiverSpec = {
  kind: "receiver",
  type: "otlp",
  stability: "beta",
  summary:
    "OTLP over HTTP (protobuf and JSON, gzip): spans, and sealed events as log records. 200 means taken over.",
  signals: ["traces", "decisions"],
  gives: { traces: "traces", decisions: "logs" },
  config: {
    type: "object",
    additionalProperties: false,
    required: ["protocols"],
    properties: {
      protocols: {
        type: "object",
        additionalProperties: false,
        required: ["http"],
        properties: {
          http: {
            type: "object",
            additionalProperties: false,
            default: {},
            properties: {
              endpoint: { ...ENDPOINT_SCHEMA, default: "127.0.0.1:4318" },
              max_request_body_size: size("4MiB", "Longest body as it comes over the wire: 4MiB."),
              max_decompressed_size: size("16MiB", "Longest body after decompression: 16MiB."),
              max_concurrent_requests: {
                type: "integer",
                minimum: 1,
                maximum: 1024,
                default: 32,
                description:
                  "Requests at once; one more is answered 503. Times max_decompressed_size, it bounds memory.",
              },
              header_timeout: duration("5s", "Time for a request's headers: 5s."),
              read_timeout: duration("15s", "Time for a whole request: 15s."),
            },
          },
        },
      },
    },
  },
  check: ({ protocols }: Config) =>
    loopbackOnly(protocols.http.endpoint, ["protocols", "http", "endpoint"]),
  create: (config: Config, runtime, next) => new OtlpReceiver(config.protocols.http, runtime, next),
};

interface Route {
  readonly message: Message;
  readonly consumer: Consumer<Traces> | Consumer<Logs>;
}

const MAX_HEADER_BYTES = 16 * 1024;

class OtlpReceiver implements Component {
  readonly #config: HttpConfig;
  readonly #runtime: Runtime;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #limits: BodyLimits;
  readonly #server: Server;
  readonly #cancel = new AbortController();
  #active = 0;
  /** Where it listens, once started: `http://127.0.0.1:4318`. */
  url = "";

  constructor(config: HttpConfig, runtime: Runtime, next: PipelineInputs) {
    this.#config = config;
    this.#runtime = runtime;
    this.#routes = routesOf(next, runtime);
    this.#limits = {
      maxBytes: sizeBytes(config.max_request_body_size),
      maxDecompressedBytes: sizeBytes(config.max_decompressed_size),
    };
    this.#server = createServer(
      {
        headersTimeout: durationMs(config.header_timeout),
        requestTimeout: durationMs(config.read_timeout),
        connectionsCheckingInterval: 1000,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.#server.maxConnections = 4 * config.max_concurrent_requests;
    const labels = { receiver: runtime.id };
    runtime.metrics.gauge(
      "receiver_in_flight_requests",
      "Requests that are being answered.",
      labels,
      () => this.#active,
    );
  }

  async start(): Promise<void> {
    this.url = await listen(this.#server, endpointOf(this.#config.endpoint), this.#runtime.id);
    this.#runtime.log.info("listening", { url: this.url });
  }

  async stop(deadline: AbortSignal): Promise<void> {
    const cut = (): void => this.#cancel.abort();
    deadline.addEventListener("abort", cut, { once: true });
    await stopListening(this.#server, deadline);
    deadline.removeEventListener("abort", cut);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const format = wireFormat(request.headers["content-type"]);
    const admitted = this.#active < this.#config.max_concurrent_requests;
    this.#active += 1;
    try {
      const route = this.#admit(request, format);
      if (!admitted) throw new RequestFault(FAULTS.busy);
      await this.#take(request, route, format as WireFormat);
      sendAccepted(response, format as WireFormat);
    } catch (error) {
      this.#refuse(request, response, error, format ?? "json");
    } finally {
      this.#active -= 1;
    }
  }

  /** What can be refused before a byte of the body is read. */
  #admit(request: IncomingMessage, format: WireFormat | undefined): Route {
    if (!asksForLoopback(request)) throw new RequestFault(FAULTS.foreignHost);
    const route = this.#routes.get((request.url ?? "").split("?", 1)[0] as string);
    if (route === undefined) throw new RequestFault(FAULTS.notFound);
    if (request.method !== "POST") throw new RequestFault(FAULTS.method);
    if (format === undefined) throw new RequestFault(FAULTS.mediaType);
    return route;
  }

  async #take(
    request: IncomingMessage,
    { message, consumer }: Route,
    format: WireFormat,
  ): Promise<void> {
    const encoding = contentEncoding(request.headers["content-encoding"]);
    if (encoding === undefined) throw new RequestFault(FAULTS.encoding);
    const body = await readBody(request, encoding, this.#limits);
    const batch = this.#read(body, message, format);
    await consumer.consume(batch, this.#cancel.signal);
  }

  /** Spans stay bytes, whichever encoding they came in; who makes objects of them is whoever needs some. */
  #read(body: Buffer, message: Message, format: WireFormat): never {
    if (message === TRACE_REQUEST && format === "proto") return wireTraces(body) as never;
    const decode = format === "proto" ? decodeProto : decodeJson;
    const { value, unknownFields } = decode<never>(body, message);
    if (unknownFields > 0) this.#countUnknown(unknownFields);
    if (message === TRACE_REQUEST) return wireTraces(encodeProto(value, message)) as never;
    return withDefaults(value, message);
  }

  #countUnknown(fields: number): void {
    const help = "Fields that are none of OTLP's, dropped.";
    this.#runtime.metrics
      .counter("receiver_unknown_fields", help, { receiver: this.#runtime.id })
      .add(fields);
  }

  #refuse(
    request: IncomingMessage,
    response: ServerResponse,
    error: unknown,
    format: WireFormat,
  ): void {
    const fault = faultOf(error);
    const code = errorCode(error);
    if (!(error instanceof RequestFault) && (code === undefined || code === "BUG")) {
      this.#runtime.log.error("a batch could not be processed", {
        error: error instanceof Error ? error.message : "not an error",
      });
    }
    if (response.destroyed || response.headersSent) return;
    sendFault(response, format, fault);
    // What the sender still sends is not read; it sees the answer first.
    response.once("finish", () => request.destroy());
  }
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

/** An empty request is a legal one. */
function withDefaults(value: object, message: Message): never {
  const [list] = message.fields;
  return { [(list as { name: string }).name]: [], ...value } as never;
}
