import { CountersignError } from "@countersign/model";
import {
  type Consumer,
  createSender,
  type ExporterSpec,
  type Runtime,
  SENDER_PROPERTIES,
  type SenderConfig,
  type Traces,
} from "@countersign/pipeline";
import { decodeJson } from "../otlp/decode-json.ts";
import { decodeProto } from "../otlp/decode-proto.ts";
import { TRACE_RESPONSE } from "../otlp/message.ts";
import { createPoster, type PostAnswer, type Poster } from "../otlp/post.ts";
import { partsOf } from "../otlp/wire-traces.ts";
import { compress } from "./gzip.ts";
import { HEADERS_SCHEMA } from "./headers.ts";

interface Config extends SenderConfig {
  readonly endpoint: string;
  readonly encoding: "proto" | "json";
  readonly compression: "gzip" | "none";
  readonly headers: Readonly<Record<string, string>>;
}

/** Spans to any OTLP/HTTP endpoint. */
export const otlpHttpExporter: ExporterSpec = {
  kind: "exporter",
  type: "otlp_http",
  stability: "beta",
  summary:
    "Sends spans to an OTLP/HTTP endpoint such as Jaeger or Tempo; queue and retries are bounded.",
  signals: ["traces"],
  takes: ["traces"],
  config: {
    type: "object",
    additionalProperties: false,
    required: ["endpoint"],
    properties: {
      endpoint: {
        type: "string",
        format: "http_url",
        description: "Base address, without /v1/traces: http://127.0.0.1:4318.",
        examples: ["https://tempo.example:4318"],
      },
      encoding: {
        enum: ["proto", "json"],
        default: "proto",
        description: "Form of OTLP: protobuf or JSON.",
      },
      compression: {
        enum: ["gzip", "none"],
        default: "gzip",
        description: "Of what is sent; gzip costs CPU time, none the network.",
      },
      headers: HEADERS_SCHEMA,
      ...(SENDER_PROPERTIES as Record<string, object>),
    },
  },
  create: (config: Config, runtime) => {
    const push = new OtlpPush(config, runtime);
    const sender = createSender(push, config, runtime);
    return {
      start: (signal) => sender.start(signal),
      consume: (batch: Traces, signal: AbortSignal) => sender.consume(batch, signal),
      async stop(deadline) {
        await sender.stop(deadline);
        push.close();
      },
    };
  },
};

const TRANSIENT: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

class OtlpPush implements Consumer<Traces> {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #poster: Poster;

  constructor(config: Config, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    this.#poster = createPoster(`${config.endpoint.replace(/\/+$/, "")}/v1/traces`);
  }

  async consume(batch: Traces, signal: AbortSignal): Promise<void> {
    const answer = await this.#send(batch, signal);
    if (answer.status === 200) {
      this.#runtime.report({ state: "ok" });
      this.#notePartial(answer.body);
      return;
    }
    throw this.#failure(answer);
  }

  close(): void {
    this.#poster.close();
  }

  async #send(batch: Traces, signal: AbortSignal): Promise<PostAnswer> {
    const { encoding, compression, headers } = this.#config;
    const plain =
      encoding === "proto"
        ? partsOf(batch)
        : [Buffer.from(JSON.stringify({ resourceSpans: batch.resourceSpans }))];
    const all = {
      ...headers,
      "content-type": encoding === "proto" ? "application/x-protobuf" : "application/json",
      ...(compression === "gzip" ? { "content-encoding": "gzip" } : {}),
    };
    const parts = compression === "gzip" ? [await compress(plain)] : plain;
    try {
      return await this.#poster.post({ headers: all, parts, signal });
    } catch (cause) {
      if (signal.aborted)
        throw new CountersignError("CANCELLED", `${this.#runtime.id}: stopped while sending`, {
          cause,
        });
      throw new CountersignError(
        "UNAVAILABLE",
        `${this.#runtime.id}: cannot reach the endpoint; is it up?`,
        { cause },
      );
    }
  }

  #failure(answer: PostAnswer): CountersignError {
    const { id } = this.#runtime;
    const { status } = answer;
    if (status === 401 || status === 403) {
      this.#runtime.report({ state: "failed", detail: "the endpoint refuses the credentials" });
      return new CountersignError(
        "UNAVAILABLE",
        `${id}: the endpoint refuses the credentials (${status}); check \`headers\``,
      );
    }
    if (!TRANSIENT.has(status))
      return new CountersignError("REJECTED", `${id}: the endpoint refused the spans (${status})`);
    this.#runtime.report({ state: "degraded", detail: "the endpoint asks to try again" });
    return new CountersignError(
      "UNAVAILABLE",
      `${id}: the endpoint asks to try again (${status})`,
      retryAfter(answer),
    );
  }

  /** OTLP forbids to send again what a partial success rejected. */
  #notePartial(body: Uint8Array): void {
    if (body.length === 0) return;
    const rejected = rejectedSpans(body, this.#config.encoding);
    if (rejected === 0) return;
    const labels = { exporter: this.#runtime.id };
    this.#runtime.metrics
      .counter(
        "exporter_rejected_spans",
        "Spans that the endpoint rejected in a partial success.",
        labels,
      )
      .add(rejected);
    this.#runtime.log.warn("the endpoint rejected spans", { spans: rejected });
  }
}

function retryAfter(answer: PostAnswer): { retryAfterMs?: number } {
  const seconds = Number(answer.retryAfter ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? { retryAfterMs: seconds * 1000 } : {};
}

function rejectedSpans(body: Uint8Array, encoding: Config["encoding"]): number {
  try {
    const decode = encoding === "proto" ? decodeProto : decodeJson;
    const { value } = decode<{ partialSuccess?: { rejectedSpans?: string } }>(body, TRACE_RESPONSE);
    return Number(value.partialSuccess?.rejectedSpans ?? 0);
  } catch {
    return 0;
  }
}
