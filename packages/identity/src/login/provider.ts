import { isHttpsOrLoopback } from "@countersign/model";
import * as oauth from "oauth4webapi";
import { boundedFetch } from "../bounded-fetch.ts";
import { loginError, safeError } from "./login-error.ts";
import type { LoginKey } from "./login-key.ts";

/** Which identity provider, and as which (public) client. */
export interface ProviderOptions {
  /** https, or http on loopback; without query and fragment (RFC 8414, section 2). */
  readonly issuer: string;
  readonly clientId: string;
  readonly fetch?: typeof fetch;
}

/** What every request to the identity provider needs. */
export interface Provider {
  readonly server: oauth.AuthorizationServer;
  readonly client: oauth.Client;
  /** Bounded: 256 KiB an answer, 10 s each, no redirects. */
  request<Method, Body = undefined>(
    signal: AbortSignal,
  ): oauth.HttpRequestOptions<Method, Body> & { readonly signal: AbortSignal };
  /** The signer of DPoP proofs; absent when the issuer does not announce DPoP with ES256. Keeps the server's nonce. */
  dpop(key: LoginKey): oauth.DPoPHandle | undefined;
}

const MAX_BODY_BYTES = 256 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;
/** What ID tokens may be signed with, whatever the issuer announces: asymmetric algorithms. */
const ALGORITHMS = [
  "ES256",
  "ES384",
  "ES512",
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "EdDSA",
  "Ed25519",
];
const ENDPOINTS = [
  "authorization_endpoint",
  "device_authorization_endpoint",
  "jwks_uri",
  "revocation_endpoint",
  "token_endpoint",
] as const;

class DiscoveredProvider implements Provider {
  readonly server: oauth.AuthorizationServer;
  readonly client: oauth.Client;
  readonly #fetch: typeof fetch;
  readonly #insecure: boolean;
  #handle: { readonly key: LoginKey; readonly dpop: oauth.DPoPHandle } | undefined;

  constructor(server: oauth.AuthorizationServer, clientId: string, fetcher: typeof fetch) {
    this.server = server;
    this.client = { client_id: clientId };
    this.#fetch = fetcher;
    this.#insecure = isInsecure(server.issuer);
  }

  request<Method, Body = undefined>(
    signal: AbortSignal,
  ): oauth.HttpRequestOptions<Method, Body> & { readonly signal: AbortSignal } {
    return requestOptions(this.#fetch, this.#insecure, signal);
  }

  dpop(key: LoginKey): oauth.DPoPHandle | undefined {
    if (this.server.dpop_signing_alg_values_supported?.includes("ES256") !== true) return undefined;
    if (this.#handle?.key !== key) {
      this.#handle = { key, dpop: oauth.DPoP(this.client, key.pair) };
    }
    return this.#handle.dpop;
  }
}

function requestOptions<Method, Body = undefined>(
  fetcher: typeof fetch,
  insecure: boolean,
  signal: AbortSignal,
): oauth.HttpRequestOptions<Method, Body> & { readonly signal: AbortSignal } {
  return {
    // http was let through for loopback alone
    [oauth.allowInsecureRequests]: insecure,
    [oauth.customFetch]: (url, init) => fetcher(url, init as RequestInit),
    signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT_MS)]),
  };
}

function isInsecure(issuer: string): boolean {
  return new URL(issuer).protocol === "http:";
}

/** Answers of an overloaded or broken server are no refusals, whatever their body says. */
function refusingServerErrors(fetcher: typeof fetch): typeof fetch {
  return async (input, init) => {
    const response = await fetcher(input, init);
    if (response.status < 500 && response.status !== 429) return response;
    throw loginError(
      "UNAVAILABLE",
      `the identity provider cannot be asked: it answered ${response.status}`,
    );
  };
}

/**
 * Reads the discovery document of an issuer (OpenID Connect Discovery). Rejects `CONFIG_INVALID` (the issuer is no URL to be used,
 * or the document names another one), `UNAVAILABLE`.
 */
export async function discover(options: ProviderOptions, signal: AbortSignal): Promise<Provider> {
  requireIssuer(options.issuer);
  const issuer = new URL(options.issuer);
  const bounds = {
    component: "identity/login",
    whom: "the identity provider",
    maxBytes: MAX_BODY_BYTES,
  };
  const fetcher = refusingServerErrors(boundedFetch(options.fetch ?? fetch, bounds));
  try {
    const response = await oauth.discoveryRequest(issuer, {
      ...requestOptions<"GET">(fetcher, isInsecure(options.issuer), signal),
      algorithm: "oidc",
    });
    const server = await oauth.processDiscoveryResponse(issuer, response);
    requireUsable(server);
    return new DiscoveredProvider(withAlgorithms(server), options.clientId, fetcher);
  } catch (error) {
    throw safeError(error);
  }
}

/** RFC 8414, section 2. An empty query or fragment is one, too: the URL is compared as it is written. */
function requireIssuer(issuer: string): void {
  if (!isHttpsOrLoopback(issuer)) {
    throw loginError("CONFIG_INVALID", "the issuer must be an https URL, or http on loopback");
  }
  if (/[?#]/.test(issuer)) {
    throw loginError(
      "CONFIG_INVALID",
      "the issuer has a query or a fragment, which no issuer has; give --issuer only the part before ? and #",
    );
  }
}

/** A document may name any host; it must not move a login from https to http, or to another machine in clear text. */
function requireUsable(server: oauth.AuthorizationServer): void {
  for (const name of ENDPOINTS) {
    const endpoint = server[name];
    if (endpoint === undefined) continue;
    const usable = typeof endpoint === "string" && isHttpsOrLoopback(endpoint);
    if (!usable || (isInsecure(endpoint) && !isInsecure(server.issuer))) {
      throw loginError(
        "UNAVAILABLE",
        `the discovery document has no usable ${name} (https, or http on loopback if the issuer is)`,
      );
    }
  }
  if (server.token_endpoint === undefined || server.jwks_uri === undefined) {
    throw loginError("UNAVAILABLE", "the discovery document lacks token_endpoint or jwks_uri");
  }
}

function withAlgorithms(server: oauth.AuthorizationServer): oauth.AuthorizationServer {
  const announced = server.id_token_signing_alg_values_supported ?? ["RS256"];
  const usable = announced.filter((name) => ALGORITHMS.includes(name));
  return { ...server, id_token_signing_alg_values_supported: usable };
}

/** Options of a request to the token endpoint, with a DPoP proof if the issuer takes them. */
export function tokenOptions(
  provider: Provider,
  key: LoginKey,
  parameters: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): oauth.TokenEndpointRequestOptions {
  const dpop = provider.dpop(key);
  const additionalParameters = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) additionalParameters.set(name, value);
  }
  return {
    ...provider.request<"POST", URLSearchParams>(signal),
    ...(dpop === undefined ? {} : { DPoP: dpop }),
    additionalParameters,
  };
}

/**
 * Asks the token endpoint, once more if it only said which nonce the DPoP proof has to carry (RFC 9449, section 8). A refusal
 * that `understand` has a word for is an answer; other errors quote nothing.
 */
export async function askTokenEndpoint<T, R = never>(
  ask: () => Promise<T>,
  understand: (refusal: unknown) => R | undefined = () => undefined,
): Promise<T | R> {
  try {
    return await ask().catch<T>((error: unknown) =>
      oauth.isDPoPNonceError(error) ? ask() : Promise.reject(error),
    );
  } catch (error) {
    const understood = understand(error);
    if (understood !== undefined) return understood;
    throw safeError(error);
  }
}
