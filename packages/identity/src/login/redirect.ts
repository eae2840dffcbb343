import { timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { ANSWERED, type LandingPage, REFUSED, STRANGER } from "./landing-page.ts";
import { loginError } from "./login-error.ts";

/** Where the browser comes back to (RFC 8252, section 7.3). */
export interface RedirectListener {
  /** `http://127.0.0.1:<port>/callback`. */
  readonly redirectUri: string;
  /** The parameters of the first request that has our `state`, once its page is sent; whoever comes without it changes nothing. Rejects with the signal's reason. */
  answer(signal: AbortSignal): Promise<URLSearchParams>;
  close(): Promise<void>;
}

const PATH = "/callback";
const MAX_CONNECTIONS = 16;
const MAX_HEADER_BYTES = 16 * 1024;
const REQUEST_TIMEOUT_MS = 5000;
/** Node looks for late requests every 30 s by default: 16 silent connections would keep the browser out for as long. */
const CHECK_INTERVAL_MS = 500;

class Loopback implements RedirectListener {
  readonly #server: Server;
  readonly #state: string;
  readonly #answer = Promise.withResolvers<URLSearchParams>();
  #host = "";
  #answered = false;

  constructor(state: string) {
    this.#state = state;
    this.#server = createServer(
      {
        maxHeaderSize: MAX_HEADER_BYTES,
        requestTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: CHECK_INTERVAL_MS,
      },
      (request, response) => this.#receive(request, response),
    );
    this.#server.headersTimeout = REQUEST_TIMEOUT_MS;
    this.#server.maxConnections = MAX_CONNECTIONS;
  }

  get redirectUri(): string {
    return `http://${this.#host}${PATH}`;
  }

  async listen(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once("error", () => {
      reject(loginError("UNAVAILABLE", "no loopback port can be opened for the answer; --device"));
    });
    this.#server.listen(0, "127.0.0.1", resolve);
    await promise;
    this.#host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async answer(signal: AbortSignal): Promise<URLSearchParams> {
    const { promise, resolve, reject } = Promise.withResolvers<URLSearchParams>();
    const onAbort = (): void => reject(signal.reason as Error);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    void this.#answer.promise.then(resolve);
    return promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const parameters = this.#answered ? undefined : this.#parametersOf(request);
    if (parameters === undefined) {
      send(response, 404, STRANGER);
      return;
    }
    this.#answered = true;
    // Also when the browser leaves before it has read the page.
    response.once("close", () => this.#answer.resolve(parameters));
    send(response, 200, parameters.has("error") ? REFUSED : ANSWERED);
  }

  /** `undefined` for a request that does not know the state: a stranger, or another page of the browser (DNS rebinding). */
  #parametersOf({ method, url = "", headers }: IncomingMessage): URLSearchParams | undefined {
    if (method !== "GET" || headers.host !== this.#host || !url.startsWith(`${PATH}?`)) {
      return undefined;
    }
    const parameters = new URLSearchParams(url.slice(PATH.length + 1));
    const [state = "", ...more] = parameters.getAll("state");
    return more.length === 0 && isSame(state, this.#state) ? parameters : undefined;
  }
}

function send(response: ServerResponse, status: number, { html, headers }: LandingPage): void {
  response.writeHead(status, headers);
  response.end(html);
}

function isSame(given: string, expected: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(expected)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Listens on an ephemeral port of 127.0.0.1 for one answer with this `state`. Rejects `UNAVAILABLE`. */
export async function listenForRedirect(state: string): Promise<RedirectListener> {
  const listener = new Loopback(state);
  await listener.listen();
  return listener;
}
