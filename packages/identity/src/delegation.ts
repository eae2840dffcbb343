import { hash } from "node:crypto";
import { CountersignError } from "@countersign/model";
import type { JWK } from "jose";
import { hasExactly, isObject } from "./json.ts";
import { createKeyBoundSigner, type KeyBoundVerifier } from "./key-bound-jws.ts";
import { createRecentMap, type RecentMap } from "./recent-map.ts";

const DELEGATION_TYPE = "countersign-delegation+jwt";
const MAX_LIFETIME_SECONDS = 600;
const CLOCK_SKEW_SECONDS = 60;
const MAX_REMEMBERED = 1024;
const THUMBPRINT = /^[A-Za-z0-9_-]{43}$/;

/** What a login key lets another key do: sign for one token, to one audience, for ten minutes at most. */
export interface DelegationTerms {
  /** The one audience that calls may be made to. */
  readonly audience: string;
  /** The login token that the call key may be used with. */
  readonly token: string;
  /** RFC 7638 thumbprint of the key that will sign calls. */
  readonly callKeyThumbprint: string;
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  /** At most 600,000. */
  readonly lifetimeMs: number;
}

/**
 * Signs a delegation with the login key (a private P-256 or Ed25519 JWK). Throws `INPUT_INVALID` for another key, for a thumbprint
 * that is none, and for a lifetime beyond 600 s.
 */
export async function createDelegation(loginKey: JWK, terms: DelegationTerms): Promise<string> {
  const iat = Math.floor(terms.nowMs / 1000);
  const exp = iat + Math.floor(terms.lifetimeMs / 1000);
  if (!(exp > iat && exp - iat <= MAX_LIFETIME_SECONDS)) {
    throw invalid("lifetimeMs must be 1,000 to 600,000");
  }
  if (!THUMBPRINT.test(terms.callKeyThumbprint)) {
    throw invalid("callKeyThumbprint must be a base64url SHA-256");
  }
  const signer = await createKeyBoundSigner(loginKey);
  const ath = tokenHash(terms.token);
  const cnf = { jkt: terms.callKeyThumbprint };
  return signer.sign(DELEGATION_TYPE, { aud: terms.audience, iat, exp, ath, cnf });
}

/** What must hold for a delegation to count. */
export interface DelegatedUse {
  readonly audience: string;
  /** `ath` of the token that came with it. */
  readonly ath: string;
  /** Thumbprint of the key that signed the call. */
  readonly signedBy: string;
  readonly nowMs: number;
}

interface Delegation {
  readonly aud: string;
  readonly iat: number;
  readonly exp: number;
  readonly ath: string;
  readonly cnf: { readonly jkt: string };
  readonly loginJkt: string;
}

/** Verifies delegations; the signatures of 1,024 are remembered, their terms are looked at every time. */
export interface DelegationVerifier {
  /** Thumbprint of the login key that allows this use; `undefined`: it is not allowed. Never rejects. */
  loginKeyFor(delegation: string, use: DelegatedUse): Promise<string | undefined>;
}

class Verifier implements DelegationVerifier {
  readonly #keys: KeyBoundVerifier;
  readonly #known: RecentMap<Delegation> = createRecentMap(MAX_REMEMBERED);

  constructor(keys: KeyBoundVerifier) {
    this.#keys = keys;
  }

  async loginKeyFor(delegation: string, use: DelegatedUse): Promise<string | undefined> {
    const key = hash("sha256", delegation, "base64url");
    const terms = this.#known.get(key) ?? (await this.#read(key, delegation));
    if (terms === undefined) return undefined;
    const now = use.nowMs / 1000;
    const inTime = terms.iat <= now + CLOCK_SKEW_SECONDS && now < terms.exp + CLOCK_SKEW_SECONDS;
    const covers =
      terms.aud === use.audience && terms.ath === use.ath && terms.cnf.jkt === use.signedBy;
    return inTime && covers ? terms.loginJkt : undefined;
  }

  async #read(key: string, delegation: string): Promise<Delegation | undefined> {
    const signed = await this.#keys.verify(delegation, DELEGATION_TYPE);
    if (signed === undefined || !areTerms(signed.claims)) return undefined;
    const terms = { ...signed.claims, loginJkt: signed.jkt };
    this.#known.set(key, terms);
    return terms;
  }
}

function areTerms(
  claims: Readonly<Record<string, unknown>>,
): claims is Readonly<Record<string, unknown>> & Omit<Delegation, "loginJkt"> {
  const { aud, iat, exp, ath, cnf } = claims;
  if (!hasExactly(claims, ["aud", "iat", "exp", "ath", "cnf"])) return false;
  if (typeof aud !== "string" || typeof ath !== "string") return false;
  if (!Number.isSafeInteger(iat) || !Number.isSafeInteger(exp)) return false;
  const seconds = (exp as number) - (iat as number);
  if (seconds <= 0 || seconds > MAX_LIFETIME_SECONDS) return false;
  return isObject(cnf) && hasExactly(cnf, ["jkt"]) && typeof cnf["jkt"] === "string";
}

/** Makes a verifier. */
export function createDelegationVerifier(keys: KeyBoundVerifier): DelegationVerifier {
  return new Verifier(keys);
}

/** SHA-256 of a token as it is signed: `ath`, base64url (RFC 9449, section 4.2). */
export function tokenHash(token: string): string {
  return hash("sha256", token, "base64url");
}

function invalid(what: string): CountersignError {
  return new CountersignError("INPUT_INVALID", `identity/delegation: ${what}`);
}
