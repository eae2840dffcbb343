// Requests to a SIEM over HTTP: one way to connect, to wait, and to tell what went wrong.
import { CountersignError, isLoopbackHost } from "@countersign/model";
import {
  type ConfigFault,
  DURATION_SCHEMA,
  durationMs,
  type JsonSchema,
  type Retried,
  type Runtime,
} from "@countersign/pipeline";
import { createPoster, type PostAnswer, type PostOptions } from "../otlp/post.ts";
import {
  checkClientTls,
  CLIENT_TLS_SCHEMA,
  clientTls,
  type ClientTlsConfig,
} from "../tls-client.ts";
import { compress } from "./gzip.ts";
import { noAnswer, type SinkHealth } from "./http-failure.ts";

/** Settings that every exporter over HTTP has. */
export interface HttpSinkConfig {
  readonly endpoint: string;
  readonly insecure: boolean;
  readonly tls?: ClientTlsConfig;
  readonly timeout: string;
  readonly compression: "gzip" | "none";
  readonly retry: { readonly initial: string; readonly max: string };
}

/** Schema of {@link HttpSinkConfig}. An exporter says more of its `endpoint`: `{...HTTP_SINK_PROPERTIES, endpoint: {...}}`. */
export const HTTP_SINK_PROPERTIES: JsonSchema = {
  endpoint: {
    type: "string",
    format: "http_url",
    maxLength: 2048,
    description: "Base address, without a path of its protocol.",
    examples: ["https://siem.example"],
  },
  insecure: {
    type: "boolean",
    default: false,
    description: "true: http without TLS to another machine. Events and secrets are then readable.",
  },
  tls: CLIENT_TLS_SCHEMA,
  timeout: {
    ...DURATION_SCHEMA,
    default: "30s",
    description: "Time for one request, from the connection to the end of its answer: 30s.",
  },
  compression: {
    enum: ["gzip", "none"],
    default: "gzip",
    description: "Of what is sent; gzip costs CPU time, none the network.",
  },
  retry: {
    type: "object",
    additionalProperties: false,
    default: {},
    description: "Waits before what failed is tried again, behind a log without end.",
    properties: {
      initial: { ...DURATION_SCHEMA, default: "500ms", description: "First wait; then doubled." },
      max: {
        ...DURATION_SCHEMA,
        default: "30s",
        description: "Longest wait, if the destination asks for no longer one: 30s.",
      },
    },
  },
};

/** What the pipeline is told of the waits. */
export function retryOf({ retry }: HttpSinkConfig): NonNullable<Retried["retry"]> {
  return { initialMs: durationMs(retry.initial), maxMs: durationMs(retry.max) };
}

/** What the schema cannot see: an address without secrets, TLS beyond this machine, certificates that fit. */
export function checkHttpSink(
  config: HttpSinkConfig,
  { query = "refused" }: { query?: "refused" | "allowed" } = {},
): readonly ConfigFault[] {
  const { endpoint, insecure, tls } = config;
  const url = new URL(endpoint);
  const faults: ConfigFault[] = [...checkClientTls(tls)];
  if (url.username !== "" || url.password !== "")
    faults.push(at("has a user in it", "take it out: secrets have settings of their own"));
  // A `?` or `#` with nothing behind it would take in the path of the protocol that follows.
  const hasQuery = url.search !== "" || /\?(?:#|$)/.test(endpoint);
  if ((hasQuery && query === "refused") || endpoint.includes("#"))
    faults.push(at("has a query or a fragment", "write scheme, host, port and path alone"));
  if (url.protocol === "https:" || isLoopbackHost(url.hostname)) return faults;
  const clear = "sends events and secrets in the clear";
  faults.push(
    insecure
      ? { ...at(clear, "use https as soon as the destination has it"), severity: "warning" }
      : at(clear, "use https, or set `insecure: true` if you know this network"),
  );
  return faults;
}

function at(message: string, fix: string): ConfigFault {
  return { path: ["endpoint"], message, fix };
}

/** One request. */
export interface SinkRequest {
  readonly method?: PostOptions["method"];
  /** Follows the endpoint: `/_bulk`. Empty: the endpoint as it is. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The body, before compression. */
  readonly parts: readonly Uint8Array[];
  /** Small bodies are not worth it. */
  readonly compressed?: boolean;
  readonly signal: AbortSignal;
}

/** Sends requests to one destination. */
export interface HttpSink {
  /**
   * Resolves with any answer, a refusal too. Rejects CANCELLED when `signal` aborts, and UNAVAILABLE when there is no answer: the
   * outcome is then unknown.
   */
  send(request: SinkRequest): Promise<PostAnswer>;
  close(): void;
}

/** How a sink is made. */
export interface HttpSinkOptions {
  readonly config: HttpSinkConfig;
  readonly runtime: Runtime;
  readonly health: SinkHealth;
  /** Longest body of an answer; 64 KiB unless said otherwise. */
  readonly maxAnswerBytes?: number;
}

/** Makes a sink. Proxies of the environment are not used, redirects not followed: what it connects to is what was configured. */
export function createHttpSink({
  config,
  runtime,
  health,
  maxAnswerBytes,
}: HttpSinkOptions): HttpSink {
  const timeoutMs = durationMs(config.timeout);
  const poster = createPoster(config.endpoint, {
    ...(config.tls === undefined ? {} : { tls: clientTls(config.tls) }),
    ...(maxAnswerBytes === undefined ? {} : { maxAnswerBytes }),
  });
  return {
    async send({ method, path, headers, parts, signal, compressed = true }) {
      const zip = compressed && config.compression === "gzip" && parts.length > 0;
      const body = zip ? [await compress(parts)] : parts;
      const all = zip ? { ...headers, "content-encoding": "gzip" } : headers;
      const timer = AbortSignal.timeout(timeoutMs);
      const either = AbortSignal.any([signal, timer]);
      const about = { path, headers: all, parts: body, signal: either };
      let answer: PostAnswer | undefined;
      let cause: unknown;
      try {
        answer = await poster.post({ ...about, ...(method === undefined ? {} : { method }) });
      } catch (error) {
        cause = error;
      }
      // An answer that is not whole is one of the time limit, too, or of the stop.
      if (answer !== undefined && (answer.isWhole || !either.aborted)) return answer;
      if (signal.aborted)
        throw new CountersignError("CANCELLED", `${runtime.id}: stopped while sending`, { cause });
      throw noAnswer({ cause, health, timeoutMs, isLate: timer.aborted });
    },
    close: () => poster.close(),
  };
}
