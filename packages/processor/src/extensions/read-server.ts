// A small server that shows and takes nothing: health and metrics.
import { createServer, type IncomingMessage, type Server } from "node:http";
import { isLoopbackHost } from "@countersign/model";
import type { Component, Runtime } from "@countersign/pipeline";
import { asksForLoopback, endpointOf, listen, stopListening } from "../listen.ts";

/** What is shown under a path. */
export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** What {@link createReadServer} needs. */
export interface ReadServerOptions {
  readonly endpoint: string;
  readonly runtime: Runtime;
  /** Pages by their path; anything else is 404. */
  readonly pages: ReadonlyMap<string, () => Page>;
}

/** A running {@link Component} with its address. */
export interface ReadServer extends Component {
  readonly url: string;
}

/**
 * Answers GET and HEAD. On loopback, only to those who ask for a loopback name (DNS rebinding); on another address, to
 * everybody. At most 64 connections, 5 s and 8 KiB of headers each.
 */
export function createReadServer(options: ReadServerOptions): ReadServer {
  return new HttpReadServer(options);
}

const MAX_CONNECTIONS = 64;
const TIMEOUT_MS = 5000;
const MAX_HEADER_BYTES = 8192;

class HttpReadServer implements ReadServer {
  readonly #options: ReadServerOptions;
  readonly #isLocal: boolean;
  readonly #server: Server;
  url = "";

  constructor(options: ReadServerOptions) {
    this.#options = options;
    this.#isLocal = isLoopbackHost(endpointOf(options.endpoint).host);
    this.#server = createServer(
      {
        requestTimeout: TIMEOUT_MS,
        headersTimeout: TIMEOUT_MS,
        connectionsCheckingInterval: 1000,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      (request, response) => {
        const { status, type, body } = this.#page(request);
        response.writeHead(status, {
          "content-type": type,
          "content-length": Buffer.byteLength(body),
          "cache-control": "no-store",
          ...(status === 405 ? { allow: "GET, HEAD" } : {}),
        });
        response.end(body);
      },
    );
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.setTimeout(2 * TIMEOUT_MS);
  }

  async start(): Promise<void> {
    const { endpoint, runtime } = this.#options;
    this.url = await listen(this.#server, endpointOf(endpoint), runtime.id);
  }

  async stop(deadline: AbortSignal): Promise<void> {
    await stopListening(this.#server, deadline);
  }

  #page(request: IncomingMessage): Page {
    if (request.method !== "GET" && request.method !== "HEAD") return textPage(405, "use GET");
    if (this.#isLocal && !asksForLoopback(request))
      return textPage(403, "the Host header names no loopback address");
    const path = (request.url ?? "").split("?", 1)[0] as string;
    return this.#options.pages.get(path)?.() ?? textPage(404, `use ${this.#paths()}`);
  }

  #paths(): string {
    return [...this.#options.pages.keys()].join(" ");
  }
}

function textPage(status: number, text: string): Page {
  return { status, type: "text/plain; charset=utf-8", body: `${text}\n` };
}
