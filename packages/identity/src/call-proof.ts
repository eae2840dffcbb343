import { hash, randomUUID } from "node:crypto";
import { canonicalJson, CountersignError } from "@countersign/model";
import { decodeJwt } from "jose";
import type { Credential, CredentialSource } from "./credential.ts";
import { tokenHash } from "./delegation.ts";
import { hasExactly, isObject } from "./json.ts";
import {
  createKeyBoundSigner,
  type KeyBoundSigner,
  type KeyBoundVerifier,
} from "./key-bound-jws.ts";
import type { LoginResult, LoginVerifier, VerifiedLogin } from "./login-token.ts";
import { PERSONAL_CLAIMS } from "./personal-claims.ts";

// The call proof, both ends of it. Whoever holds the key of a login signs each request by itself: what is asked, of whom, when.

const PROOF_TYPE = "mcp-call-proof+jwt";
const MAX_PROOF_BYTES = 16 * 1024;
const MAX_AGE_SECONDS = 60;
const JTI = /^[A-Za-z0-9_-]{16,128}$/;
/** Which member of `params` names the thing that is asked for. */
const NAME_MEMBERS: ReadonlyMap<string, "name" | "uri"> = new Map([
  ["tools/call", "name"],
  ["prompts/get", "name"],
  ["resources/read", "uri"],
  ["resources/subscribe", "uri"],
  ["resources/unsubscribe", "uri"],
]);

/** What travels in `params._meta` under `META_CALL_PROOF`. */
export interface CallProof {
  /** The login token. */
  readonly token: string;
  /** Of the `nonce` binding only. */
  readonly salt?: string;
  /** Of the login key, for the key that signed the proof; absent when they are one. */
  readonly delegation?: string;
  readonly proof: string;
}

/** The request a proof is about. */
export interface ProvableCall {
  readonly method: string;
  /** As on the wire, with or without `_meta`. */
  readonly params: unknown;
  /** Trace id of `_meta.traceparent`, 32 hex digits. */
  readonly traceId?: string;
}

/** Mints call proofs with the login of this machine's human. */
export interface CallProver {
  /**
   * `undefined`: nobody is logged in. Rejects as its source does, and with `INPUT_INVALID` for a token with personal claims, an
   * unusable key, params that are no JSON, and a proof over 16 KiB; no message carries a token or a value.
   */
  prove(
    call: ProvableCall & { readonly audience: string },
    signal: AbortSignal,
  ): Promise<CallProof | undefined>;
}

/** What a test replaces. */
export interface CallProverOptions {
  /** Milliseconds since the epoch. Default `Date.now`. */
  readonly clock?: () => number;
}

interface Prepared {
  readonly signer: KeyBoundSigner;
  readonly ath: string;
}

class Prover implements CallProver {
  readonly #source: CredentialSource;
  readonly #clock: () => number;
  /** Key import and token hash, once for each credential. */
  readonly #prepared = new WeakMap<Credential, Promise<Prepared>>();

  constructor(source: CredentialSource, options: CallProverOptions) {
    this.#source = source;
    this.#clock = options.clock ?? Date.now;
  }

  async prove(
    call: ProvableCall & { readonly audience: string },
    signal: AbortSignal,
  ): Promise<CallProof | undefined> {
    const credential = await this.#source.current(call.audience, signal);
    if (credential === undefined) return undefined;
    const { signer, ath } = await this.#prepare(credential);
    const { token, salt, delegation } = credential;
    const proof = await signer.sign(PROOF_TYPE, {
      aud: call.audience,
      iat: Math.floor(this.#clock() / 1000),
      jti: randomUUID(),
      ath,
      mcp: aboutCall(call),
      ...(call.traceId === undefined ? {} : { txn: call.traceId }),
    });
    const minted = {
      token,
      ...(salt === undefined ? {} : { salt }),
      ...(delegation === undefined ? {} : { delegation }),
      proof,
    };
    if (sizeOf(minted) > MAX_PROOF_BYTES) throw invalid(`it is over ${MAX_PROOF_BYTES} bytes`);
    return minted;
  }

  #prepare(credential: Credential): Promise<Prepared> {
    let prepared = this.#prepared.get(credential);
    if (prepared === undefined) {
      prepared = prepare(credential);
      this.#prepared.set(credential, prepared);
    }
    return prepared;
  }
}

async function prepare({ token, key }: Credential): Promise<Prepared> {
  refusePersonalClaims(token);
  return { signer: await createKeyBoundSigner(key), ath: tokenHash(token) };
}

function refusePersonalClaims(token: string): void {
  let claims: Readonly<Record<string, unknown>>;
  try {
    claims = decodeJwt(token);
  } catch {
    throw invalid("the login token is no JWT");
  }
  const found = PERSONAL_CLAIMS.find((name) => Object.hasOwn(claims, name));
  if (found !== undefined) {
    throw invalid(`the login token has the claim ${found}; ask the issuer for scope openid alone`);
  }
}

function invalid(what: string): CountersignError {
  return new CountersignError("INPUT_INVALID", `identity/call-proof: no proof is made: ${what}`);
}

/** Makes a prover. The source is asked for every call; keys are imported once for each credential object it gives. */
export function createCallProver(
  source: CredentialSource,
  options: CallProverOptions = {},
): CallProver {
  return new Prover(source, options);
}

interface McpClaim {
  readonly method: string;
  readonly name?: string;
  readonly digest: string;
}

/** The claim `mcp`. The same at both ends, so it is made at both ends and compared. */
function aboutCall({ method, params }: ProvableCall): McpClaim {
  if (params !== undefined && !isObject(params)) throw invalid("params are no object");
  const member = NAME_MEMBERS.get(method);
  const name = member === undefined ? undefined : params?.[member];
  return {
    method,
    ...(typeof name === "string" ? { name } : {}),
    digest: digestOf(params ?? {}),
  };
}

/**
 * SHA-256 over RFC 8785 of `params` without `_meta`. They go through JSON once, so that it is over what is sent: a member that
 * is `undefined` is not, a date is a string.
 */
function digestOf(params: Readonly<Record<string, unknown>>): string {
  const { _meta, ...rest } = JSON.parse(JSON.stringify(params)) as Record<string, unknown>;
  return hash("sha256", canonicalJson(rest), "base64url");
}

function sizeOf(proof: CallProof): number {
  let bytes = 0;
  for (const text of Object.values(proof) as readonly string[]) bytes += Buffer.byteLength(text);
  return bytes;
}

/** A proof that holds for the call it came with. Whether it was used before is not known yet. */
export interface ProvenCall {
  readonly kind: "proven";
  readonly login: VerifiedLogin;
  readonly jti: string;
  readonly iatSeconds: number;
}

/** Verifies call proofs. */
export interface CallProofVerifier {
  /** Never rejects. `proof` is what came in `_meta`, `call` what it must be about. */
  verify(
    proof: unknown,
    call: ProvableCall & { readonly transport: "stdio" | "http" },
  ): Promise<ProvenCall | Exclude<LoginResult, { readonly kind: "login" }>>;
}

/** What a verifier is made of. */
export interface CallProofVerifierParts {
  readonly keys: KeyBoundVerifier;
  readonly logins: LoginVerifier;
  /** The policy's `server`: the audience of proofs. */
  readonly server?: string;
  /** `issuers[].audience`: over HTTP, audiences of proofs as well. */
  readonly httpAudiences: readonly string[];
  readonly clock?: () => number;
}

interface ProofClaims {
  readonly aud: string;
  readonly iat: number;
  readonly jti: string;
  readonly ath: string;
  readonly mcp: McpClaim;
  readonly txn?: string;
}

const INVALID = { kind: "denied", reason: "identity_invalid" } as const;

class Verifier implements CallProofVerifier {
  readonly #parts: CallProofVerifierParts;
  readonly #clock: () => number;

  constructor(parts: CallProofVerifierParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? Date.now;
  }

  /** Cheap things first; the issuer's keys before the digest, so that only a login can make us canonicalise megabytes. */
  async verify(
    given: unknown,
    call: ProvableCall & { readonly transport: "stdio" | "http" },
  ): Promise<ProvenCall | Exclude<LoginResult, { readonly kind: "login" }>> {
    if (!isCallProof(given)) return INVALID;
    const { proof, ...login } = given;
    const signed = await this.#parts.keys.verify(proof, PROOF_TYPE);
    if (signed === undefined || !areProofClaims(signed.claims)) return INVALID;
    const { claims, jkt } = signed;
    if (!this.#isFresh(claims.iat) || !this.#isForUs(claims.aud, call.transport)) return INVALID;
    if (claims.txn !== undefined && claims.txn !== call.traceId) return INVALID;
    const result = await this.#parts.logins.verify({
      ...login,
      signedBy: jkt,
      audience: claims.aud,
      ath: claims.ath,
    });
    if (result.kind !== "login") return result;
    if (!isAbout(claims.mcp, call)) return INVALID;
    return { kind: "proven", login: result.login, jti: claims.jti, iatSeconds: claims.iat };
  }

  #isFresh(iatSeconds: number): boolean {
    return Math.abs(this.#clock() / 1000 - iatSeconds) <= MAX_AGE_SECONDS;
  }

  #isForUs(audience: string, transport: "stdio" | "http"): boolean {
    const { server, httpAudiences } = this.#parts;
    return audience === server || (transport === "http" && httpAudiences.includes(audience));
  }
}

function isCallProof(given: unknown): given is CallProof {
  if (!isObject(given) || !hasExactly(given, ["token", "proof"], ["salt", "delegation"])) {
    return false;
  }
  if (!Object.values(given).every((value) => typeof value === "string")) return false;
  return sizeOf(given as unknown as CallProof) <= MAX_PROOF_BYTES;
}

function areProofClaims(
  claims: Readonly<Record<string, unknown>>,
): claims is Readonly<Record<string, unknown>> & ProofClaims {
  const { aud, iat, jti, ath, mcp, txn } = claims;
  if (!hasExactly(claims, ["aud", "iat", "jti", "ath", "mcp"], ["txn"])) return false;
  if (typeof aud !== "string" || typeof ath !== "string") return false;
  if (!Number.isSafeInteger(iat) || typeof jti !== "string" || !JTI.test(jti)) return false;
  if (Object.hasOwn(claims, "txn") && typeof txn !== "string") return false;
  return isObject(mcp) && hasExactly(mcp, ["method", "digest"], ["name"]);
}

function isAbout(claim: McpClaim, call: ProvableCall): boolean {
  try {
    const asked = aboutCall(call);
    return (
      claim.method === asked.method &&
      claim.digest === asked.digest &&
      claim.name === asked.name &&
      Object.hasOwn(claim, "name") === Object.hasOwn(asked, "name")
    );
  } catch {
    return false;
  }
}

/** Makes a verifier. */
export function createCallProofVerifier(parts: CallProofVerifierParts): CallProofVerifier {
  return new Verifier(parts);
}
