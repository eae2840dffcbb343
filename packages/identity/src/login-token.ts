import { hash } from "node:crypto";
import { errorCode } from "@countersign/model";
import { calculateJwkThumbprint, type JWTPayload } from "jose";
import { createDelegationVerifier, type DelegationVerifier, tokenHash } from "./delegation.ts";
import type { IssuerConfig } from "./identity-config.ts";
import type { IdentityResult } from "./resolver.ts";
import { isObject } from "./json.ts";
import type { KeyBoundVerifier } from "./key-bound-jws.ts";
import type { Keys } from "./key-set.ts";
import { createRecentMap, type RecentMap } from "./recent-map.ts";
import { audiencesOf, humanOf, type TokenHuman } from "./token-claims.ts";
import type { SignedToken, TrustedIssuer, TrustedIssuers } from "./trusted-issuers.ts";

const MAX_REMEMBERED = 1024;
const REMEMBER_MS = 5 * 60_000;
const MAX_TOKEN_CHARS = 16 * 1024;
const SALT = /^[A-Za-z0-9_-]{16,128}$/;
/** Access tokens (RFC 9068), and the untyped ones most providers still issue. */
const ACCESS_TOKEN_TYPES = new Set(["jwt", "at+jwt"]);
/** ID tokens: untyped, or key-bound (OpenID Connect Key Binding). */
const ID_TOKEN_TYPES = new Set(["jwt", "dpop+id_token"]);

/** A login, and the key that was used with it. */
export interface LoginEvidence {
  readonly token: string;
  /** Of the `nonce` binding; with any other it must be absent. */
  readonly salt?: string;
  readonly delegation?: string;
  /** Thumbprint of the key whose possession was proven: the login key, or the call key that the delegation names. */
  readonly signedBy: string;
  /** What the delegation must be for. */
  readonly audience: string;
  /** Base64url SHA-256 of the token that the key signed for, where it signed for one. */
  readonly ath?: string;
}

/** A login that holds: the token is believed, and the key belongs to it. */
export interface VerifiedLogin extends TokenHuman {
  readonly kind: "access_token" | "id_token";
  /** Thumbprint of the login key. */
  readonly jkt: string;
  /** Hex SHA-256 of the token. */
  readonly tokenSha256: string;
  /** The token's own `jti`, if it is a string of 1 to 128 characters. */
  readonly tokenId?: string;
}

/** What became of it. */
export type LoginResult =
  | { readonly kind: "login"; readonly login: VerifiedLogin }
  | Extract<IdentityResult, { readonly kind: "denied" | "error" }>;

/** Verifies logins. Up to 1,024 verified tokens are remembered for 5 minutes, never beyond `exp` or the issuer's key set. */
export interface LoginVerifier {
  /** Never rejects. */
  verify(evidence: LoginEvidence): Promise<LoginResult>;
}

/** What a login verifier is made of. */
export interface LoginVerifierParts {
  readonly issuers: TrustedIssuers;
  readonly keys: KeyBoundVerifier;
  /** The policy's `server`. An access token may be for it, or for `issuers[].audience`. */
  readonly server?: string;
  readonly clock?: () => number;
}

interface TokenFacts extends TokenHuman {
  readonly kind: "access_token" | "id_token";
  readonly tokenSha256: string;
  /** Thumbprint in `cnf`. */
  readonly cnfJkt?: string;
  readonly nonce?: string;
  readonly tokenId?: string;
}

interface Remembered {
  readonly facts: TokenFacts;
  readonly issuer: TrustedIssuer;
  readonly keys: Keys;
  readonly untilMs: number;
}

const INVALID: LoginResult = { kind: "denied", reason: "identity_invalid" };
const NOT_HUMAN: LoginResult = { kind: "denied", reason: "identity_not_human" };
const UNAVAILABLE: LoginResult = { kind: "error", reason: "identity_unavailable" };

class Verifier implements LoginVerifier {
  readonly #issuers: TrustedIssuers;
  readonly #server: string | undefined;
  readonly #clock: () => number;
  readonly #delegations: DelegationVerifier;
  readonly #known: RecentMap<Remembered> = createRecentMap(MAX_REMEMBERED);

  constructor(parts: LoginVerifierParts) {
    this.#issuers = parts.issuers;
    this.#server = parts.server;
    this.#clock = parts.clock ?? Date.now;
    this.#delegations = createDelegationVerifier(parts.keys);
  }

  async verify(evidence: LoginEvidence): Promise<LoginResult> {
    if (evidence.token.length > MAX_TOKEN_CHARS) return INVALID;
    try {
      const ath = tokenHash(evidence.token);
      if (evidence.ath !== undefined && evidence.ath !== ath) return INVALID;
      const jkt = await this.#loginKey(evidence, ath);
      if (jkt === undefined) return INVALID;
      const facts = await this.#facts(evidence.token, ath);
      if (facts === undefined) return INVALID;
      if (facts === "not_human") return NOT_HUMAN;
      if (!isBoundTo(facts, jkt, evidence.salt)) return INVALID;
      const { cnfJkt: _cnf, nonce: _nonce, ...known } = facts;
      return { kind: "login", login: { ...known, jkt } };
    } catch (error) {
      return errorCode(error) === "UNAVAILABLE" ? UNAVAILABLE : INVALID;
    }
  }

  async #loginKey(evidence: LoginEvidence, ath: string): Promise<string | undefined> {
    const { delegation, audience, signedBy } = evidence;
    if (delegation === undefined) return signedBy;
    const nowMs = this.#clock();
    return this.#delegations.loginKeyFor(delegation, { audience, ath, signedBy, nowMs });
  }

  async #facts(token: string, ath: string): Promise<TokenFacts | "not_human" | undefined> {
    const known = this.#known.get(ath);
    if (known !== undefined) {
      // A key that the issuer withdrew stops to count as soon as its new key set is here, whatever is remembered.
      const keys = await known.issuer.keys.current();
      if (known.keys === keys && this.#clock() < known.untilMs) return known.facts;
      this.#known.delete(ath);
    }
    const issuer = this.#issuers.claimedBy(token);
    if (issuer === undefined) return undefined;
    const signed = await this.#issuers.verify(token, issuer);
    if (signed === undefined) return undefined;
    const facts = await factsOf(signed, issuer, { ath, server: this.#server });
    if (typeof facts === "object") {
      const { keys, payload } = signed;
      const untilMs = Math.min(this.#clock() + REMEMBER_MS, (payload.exp as number) * 1000);
      this.#known.set(ath, { facts, issuer, keys, untilMs });
    }
    return facts;
  }
}

async function factsOf(
  { payload, type }: SignedToken,
  { config }: TrustedIssuer,
  { ath, server }: { readonly ath: string; readonly server: string | undefined },
): Promise<TokenFacts | "not_human" | undefined> {
  const use = useOf(payload, config, server);
  if (use === undefined) return undefined;
  const types = use.kind === "access_token" ? ACCESS_TOKEN_TYPES : ID_TOKEN_TYPES;
  if (!types.has(type)) return undefined;
  const human = humanOf(payload, config.issuer, use.client);
  if (human === "not_human") return human;
  const cnfJkt = await thumbprintIn(payload["cnf"]);
  if (human === "invalid" || cnfJkt === "invalid") return undefined;
  const { jti, nonce } = payload;
  return {
    ...human,
    kind: use.kind,
    tokenSha256: Buffer.from(ath, "base64url").toString("hex"),
    ...(cnfJkt === undefined ? {} : { cnfJkt }),
    ...(typeof nonce === "string" ? { nonce } : {}),
    ...(typeof jti === "string" && jti !== "" && jti.length <= 128 ? { tokenId: jti } : {}),
  };
}

interface TokenUse {
  readonly kind: TokenFacts["kind"];
  /** Whom an ID token was issued to. */
  readonly client?: string;
}

/**
 * An access token is for this server. An ID token is for a client of the policy, and for nobody else: one that another relying
 * party accepts as well could have been taken there (OpenID Connect Core, section 3.1.3.7, rules 3 to 5).
 */
function useOf(
  payload: JWTPayload,
  config: IssuerConfig,
  server: string | undefined,
): TokenUse | undefined {
  const audiences = audiencesOf(payload);
  if (audiences === undefined) return undefined;
  if (audiences.some((one) => one === config.audience || one === server)) {
    return { kind: "access_token" };
  }
  const clients = config.clients ?? [];
  if (!audiences.every((one) => clients.includes(one))) return undefined;
  const { azp } = payload;
  if (azp === undefined) {
    return audiences.length === 1
      ? { kind: "id_token", client: audiences[0] as string }
      : undefined;
  }
  return typeof azp === "string" && clients.includes(azp)
    ? { kind: "id_token", client: azp }
    : undefined;
}

/** RFC 9449 section 6 (`jkt`), RFC 7800 section 3.2 (`jwk`); both must name one key. A `cnf` of another kind is not understood. */
async function thumbprintIn(cnf: unknown): Promise<string | undefined> {
  if (cnf === undefined) return undefined;
  if (!isObject(cnf)) return "invalid";
  const { jkt, jwk } = cnf;
  if (jkt === undefined && jwk === undefined) return "invalid";
  if (jkt !== undefined && typeof jkt !== "string") return "invalid";
  if (jwk === undefined) return jkt;
  if (!isObject(jwk)) return "invalid";
  const thumbprint = await calculateJwkThumbprint(jwk);
  return jkt === undefined || jkt === thumbprint ? thumbprint : "invalid";
}

/** The three bindings, best first: `cnf` in an access token, `cnf` in an ID token, and the legacy commitment in its `nonce`. */
function isBoundTo(facts: TokenFacts, jkt: string, salt: string | undefined): boolean {
  if (facts.cnfJkt !== undefined) return salt === undefined && facts.cnfJkt === jkt;
  if (facts.kind !== "id_token" || salt === undefined || !SALT.test(salt)) return false;
  return facts.nonce === nonceCommitment(jkt, salt);
}

/** The `nonce` with which a login commits to its key at an issuer that binds none (OpenPubkey's idea): legacy. */
export function nonceCommitment(jkt: string, salt: string): string {
  return hash("sha256", `v1.${jkt}.${salt}`, "base64url");
}

/** Makes a verifier. */
export function createLoginVerifier(parts: LoginVerifierParts): LoginVerifier {
  return new Verifier(parts);
}
