// An identity provider that follows the book, but for what a test tells it to get wrong. Its codes, tokens and free texts contain
// CANARY, so that one search finds whatever gets out.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { calculateJwkThumbprint, decodeProtectedHeader, type JWTPayload, SignJWT } from "jose";
import { type TestKey, testKey } from "./issuer.ts";

/** In everything that must not be quoted. */
export const CANARY = "kanarienvogel";

/** What it does otherwise than by the book. */
export interface Oddity {
  /** Instead of the whole answer, by path: `/token`, `/keys`, … */
  paths?: Record<string, (request: IncomingMessage, response: ServerResponse) => void>;
  metadata?: Record<string, unknown>;
  /** Of the redirect; `undefined` removes one. */
  redirect?: Record<string, string | undefined>;
  /** Of the ID token; `undefined` removes one. */
  idToken?: Record<string, unknown>;
  /** Of the access token; `undefined` removes one. */
  accessToken?: Record<string, unknown>;
  /** Signs the ID token. */
  sign?: (claims: JWTPayload) => Promise<string>;
  /** Of the answer of the token endpoint; `undefined` removes one. */
  answer?: Record<string, unknown>;
  /** Instead of an answer for this resource. */
  errorFor?: Record<string, string>;
  error?: { readonly status: number; readonly error: string };
  /** Resources are not understood: access tokens are always for this. */
  audience?: string;
  tokenSeconds?: number;
  /** Answers to a polling device before it gets its tokens. */
  pending?: string[];
}

/** One request to the token endpoint. */
export interface TokenRequest {
  readonly form: URLSearchParams;
  readonly hasDpop: boolean;
}

interface Session {
  readonly nonce: string | undefined;
  readonly dpop: boolean;
}

/** See above. */
export class LoginProvider {
  odd: Oddity = {};
  readonly asked: TokenRequest[] = [];
  readonly revoked: string[] = [];
  readonly #server: Server;
  readonly #key: TestKey;
  readonly #codes = new Map<string, Session>();
  readonly #refresh = new Map<string, Session>();
  #issuer = "";
  #counter = 0;

  private constructor(key: TestKey) {
    this.#key = key;
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(): Promise<LoginProvider> {
    const provider = new LoginProvider(await testKey("login", "ES256"));
    provider.#server.listen(0, "127.0.0.1");
    await once(provider.#server, "listening");
    provider.#issuer = `http://127.0.0.1:${(provider.#server.address() as AddressInfo).port}`;
    return provider;
  }

  get issuer(): string {
    return this.#issuer;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.#issuer);
    const odd = this.odd.paths?.[url.pathname];
    if (odd !== undefined) {
      odd(request, response);
      return;
    }
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        json(response, 200, this.#metadata());
        return;
      case "/keys":
        json(response, 200, { keys: [this.#key.jwk] });
        return;
      case "/authorize":
        this.#authorize(url.searchParams, response);
        return;
      case "/device":
        this.#device(new URLSearchParams(await text(request)), response);
        return;
      case "/revoke":
        this.revoked.push(new URLSearchParams(await text(request)).get("token") ?? "");
        response.writeHead(200).end();
        return;
      case "/token":
        await this.#token(request, response);
        return;
      default:
        response.writeHead(404).end();
    }
  }

  #metadata(): Record<string, unknown> {
    return without({
      issuer: this.#issuer,
      authorization_endpoint: `${this.#issuer}/authorize`,
      token_endpoint: `${this.#issuer}/token`,
      jwks_uri: `${this.#issuer}/keys`,
      revocation_endpoint: `${this.#issuer}/revoke`,
      device_authorization_endpoint: `${this.#issuer}/device`,
      id_token_signing_alg_values_supported: ["ES256", "HS256", "none"],
      dpop_signing_alg_values_supported: ["ES256"],
      authorization_response_iss_parameter_supported: true,
      ...this.odd.metadata,
    });
  }

  #authorize(asked: URLSearchParams, response: ServerResponse): void {
    const code = this.#name("code");
    this.#codes.set(code, { nonce: asked.get("nonce") ?? undefined, dpop: asked.has("dpop_jkt") });
    const back = new URL(asked.get("redirect_uri") ?? "");
    const base = { code, state: asked.get("state") ?? "", iss: this.#issuer };
    for (const [name, value] of Object.entries(without({ ...base, ...this.odd.redirect }))) {
      back.searchParams.set(name, String(value));
    }
    response.writeHead(302, { location: back.href }).end();
  }

  #device(asked: URLSearchParams, response: ServerResponse): void {
    const code = this.#name("device");
    this.#codes.set(code, { nonce: asked.get("nonce") ?? undefined, dpop: true });
    json(response, 200, {
      device_code: code,
      user_code: "WDJB-MJHT",
      verification_uri: `${this.#issuer}/activate`,
      expires_in: 60,
      interval: 0.05,
      ...this.odd.answer,
    });
  }

  async #token(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = new URLSearchParams(await text(request));
    const proof = request.headers["dpop"];
    this.asked.push({ form, hasDpop: proof !== undefined });
    const pending = form.has("device_code") ? this.odd.pending?.shift() : undefined;
    const refusal =
      this.odd.error ?? this.#refusalOf(this.odd.errorFor?.[form.get("resource") ?? ""] ?? pending);
    if (refusal !== undefined) {
      json(response, refusal.status, { ...refusal, error_description: `${CANARY} said no` });
      return;
    }
    const session = this.#redeem(form);
    if (session === undefined) {
      json(response, 400, { error: "invalid_grant", error_description: CANARY });
      return;
    }
    json(response, 200, await this.#tokens(form, session, typeof proof === "string" ? proof : ""));
  }

  #refusalOf(error: string | undefined): Oddity["error"] {
    return error === undefined ? undefined : { status: 400, error };
  }

  /** Codes and refresh tokens are good once. */
  #redeem(form: URLSearchParams): Session | undefined {
    const refresh = form.get("refresh_token");
    const from = refresh === null ? this.#codes : this.#refresh;
    const name = refresh ?? form.get("code") ?? form.get("device_code") ?? "";
    const session = from.get(name);
    from.delete(name);
    return session;
  }

  async #tokens(form: URLSearchParams, session: Session, proof: string): Promise<object> {
    const now = Math.floor(Date.now() / 1000);
    const exp = now + (this.odd.tokenSeconds ?? 600);
    const refreshToken = this.#name("refresh");
    this.#refresh.set(refreshToken, session);
    const base = { iss: this.#issuer, sub: "alice", iat: now, exp };
    const id = { ...base, aud: "cli", nonce: session.nonce, auth_time: now, ...this.odd.idToken };
    const sign = this.odd.sign ?? ((claims: JWTPayload) => this.sign(claims));
    const jkt = proof === "" ? undefined : await thumbprintOf(proof);
    const aud = this.odd.audience ?? form.get("resource") ?? "urn:nobody";
    const access = {
      ...base,
      aud,
      jti: this.#name("jti"),
      cnf: jkt && { jkt },
      ...this.odd.accessToken,
    };
    return without({
      token_type: jkt === undefined ? "Bearer" : "DPoP",
      access_token: await this.sign(without(access), "at+jwt"),
      id_token: await sign(without(id)),
      refresh_token: refreshToken,
      expires_in: 600,
      ...this.odd.answer,
    });
  }

  sign(claims: JWTPayload, typ?: string): Promise<string> {
    const { kid, algorithm: alg, privateKey } = this.#key;
    return new SignJWT(claims)
      .setProtectedHeader({ alg, kid, ...(typ === undefined ? {} : { typ }) })
      .sign(privateKey);
  }

  #name(kind: string): string {
    this.#counter += 1;
    return `${CANARY}-${kind}-${this.#counter}`;
  }
}

/** Answers 200 with this body. */
export function raw(
  body: string | Buffer,
  type = "application/json",
): (request: IncomingMessage, response: ServerResponse) => void {
  return (_request: IncomingMessage, response: ServerResponse): void => {
    response.writeHead(200, { "content-type": type }).end(body);
  };
}

/** Answers with this status and error. */
export function refusing(
  status: number,
  error: string,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (_request, response) => json(response, status, { error });
}

/** Sends elsewhere. */
export function redirecting(
  location: string,
): (request: IncomingMessage, response: ServerResponse) => void {
  return (_request, response) => void response.writeHead(302, { location }).end();
}

function json(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(JSON.stringify(body));
}

async function thumbprintOf(proof: string): Promise<string> {
  return calculateJwkThumbprint(decodeProtectedHeader(proof).jwk ?? {});
}

function without(members: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}
