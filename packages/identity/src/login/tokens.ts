import { calculateJwkThumbprint, decodeJwt, type JWK, type JWTPayload } from "jose";
import * as oauth from "oauth4webapi";
import { audiencesOf, humanOf, type TokenHuman } from "../token-claims.ts";
import { loginError, safeError } from "./login-error.ts";
import type { Provider } from "./provider.ts";

/** How an ID token is tied to the login key. */
export type IdTokenBinding = "id_token_cnf" | "nonce";

/** A verified ID token that the login key belongs to. */
export interface BoundIdToken {
  readonly token: string;
  readonly expiresAtMs: number;
  readonly binding: IdTokenBinding;
}

/** An access token that only the login key can use (RFC 9449). */
export interface BoundAccessToken {
  readonly token: string;
  readonly audiences: readonly string[];
  readonly expiresAtMs: number;
}

/** What an answer of the token endpoint is good for. */
export interface Tokens {
  readonly subject?: string;
  /** ISO 8601. */
  readonly authTime?: string;
  readonly idToken?: BoundIdToken;
  readonly accessToken?: BoundAccessToken;
  readonly refreshToken?: string;
  /** Access tokens are bound to the login key, and so is the refresh token of a public client. */
  readonly senderConstrained: boolean;
}

/** What an answer is held against. */
export interface Expected {
  /** Thumbprint of the login key. */
  readonly jkt: string;
  /** The commitment to it. */
  readonly nonce: string;
  /** Who logged in; absent at login. */
  readonly subject?: string;
}

/** A token has to fit into `_meta` beside its proof. */
const MAX_TOKEN_CHARS = 12 * 1024;

/**
 * Verifies an answer of the token endpoint: the signature of its ID token here, its other claims by oauth4webapi before. A token that is
 * not tied to the login key is left out: whoever steals it could use it, and nobody may believe it. Rejects `REJECTED`.
 */
export async function readTokens(
  provider: Provider,
  answer: { readonly response: Response; readonly body: oauth.TokenEndpointResponse },
  expected: Expected,
  signal: AbortSignal,
): Promise<Tokens> {
  const { response, body } = answer;
  const claims = oauth.getValidatedIdTokenClaims(body);
  if (claims !== undefined) await verifySignature(provider, response, signal);
  const human = claims === undefined ? undefined : humanIn(claims, provider);
  const subject = human?.subject ?? expected.subject;
  if (expected.subject !== undefined && subject !== expected.subject) {
    throw loginError("REJECTED", "the identity provider answered for somebody else");
  }
  const idToken = await boundIdToken(body.id_token, claims, expected);
  const accessToken =
    subject === undefined ? undefined : accessTokenOf(provider, body, { ...expected, subject });
  return {
    ...(subject === undefined ? {} : { subject }),
    ...(human?.authTime === undefined ? {} : { authTime: human.authTime }),
    ...(idToken === undefined ? {} : { idToken }),
    ...(accessToken === undefined ? {} : { accessToken }),
    ...(body.refresh_token === undefined ? {} : { refreshToken: body.refresh_token }),
    senderConstrained: body.token_type === "dpop",
  };
}

async function verifySignature(
  provider: Provider,
  response: Response,
  signal: AbortSignal,
): Promise<void> {
  try {
    const options = provider.request<"GET">(signal);
    await oauth.validateApplicationLevelSignature(provider.server, response, options);
  } catch (error) {
    throw safeError(error);
  }
}

function humanIn(claims: oauth.IDToken, provider: Provider): TokenHuman {
  const human = humanOf(claims, provider.server.issuer, provider.client.client_id);
  if (human === "not_human") {
    throw loginError("REJECTED", "the ID token is of a client, not of a human");
  }
  if (human === "invalid") throw loginError("REJECTED", "the ID token has claims of wrong kinds");
  return human;
}

/** A `nonce` that is there must be ours: another one is the answer to somebody else's request. */
async function boundIdToken(
  token: string | undefined,
  claims: oauth.IDToken | undefined,
  { jkt, nonce }: Expected,
): Promise<BoundIdToken | undefined> {
  if (token === undefined || claims === undefined) return undefined;
  if (token.length > MAX_TOKEN_CHARS) {
    throw loginError("REJECTED", "the ID token is too large to travel with a call (12 KiB)");
  }
  if (claims.nonce !== undefined && claims.nonce !== nonce) {
    throw loginError("REJECTED", "the ID token answers another request (nonce)");
  }
  const cnf = claims["cnf"];
  // A key that is named is the key, whatever the nonce says: verifiers look at it first.
  const isBound = cnf === undefined ? claims.nonce === nonce : (await confirmedKey(cnf)) === jkt;
  if (!isBound) return undefined;
  const binding = cnf === undefined ? "nonce" : "id_token_cnf";
  return { token, expiresAtMs: claims.exp * 1000, binding };
}

/** RFC 7800: the key itself, or its thumbprint (RFC 9449, section 6.1). */
async function confirmedKey(cnf: unknown): Promise<string | undefined> {
  const { jkt, jwk } = (cnf ?? {}) as { jkt?: unknown; jwk?: unknown };
  if (typeof jkt === "string") return jkt;
  if (typeof jwk !== "object" || jwk === null) return undefined;
  return calculateJwkThumbprint(jwk as JWK).catch(() => undefined);
}

/**
 * The access token, if it is a JWT of this issuer for this human and bound to this key. It came from the issuer itself over a pinned
 * connection, so its signature is left to the server it is for.
 */
function accessTokenOf(
  provider: Provider,
  body: oauth.TokenEndpointResponse,
  expected: Expected & { readonly subject: string },
): BoundAccessToken | undefined {
  const token = body.access_token;
  if (body.token_type !== "dpop" || token.length > MAX_TOKEN_CHARS) return undefined;
  const claims = claimsOf(token);
  if (claims?.iss !== provider.server.issuer || claims.sub !== expected.subject) return undefined;
  const { jkt } = (claims["cnf"] ?? {}) as { jkt?: unknown };
  const audiences = audiencesOf(claims);
  if (jkt !== expected.jkt || audiences === undefined || typeof claims.exp !== "number") {
    return undefined;
  }
  return { token, audiences, expiresAtMs: claims.exp * 1000 };
}

/** Unverified. `undefined`: no JWT. */
export function claimsOf(token: string): JWTPayload | undefined {
  try {
    return decodeJwt(token);
  } catch {
    return undefined;
  }
}
