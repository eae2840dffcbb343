// One way to listen and to stop listening, for every server of the service.
import type { IncomingMessage, Server as HttpServer } from "node:http";
import type { Server as HttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { CountersignError, isLoopbackHost } from "@countersign/model";
import { type ConfigFault, type Endpoint, parseEndpoint } from "@countersign/pipeline";

type Server = HttpServer | HttpsServer;

/** Listens. Rejects UNAVAILABLE when the address cannot be had. Resolves with the URL, without a path. */
export async function listen(server: Server, endpoint: Endpoint, id: string): Promise<string> {
  const { host, port } = endpoint;
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void => {
      const why = cause.code ?? "error";
      reject(
        new CountersignError(
          "UNAVAILABLE",
          `${id}: cannot listen on ${host}:${port} (${why}); free the port or configure another endpoint`,
          { cause },
        ),
      );
    };
    server.once("error", fail);
    server.listen(port, host, () => {
      server.off("error", fail);
      resolve();
    });
  });
  const shown = host.includes(":") ? `[${host}]` : host;
  const scheme = "setSecureContext" in server ? "https" : "http";
  return `${scheme}://${shown}:${(server.address() as AddressInfo).port}`;
}

/** Takes no new connection, waits for the requests under way, cuts them when `deadline` aborts. */
export async function stopListening(server: Server, deadline: AbortSignal): Promise<void> {
  if (!server.listening) return;
  const cut = (): void => server.closeAllConnections();
  if (deadline.aborted) cut();
  deadline.addEventListener("abort", cut, { once: true });
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  deadline.removeEventListener("abort", cut);
}

/** Configuration of an address: {@link loopbackOnly} is to be asked too. */
export const ENDPOINT_SCHEMA: {
  readonly type: "string";
  readonly format: "endpoint";
  readonly description: string;
} = {
  type: "string",
  format: "endpoint",
  description: "Write host:port, for example 127.0.0.1:4318 or [::1]:4318.",
};

/** Without authentication a server may be reached by processes of this machine only. */
export function loopbackOnly(endpoint: string, path: readonly string[]): readonly ConfigFault[] {
  const parsed = parseEndpoint(endpoint);
  if (parsed === undefined || isLoopbackHost(parsed.host)) return [];
  return [
    {
      path,
      message: "is not a loopback address, and this build has no authentication for it",
      fix: `listen on 127.0.0.1:${parsed.port} or [::1]:${parsed.port}, and let a proxy with TLS and authentication stand before it`,
    },
  ];
}

/** For what shows figures and states, and no secret: any address will do, but it is worth knowing. */
export function openToNetwork(endpoint: string, path: readonly string[]): readonly ConfigFault[] {
  const parsed = parseEndpoint(endpoint);
  if (parsed === undefined || isLoopbackHost(parsed.host)) return [];
  return [
    {
      path,
      message: "is not a loopback address: whoever reaches it can read it, without a credential",
      fix: "let only the network of your monitoring reach it",
      severity: "warning",
    },
  ];
}

/** {@link parseEndpoint} of a value that validation let through. */
export function endpointOf(text: string): Endpoint {
  const endpoint = parseEndpoint(text);
  if (endpoint === undefined)
    throw new CountersignError("BUG", "config: an endpoint was not validated");
  return endpoint;
}

/**
 * Whether a request was made to this machine by name: a page in a browser can make its own host name point at 127.0.0.1 (DNS
 * rebinding), but it cannot change the name that it asks for.
 */
export function asksForLoopback(request: IncomingMessage): boolean {
  const host = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/.exec(request.headers.host ?? "");
  const name = host?.[1] ?? host?.[2];
  return name !== undefined && isLoopbackHost(name.toLowerCase());
}
