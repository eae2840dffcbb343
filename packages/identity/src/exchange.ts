import { createHash } from "node:crypto";
import { CountersignError } from "@countersign/model";
import {
  calculateJwkThumbprint,
  type CryptoKey,
  decodeJwt,
  exportJWK,
  generateKeyPair,
  type JWK,
} from "jose";
import type { Credential, CredentialSource } from "./credential.ts";
import { createRecentMap, type RecentMap } from "./recent-map.ts";
import { currentSubject, type SubjectToken } from "./subject-token.ts";
import {
  createTokenService,
  type ExchangedToken,
  type TokenService,
  type TokenServiceOptions,
} from "./token-service.ts";
import { orAbort } from "./wait.ts";

/** Which token service, and as whom. */
export interface ExchangeOptions extends TokenServiceOptions {
  /** Exchanged tokens kept, the least recently used go first. Default 256. */
  readonly maxEntries?: number;
  /** Default 5,000. */
  readonly timeoutMs?: number;
}

const COMPONENT = "identity/exchange";
const TIMEOUT_MS = 5000;
const MAX_ENTRIES = 256;
const MAX_CONCURRENT = 64;
/** A token has to fit into `_meta` beside its proof. */
const MAX_TOKEN_CHARS = 12 * 1024;
const MAX_AUDIENCE_CHARS = 2048;
/** A token is renewed this long before it expires, or after 80 % of a short life. */
const RENEW_BEFORE_MS = 60_000;

interface BindingKey {
  readonly pair: { readonly privateKey: CryptoKey; readonly publicKey: CryptoKey };
  readonly jwk: JWK;
  readonly jkt: string;
}

interface Kept {
  readonly credential: Credential;
  readonly renewAtMs: number;
}

class ExchangedCredentials implements CredentialSource {
  readonly #issuer: string;
  readonly #clientId: string;
  readonly #timeoutMs: number;
  readonly #service: TokenService;
  readonly #clock: () => number;
  readonly #kept: RecentMap<Kept>;
  readonly #flights = new Map<string, Promise<Credential | undefined>>();
  #key: Promise<BindingKey> | undefined;

  constructor(options: ExchangeOptions) {
    this.#issuer = options.issuer;
    this.#clientId = options.clientId;
    this.#kept = createRecentMap(options.maxEntries ?? MAX_ENTRIES);
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#clock = options.clock ?? Date.now;
    this.#service = createTokenService(options);
  }

  async current(audience: string, signal: AbortSignal): Promise<Credential | undefined> {
    const subject = currentSubject();
    if (signal.aborted) throw cancelled();
    if (subject === undefined) return undefined;
    const human = claimsOf(subject.reveal());
    // A subject means something to its own issuer only: another one's token service may know somebody else by it.
    if (human?.iss !== this.#issuer || typeof human.sub !== "string") return undefined;
    if (audience.length > MAX_AUDIENCE_CHARS) throw rejected("the audience is too long");
    const key = cacheKey(subject, audience);
    return (
      this.#cached(key) ?? within(signal, this.#fly(key, subject, human.sub, audience), cancelled)
    );
  }

  #cached(key: string): Credential | undefined {
    const kept = this.#kept.get(key);
    return kept !== undefined && this.#clock() < kept.renewAtMs ? kept.credential : undefined;
  }

  /** One exchange at a time for the same human and audience, shared by all that wait, and stopped by none of them. */
  #fly(
    key: string,
    subject: SubjectToken,
    sub: string,
    audience: string,
  ): Promise<Credential | undefined> {
    const running = this.#flights.get(key);
    if (running !== undefined) return running;
    if (this.#flights.size >= MAX_CONCURRENT) {
      throw new CountersignError(
        "UNAVAILABLE",
        `${COMPONENT}: ${MAX_CONCURRENT} exchanges are under way already`,
        { retryAfterMs: 1000 },
      );
    }
    const flight = this.#exchange(key, subject, sub, audience).finally(() =>
      this.#flights.delete(key),
    );
    this.#flights.set(key, flight);
    return flight;
  }

  async #exchange(
    key: string,
    subject: SubjectToken,
    sub: string,
    audience: string,
  ): Promise<Credential | undefined> {
    this.#key ??= bindingKey();
    const binding = await this.#key;
    const signal = AbortSignal.timeout(this.#timeoutMs);
    const request = { subject, audience, keys: binding.pair };
    const answer = await within(signal, this.#service.exchange(request, signal), late);
    if (answer === undefined) return undefined;
    if (answer.token === subject.reveal()) throw rejected("it gave the human's own token back");
    const expected = { issuer: this.#issuer, clientId: this.#clientId, sub, audience };
    const expiresAtMs = expiryOf(answer, { ...expected, jkt: binding.jkt });
    const credential = { token: answer.token, key: binding.jwk, expiresAtMs };
    this.#keep(key, credential);
    return credential;
  }

  #keep(key: string, credential: Credential): void {
    const now = this.#clock();
    const lifeMs = credential.expiresAtMs - now;
    if (lifeMs <= 0) throw rejected("its token has expired already");
    const renewAtMs = Math.max(credential.expiresAtMs - RENEW_BEFORE_MS, now + 0.8 * lifeMs);
    this.#kept.set(key, { credential, renewAtMs });
  }
}

interface Expected {
  readonly issuer: string;
  readonly clientId: string;
  readonly sub: string;
  readonly audience: string;
  readonly jkt: string;
}

/**
 * Holds the answer against what was asked, and says when it expires (ms). It came from the service itself over a pinned
 * connection, so its signature is left to the server it is for; what it *says* decides whether it may be used in this human's name.
 */
function expiryOf({ token, tokenType }: ExchangedToken, expected: Expected): number {
  if (token.length > MAX_TOKEN_CHARS) throw rejected("its token is too large");
  const claims = claimsOf(token);
  if (claims === undefined) throw rejected("its token is no JWT, so nobody can say whose it is");
  if (claims.iss !== expected.issuer) throw rejected("its token names another issuer");
  if (claims.sub !== expected.sub) throw rejected("its token names another subject");
  const audiences = Array.isArray(claims.aud) ? claims.aud : [claims.aud];
  if (!audiences.includes(expected.audience)) throw rejected("its token is for another audience");
  if (tokenType !== "dpop" || memberOf(claims["cnf"], "jkt") !== expected.jkt) {
    throw rejected("its token is not bound to the key of this process (DPoP)");
  }
  const acting = [memberOf(claims["act"], "sub"), claims["azp"], claims["client_id"]];
  if (!acting.includes(expected.clientId)) throw rejected("its token does not say who acts");
  if (typeof claims.exp !== "number") throw rejected("its token has no expiry");
  return claims.exp * 1000;
}

/** Unverified: the inbound token was verified when its call was, the outbound one is read as {@link expiryOf} says. */
function claimsOf(token: string): ReturnType<typeof decodeJwt> | undefined {
  try {
    return decodeJwt(token);
  } catch {
    return undefined;
  }
}

function memberOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** Tokens are not kept as keys: a heap dump has enough of them. */
function cacheKey(subject: SubjectToken, audience: string): string {
  return `${createHash("sha256").update(subject.reveal()).digest("base64url")} ${audience}`;
}

async function bindingKey(): Promise<BindingKey> {
  const pair = await generateKeyPair("ES256", { extractable: true });
  const jwk = await exportJWK(pair.privateKey);
  return { pair, jwk, jkt: await calculateJwkThumbprint(jwk) };
}

/** Waits no longer than the signal; what it was waited for goes on. */
function within<T>(signal: AbortSignal, work: Promise<T>, reason: () => Error): Promise<T> {
  return orAbort(work, signal).catch((error: unknown) => {
    throw signal.aborted && error === signal.reason ? reason() : error;
  });
}

function late(): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `${COMPONENT}: the token service did not answer in time`,
  );
}

function cancelled(): CountersignError {
  return new CountersignError("CANCELLED", `${COMPONENT}: the call was cancelled`);
}

function rejected(what: string): CountersignError {
  return new CountersignError(
    "REJECTED",
    `${COMPONENT}: what the token service answered is not used: ${what}`,
  );
}

/**
 * Credentials for a server that is itself a client: the token of the human on whose behalf it runs ({@link currentSubject}),
 * exchanged (RFC 8693) for one of its own for each audience, and bound to a key that this process makes and no other has
 * (RFC 9449). `undefined` when there is no such token, when it is of another issuer, or when the issuer exchanges none: the next
 * server then says `identity_missing`. The inbound token and its proof are never passed on. Throws `CONFIG_INVALID`; `current`
 * rejects `UNAVAILABLE`, `REJECTED` (the service refuses, or answers for somebody else) and `CANCELLED`.
 */
export function exchangedCredentialSource(options: ExchangeOptions): CredentialSource {
  return new ExchangedCredentials(options);
}
