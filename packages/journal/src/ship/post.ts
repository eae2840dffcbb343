// One request. node:http, not fetch: the global fetch takes several times as long to load, and its sockets cannot be
// told to let the process end.
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import { CountersignError } from "@countersign/model";
import type { ShipOptions } from "./ship-options.ts";
import { withoutTracing } from "./suppress-tracing.ts";
import { createTlsFiles, type TlsFiles } from "./tls-files.ts";

/** Longest wait for an answer. */
const TIMEOUT_MS = 30_000;
/** Most bytes read of an answer; the rest is not looked at. */
const MAX_ANSWER_BYTES = 65_536;

/** What the receiver said. */
export interface Answer {
  readonly status: number;
  /** From `Retry-After`, if there is one that makes sense. */
  readonly retryAfterMs: number | undefined;
  readonly body: string;
}

/** Sends requests to one receiver over kept connections that do not keep the process alive. */
export interface Poster {
  /** Where to, without credentials: for log lines. */
  readonly target: string;
  /** Rejects with the system error when there is no answer; with CANCELLED when aborted. */
  post(body: string, signal: AbortSignal): Promise<Answer>;
  close(): void;
}

interface Http {
  request(
    url: URL,
    options: RequestOptions,
    answer: (message: IncomingMessage) => void,
  ): ClientRequest;
  Agent: new (options: object) => Agent;
}

class HttpPoster implements Poster {
  readonly target: string;
  private readonly url: URL;
  private readonly headers: Readonly<Record<string, string>>;
  private readonly tls: TlsFiles | undefined;
  private loaded: { http: Http; agent: Agent } | undefined;

  constructor(options: ShipOptions) {
    this.url = logsUrl(options.endpoint);
    this.target = `${this.url.origin}${this.url.pathname}`;
    this.headers = options.headers ?? {};
    this.tls = options.tls === undefined ? undefined : createTlsFiles(options.tls);
  }

  async post(body: string, signal: AbortSignal): Promise<Answer> {
    const { http, agent } = (this.loaded ??= await this.load());
    const bytes = Buffer.from(body);
    return await new Promise((resolve, reject) => {
      const options: RequestOptions = {
        method: "POST",
        agent,
        signal,
        timeout: TIMEOUT_MS,
        // The agent keeps connections apart by these: with a new certificate there are new ones.
        ...this.tls?.(performance.now()),
        headers: {
          ...this.headers,
          "content-type": "application/json",
          "content-length": bytes.length,
        },
      };
      const request = withoutTracing(() =>
        http.request(this.url, options, (message) => {
          readAnswer(message).then(resolve, reject);
        }),
      );
      request.on("socket", (socket) => socket.unref());
      request.on("timeout", () => request.destroy(new Error("no answer in time")));
      request.on("error", (error) => reject(signal.aborted ? cancelled() : error));
      request.end(bytes);
    });
  }

  close(): void {
    this.loaded?.agent.destroy();
  }

  private async load(): Promise<{ http: Http; agent: Agent }> {
    const secure = this.url.protocol === "https:";
    const http: Http = secure ? await import("node:https") : await import("node:http");
    return { http, agent: new http.Agent({ keepAlive: true, maxSockets: 4, scheduling: "lifo" }) };
  }
}

function cancelled(): CountersignError {
  return new CountersignError("CANCELLED", "journal/ship: the request was given up");
}

async function readAnswer(message: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) break;
    chunks.push(chunk);
  }
  return {
    status: message.statusCode ?? 0,
    retryAfterMs: parseRetryAfter(message.headers["retry-after"], Date.now()),
    body: Buffer.concat(chunks).toString("utf8"),
  };
}

/** Seconds, or an HTTP date (RFC 9110, section 10.2.3). */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1_000;
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
}

/** `<endpoint>/v1/logs`. Throws CONFIG_INVALID for what is no http(s) URL; the message does not repeat it. */
export function logsUrl(endpoint: string): URL {
  const url = URL.parse(endpoint);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new CountersignError(
      "CONFIG_INVALID",
      "journal/ship: the OTLP endpoint (COUNTERSIGN_OTLP_ENDPOINT) is no http: or https: URL",
    );
  }
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/logs`;
  url.hash = "";
  return url;
}

/** Throws CONFIG_INVALID. Connects to nothing yet. */
export function createPoster(options: ShipOptions): Poster {
  return new HttpPoster(options);
}
