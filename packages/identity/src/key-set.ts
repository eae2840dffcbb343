import { CountersignError, isHttpsOrLoopback } from "@countersign/model";
import {
  type CryptoKey,
  createLocalJWKSet,
  type JSONWebKeySet,
  type JWSHeaderParameters,
} from "jose";
import { readBoundedJson } from "./fetch-json.ts";
import type { IssuerConfig } from "./identity-config.ts";

/** Limits of an issuer's key set; the defaults are for production. */
export interface KeySetOptions {
  readonly fetch?: typeof fetch;
  /** Milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: () => number;
}

/** Finds the key that a token names. */
type KeyLookup = (header: JWSHeaderParameters) => Promise<CryptoKey>;

/** The keys of one issuer: fetched when first needed, cached, fetched again when they age or a token names an unknown one. */
export interface KeySet {
  /**
   * The keys in force. With `fresherThan`, keys that were fetched after those; `undefined` if it is too early to ask again.
   * Rejects with `UNAVAILABLE` when the issuer cannot be asked.
   */
  current(fresherThan?: Keys): Promise<Keys | undefined>;
}

/** One fetched key set. */
export interface Keys {
  readonly find: KeyLookup;
  readonly fetchedAtMs: number;
}

const MAX_AGE_MS = 10 * 60_000;
/** How long keys serve while the issuer is away: an hour's outage there must not stop every call here. */
const MAX_STALE_MS = 60 * 60_000;
/** An unknown `kid` asks the issuer at most this often, so that forged tokens cannot hammer it. */
const REFETCH_COOLDOWN_MS = 30_000;
const RETRY_COOLDOWN_MS = 1000;
const MAX_KEYS = 100;

class CachedKeySet implements KeySet {
  readonly #config: IssuerConfig;
  readonly #fetch: typeof fetch;
  readonly #clock: () => number;
  #keys: Keys | undefined;
  #pending: Promise<Keys> | undefined;
  #failedAtMs = Number.NEGATIVE_INFINITY;

  constructor(config: IssuerConfig, options: KeySetOptions) {
    this.#config = config;
    this.#fetch = options.fetch ?? fetch;
    this.#clock = options.clock ?? Date.now;
  }

  async current(fresherThan?: Keys): Promise<Keys | undefined> {
    const age = this.#sinceMs(this.#keys?.fetchedAtMs ?? Number.NEGATIVE_INFINITY);
    if (fresherThan !== undefined) {
      if (this.#keys !== undefined && this.#keys !== fresherThan) return this.#keys;
      return age < REFETCH_COOLDOWN_MS ? undefined : this.#refresh();
    }
    if (this.#keys !== undefined && age < MAX_AGE_MS) return this.#keys;
    try {
      return await this.#refresh();
    } catch (error) {
      if (this.#keys !== undefined && age < MAX_STALE_MS) return this.#keys;
      throw error;
    }
  }

  /** A time that is yet to come was read off a clock that was wrong: how long ago it was is not known, so it was too long ago. */
  #sinceMs(thenMs: number): number {
    const ms = this.#clock() - thenMs;
    return ms < 0 ? Number.POSITIVE_INFINITY : ms;
  }

  /** One fetch at a time, shared by all that wait; after a failure the next one waits a moment. */
  #refresh(): Promise<Keys> {
    if (this.#pending !== undefined) return this.#pending;
    if (this.#sinceMs(this.#failedAtMs) < RETRY_COOLDOWN_MS) {
      return Promise.reject(unavailable("the last attempt failed a moment ago"));
    }
    const pending = this.#load().then(
      (keys) => {
        this.#keys = keys;
        this.#pending = undefined;
        return keys;
      },
      (error: unknown) => {
        this.#failedAtMs = this.#clock();
        this.#pending = undefined;
        throw error;
      },
    );
    this.#pending = pending;
    return pending;
  }

  async #load(): Promise<Keys> {
    const uri = this.#config.jwksUri ?? (await this.#discover());
    const document = (await readBoundedJson(uri, this.#fetch)) as Partial<JSONWebKeySet> | null;
    if (!Array.isArray(document?.keys) || document.keys.length > MAX_KEYS) {
      throw unavailable(`the key set is not an object with 0 to ${MAX_KEYS} keys`);
    }
    const find = createLocalJWKSet({ keys: document.keys });
    return { find: (header) => find(header), fetchedAtMs: this.#clock() };
  }

  /** OpenID discovery first, then OAuth's (RFC 8414 puts the well-known part before the path). */
  async #discover(): Promise<string> {
    const { issuer } = this.#config;
    const url = new URL(issuer);
    const path = url.pathname.replace(/\/$/, "");
    const places = [
      `${url.origin}${path}/.well-known/openid-configuration`,
      `${url.origin}/.well-known/oauth-authorization-server${path}`,
    ];
    let failure: unknown;
    for (const place of places) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- the second place is asked only if the first has nothing
        return jwksUriOf(await readBoundedJson(place, this.#fetch), issuer);
      } catch (error) {
        failure = error;
      }
    }
    throw failure;
  }
}

function jwksUriOf(document: unknown, issuer: string): string {
  const found = document as { issuer?: unknown; jwks_uri?: unknown } | null;
  if (found?.issuer !== issuer) throw unavailable("the discovery document names another issuer");
  const uri = found.jwks_uri;
  if (typeof uri !== "string" || !isHttpsOrLoopback(uri)) {
    throw unavailable("the discovery document has no usable jwks_uri (https, or http on loopback)");
  }
  return uri;
}

function unavailable(what: string): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `identity/bearer: the issuer's keys cannot be had: ${what}`,
  );
}

/** The bounded, cached key set of one issuer. Nothing is fetched before the first token needs it. */
export function createKeySet(config: IssuerConfig, options: KeySetOptions = {}): KeySet {
  return new CachedKeySet(config, options);
}
