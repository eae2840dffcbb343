import { CountersignError, errorCode, isHttpsOrLoopback } from "@countersign/model";
import { type CryptoKey, importJWK, type JWK } from "jose";
import type * as OAuth from "oauth4webapi";
import { boundedFetch } from "./bounded-fetch.ts";
import { oauthErrorOf, withoutAnswer } from "./oauth-error.ts";
import type { SubjectToken } from "./subject-token.ts";

/** How this process is known to the token service. One of `clientSecret` and `clientKey` is needed: only a client that can be recognised may act for a human. */
export interface TokenServiceOptions {
  /** Issuer identifier (RFC 8414); https, or http on loopback. Its discovery document must name exactly this issuer. */
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret?: string;
  /** How the secret is sent. Default: `client_secret_basic`, unless the issuer says that it does not know it. */
  readonly secretMethod?: "client_secret_basic" | "client_secret_post";
  /** Private JWK with `alg` (and `kid`, if the issuer wants one), for `private_key_jwt` (RFC 7523). */
  readonly clientKey?: JWK;
  readonly fetch?: typeof fetch;
  /** Milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: () => number;
}

/** What to exchange. */
export interface ExchangeRequest {
  /** The human's token. */
  readonly subject: SubjectToken;
  readonly audience: string;
  /** What the answer is to be bound to, by DPoP (RFC 9449). */
  readonly keys: OAuth.CryptoKeyPair;
}

/** What the token service answered, unchecked. */
export interface ExchangedToken {
  readonly token: string;
  /** Lower case. */
  readonly tokenType: string;
}

/** A token service that exchanges tokens (RFC 8693). */
export interface TokenService {
  /**
   * A token for the audience instead of the human's. `undefined`: this issuer has no token exchange. Rejects `UNAVAILABLE`
   * (no answer, overloaded), `REJECTED` (refused), `CONFIG_INVALID` (the client's key).
   */
  exchange(request: ExchangeRequest, signal: AbortSignal): Promise<ExchangedToken | undefined>;
}

const COMPONENT = "identity/exchange";
const GRANT = "urn:ietf:params:oauth:grant-type:token-exchange";
const TOKEN_TYPE = "urn:ietf:params:oauth:token-type:";
const DISCOVERY_MAX_AGE_MS = 10 * 60_000;
const DISCOVERY_TIMEOUT_MS = 5000;
const MAX_BODY_BYTES = 256 * 1024;
class OAuthTokenService implements TokenService {
  readonly #options: TokenServiceOptions;
  readonly #issuer: URL;
  readonly #clock: () => number;
  /** Loopback only: everything else is https (checked when made, and again for the endpoint that discovery names). */
  readonly #fetch: typeof fetch;
  #discovered: { readonly server: OAuth.AuthorizationServer; readonly atMs: number } | undefined;
  #discovering: Promise<OAuth.AuthorizationServer> | undefined;
  #handle: { readonly keys: OAuth.CryptoKeyPair; readonly dpop: OAuth.DPoPHandle } | undefined;

  constructor(options: TokenServiceOptions) {
    this.#options = options;
    this.#issuer = new URL(options.issuer);
    this.#clock = options.clock ?? Date.now;
    this.#fetch = boundedFetch(options.fetch ?? fetch, {
      component: COMPONENT,
      whom: "the token service",
      maxBytes: MAX_BODY_BYTES,
    });
  }

  async exchange(
    request: ExchangeRequest,
    signal: AbortSignal,
  ): Promise<ExchangedToken | undefined> {
    const oauth = await import("oauth4webapi");
    try {
      const server = await this.#discover(oauth);
      if (server.grant_types_supported?.includes(GRANT) === false) return undefined;
      const ask = (): Promise<OAuth.TokenEndpointResponse> =>
        this.#ask(oauth, server, request, signal);
      // RFC 9449, section 8: the first answer may only say which nonce the proof has to carry.
      const answer = await ask().catch((error: unknown) =>
        oauth.isDPoPNonceError(error) ? ask() : Promise.reject(error as Error),
      );
      return { token: answer.access_token, tokenType: answer.token_type };
    } catch (error) {
      if (oauthErrorOf(error) === "unsupported_grant_type") return undefined;
      throw refused(error);
    }
  }

  async #ask(
    oauth: typeof OAuth,
    server: OAuth.AuthorizationServer,
    request: ExchangeRequest,
    signal: AbortSignal,
  ): Promise<OAuth.TokenEndpointResponse> {
    const client: OAuth.Client = { client_id: this.#options.clientId };
    const { keys } = request;
    if (this.#handle?.keys !== keys) this.#handle = { keys, dpop: oauth.DPoP(client, keys) };
    const response = await oauth.genericTokenEndpointRequest(
      server,
      client,
      await this.#authentication(oauth, server),
      GRANT,
      form(request),
      { ...this.#requestOptions<"POST", URLSearchParams>(oauth), signal, DPoP: this.#handle.dpop },
    );
    if (response.status >= 500 || response.status === 429) {
      throw unavailable(`the token service answered ${response.status}`);
    }
    return oauth.processGenericTokenEndpointResponse(server, client, response);
  }

  async #authentication(
    oauth: typeof OAuth,
    server: OAuth.AuthorizationServer,
  ): Promise<OAuth.ClientAuth> {
    const { clientSecret, secretMethod, clientKey } = this.#options;
    if (clientSecret !== undefined) {
      const known = server.token_endpoint_auth_methods_supported;
      const basic = known?.includes("client_secret_basic") !== false;
      const method = secretMethod ?? (basic ? "client_secret_basic" : "client_secret_post");
      return method === "client_secret_basic"
        ? oauth.ClientSecretBasic(clientSecret)
        : oauth.ClientSecretPost(clientSecret);
    }
    const { kid } = clientKey as JWK;
    let key: CryptoKey;
    try {
      key = (await importJWK(clientKey as JWK)) as CryptoKey;
    } catch {
      throw new CountersignError("CONFIG_INVALID", `${COMPONENT}: clientKey is no private JWK`);
    }
    return oauth.PrivateKeyJwt(kid === undefined ? { key } : { key, kid });
  }

  async #discover(oauth: typeof OAuth): Promise<OAuth.AuthorizationServer> {
    const found = this.#discovered;
    if (found !== undefined && this.#clock() - found.atMs < DISCOVERY_MAX_AGE_MS) {
      return found.server;
    }
    this.#discovering ??= this.#load(oauth).finally(() => (this.#discovering = undefined));
    return this.#discovering;
  }

  /** OpenID discovery first, then OAuth's, like for the keys. */
  async #load(oauth: typeof OAuth): Promise<OAuth.AuthorizationServer> {
    const signal = AbortSignal.timeout(DISCOVERY_TIMEOUT_MS);
    const load = async (algorithm: "oidc" | "oauth2"): Promise<OAuth.AuthorizationServer> => {
      const options = { ...this.#requestOptions<"GET">(oauth), algorithm, signal };
      const response = await oauth.discoveryRequest(this.#issuer, options);
      return oauth.processDiscoveryResponse(this.#issuer, response);
    };
    const server = await load("oidc")
      .catch(() => load("oauth2"))
      .catch((error: unknown) => {
        throw errorCode(error) === undefined
          ? unavailable("it has no discovery document that names this issuer")
          : error;
      });
    const endpoint = server.token_endpoint;
    if (endpoint === undefined || !isHttpsOrLoopback(endpoint)) {
      throw unavailable("its discovery document has no usable token_endpoint");
    }
    this.#discovered = { server, atMs: this.#clock() };
    return server;
  }

  #requestOptions<Method, Body = undefined>(
    oauth: typeof OAuth,
  ): OAuth.HttpRequestOptions<Method, Body> {
    const fetcher = this.#fetch;
    return {
      // http was let through for loopback alone
      [oauth.allowInsecureRequests]: true,
      [oauth.customFetch]: (url, init) => fetcher(url, init as RequestInit),
    };
  }
}

function form({ subject, audience }: ExchangeRequest): Record<string, string> {
  return {
    subject_token: subject.reveal(),
    subject_token_type: TOKEN_TYPE + subject.kind,
    requested_token_type: `${TOKEN_TYPE}access_token`,
    audience,
  };
}

function refused(error: unknown): CountersignError {
  return withoutAnswer(error, (known) => {
    // RFC 6749, section 5.2: 401 is about the client; with a challenge in its header oauth4webapi does not read the body.
    const name = (error as { status?: unknown }).status === 401 ? "invalid_client" : known;
    return new CountersignError(
      "REJECTED",
      name === undefined
        ? `${COMPONENT}: the token service refused the exchange, or its answer is unusable`
        : `${COMPONENT}: the token service refused the exchange: ${name}`,
    );
  });
}

function unavailable(what: string): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `${COMPONENT}: the token service cannot be asked: ${what}`,
  );
}

/** The token service of one issuer. Nothing is asked before the first exchange. Throws `CONFIG_INVALID`. */
export function createTokenService(options: TokenServiceOptions): TokenService {
  if (!isHttpsOrLoopback(options.issuer)) {
    throw new CountersignError(
      "CONFIG_INVALID",
      `${COMPONENT}: issuer must be an https URL, or http on loopback`,
    );
  }
  if ((options.clientSecret === undefined) === (options.clientKey === undefined)) {
    throw new CountersignError(
      "CONFIG_INVALID",
      `${COMPONENT}: give either clientSecret or clientKey`,
    );
  }
  return new OAuthTokenService(options);
}
