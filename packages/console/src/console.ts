import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { ArchiveIndex, ArchiveLog } from "@countersign/archive";
import { CountersignError, type Logger } from "@countersign/model";
import { createAccess, type Access } from "./access.ts";
import { answerApi, isRead, refusalOf, sendJson } from "./api.ts";
import { findAsset } from "./assets.ts";
import { SECURITY_HEADERS } from "./headers.ts";
import { parseFilter } from "./params.ts";
import { createStreams, type Streams } from "./stream.ts";
import type { TraceSource } from "./trace-source.ts";

/** What a console needs. */
export interface ConsoleOptions {
  readonly index: ArchiveIndex;
  readonly log: ArchiveLog;
  /** Spans for the waterfall; without it the page says that there are none. */
  readonly traces?: TraceSource;
  /** Address to listen on; default 127.0.0.1. Any other than loopback needs a token. */
  readonly host?: string;
  /** Port; default 4180; 0 takes a free one. */
  readonly port?: number;
  /** Host names (without port) that browsers may use, besides loopback names. */
  readonly allowedHosts?: readonly string[];
  /** 16 to 256 unreserved characters. Absent: made at random at each start. `false`: none, on loopback only. */
  readonly token?: string | false;
  readonly logger?: Logger;
}

/** The console: one page and a read-only JSON API. */
export interface Console {
  /** For a server of one's own; `start` makes one. */
  handler(request: IncomingMessage, response: ServerResponse): void;
  /** Listens. Rejects UNAVAILABLE when the port is taken. */
  start(signal?: AbortSignal): Promise<void>;
  /** Ends the streams, then the connections. Safe to repeat, legal before `start`. */
  stop(deadline?: AbortSignal): Promise<void>;
  /** The address to open, with the token. Known once started. */
  readonly url: string;
}

const DEFAULT_PORT = 4180;
/** Requests have no body and short headers; whoever takes longer is not a browser. */
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_HEADER_BYTES = 16 * 1024;
const MAX_CONNECTIONS = 256;

/** Makes a console. Throws CONFIG_INVALID when the address and the token do not go together. */
export function createConsole(options: ConsoleOptions): Console {
  const host = options.host ?? "127.0.0.1";
  const access = createAccess({ host, allowedHosts: options.allowedHosts, token: options.token });
  return new HttpConsole(options, host, access);
}

class HttpConsole implements Console {
  readonly #options: ConsoleOptions;
  readonly #host: string;
  readonly #access: Access;
  readonly #streams: Streams;
  #server: Server | undefined;
  #url = "";

  constructor(options: ConsoleOptions, host: string, access: Access) {
    this.#options = options;
    this.#host = host;
    this.#access = access;
    this.#streams = createStreams(options.index);
  }

  get url(): string {
    return this.#url;
  }

  handler(request: IncomingMessage, response: ServerResponse): void {
    this.#answer(request, response).catch(() => response.destroy());
  }

  async start(_signal?: AbortSignal): Promise<void> {
    const server = createServer(
      {
        requestTimeout: REQUEST_TIMEOUT_MS,
        headersTimeout: REQUEST_TIMEOUT_MS,
        maxHeaderSize: MAX_HEADER_BYTES,
      },
      (request, response) => this.handler(request, response),
    );
    server.maxConnections = MAX_CONNECTIONS;
    this.#server = server;
    const port = this.#options.port ?? DEFAULT_PORT;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause) => reject(cannotListen(this.#host, port, cause)));
      server.listen(port, this.#host, resolve);
    });
    this.#url = this.#address((server.address() as AddressInfo).port);
  }

  async stop(deadline?: AbortSignal): Promise<void> {
    this.#streams.stop();
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const cut = (): void => server.closeAllConnections();
    if (deadline?.aborted === true) cut();
    deadline?.addEventListener("abort", cut, { once: true });
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeIdleConnections();
    });
    deadline?.removeEventListener("abort", cut);
  }

  #address(port: number): string {
    const host = this.#host.includes(":") ? `[${this.#host}]` : this.#host;
    const { token } = this.#access;
    return `http://${host}:${port}/${token === undefined ? "" : `?token=${token}`}`;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    const url = urlOf(request);
    if (url === undefined) return refuse(response, 400, "the request target is not a path");
    if (!isRead(request)) {
      response.setHeader("allow", "GET, HEAD");
      return refuse(response, 405, "this API only reads: GET or HEAD");
    }
    const admitted = this.#access.admit(request, url);
    if (admitted.kind === "refused") return refuse(response, admitted.status, admitted.message);
    if (admitted.kind === "cookie") {
      response.writeHead(303, { location: admitted.location, "set-cookie": admitted.setCookie });
      response.end();
      return;
    }
    if (url.pathname === "/api/stream" && request.method === "GET")
      return this.#stream(request, url, response);
    if (url.pathname.startsWith("/api/")) return await answerApi(this.#options, url, response);
    return await sendAsset(url, response);
  }

  #stream(request: IncomingMessage, url: URL, response: ServerResponse): void {
    try {
      const filter = parseFilter(url.searchParams, Date.now(), ["from"]);
      const from = positionOf(request.headers["last-event-id"] ?? url.searchParams.get("from"));
      if (this.#streams.open(response, filter, from)) return;
      response.setHeader("retry-after", "10");
      refuse(response, 503, "too many pages follow the log at the moment");
    } catch (error) {
      const { status, message } = refusalOf(error);
      refuse(response, status, message);
    }
  }
}

async function sendAsset(url: URL, response: ServerResponse): Promise<void> {
  const asset = await findAsset(url.pathname);
  if (asset === undefined) return refuse(response, 404, "no such file");
  response.writeHead(200, { "content-type": asset.type });
  response.end(asset.body);
}

function refuse(response: ServerResponse, status: number, message: string): void {
  sendJson(response, status, { error: { status, message } });
}

/** Origin-form targets only (`/path?query`), of bounded length by the header limit. */
function urlOf(request: IncomingMessage): URL | undefined {
  const target = request.url ?? "";
  if (!target.startsWith("/") || target.startsWith("//")) return undefined;
  return URL.canParse(target, "http://console") ? new URL(target, "http://console") : undefined;
}

/** Where a stream goes on: only a number counts, anything else means "now". */
function positionOf(value: unknown): number | undefined {
  return typeof value === "string" && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
}

function cannotListen(host: string, port: number, cause: Error): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `console: cannot listen on ${host}:${port} (${(cause as NodeJS.ErrnoException).code ?? "error"}); free the port or configure another endpoint`,
    { cause },
  );
}
