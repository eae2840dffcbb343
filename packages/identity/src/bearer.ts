import { errorCode } from "@countersign/model";
import type { JWTPayload } from "jose";
import type { CallEvidence, IdentityResult } from "./resolver.ts";
import { isObject } from "./json.ts";
import { createSubjectToken } from "./subject-token.ts";
import { audiencesOf, humanOf } from "./token-claims.ts";
import type { SignedToken, TrustedIssuers } from "./trusted-issuers.ts";

const MAX_TOKEN_CHARS = 16 * 1024;
/** Access tokens (RFC 9068), and the untyped ones most providers still issue. Not: ID token variants, logout tokens, proofs. */
const TOKEN_TYPES = new Set(["jwt", "at+jwt"]);

const INVALID: IdentityResult = { kind: "denied", reason: "identity_invalid" };
const NOT_HUMAN: IdentityResult = { kind: "denied", reason: "identity_not_human" };
const CONFLICT: IdentityResult = { kind: "denied", reason: "identity_conflict" };
const UNAVAILABLE: IdentityResult = { kind: "error", reason: "identity_unavailable" };

/** Finds the human in a bearer token. */
export interface BearerResolver {
  /**
   * `undefined`: there is none. Never rejects. A sender-constrained token (`cnf`) is believed only if it is bound to `provenJkt`,
   * the key whose possession a call proof has shown: whoever presents one has to prove that they have it.
   */
  resolve(
    evidence: CallEvidence,
    provenJkt?: string,
  ): IdentityResult | undefined | Promise<IdentityResult>;
}

/**
 * A verified access token for this server that names a human. Signature, algorithm (the policy's list, never the token's
 * word), issuer, audience and expiry are checked here again, whatever the HTTP layer did: its `authInfo` has no subject.
 */
export function createBearerResolver(issuers: TrustedIssuers): BearerResolver {
  return {
    resolve(evidence, provenJkt) {
      if (evidence.conflictingBearer === true) return CONFLICT;
      const token = evidence.bearer;
      if (token === undefined) return undefined;
      if (token.length > MAX_TOKEN_CHARS) return INVALID;
      return verify(token, issuers, provenJkt);
    },
  };
}

async function verify(
  token: string,
  issuers: TrustedIssuers,
  provenJkt: string | undefined,
): Promise<IdentityResult> {
  const issuer = issuers.claimedBy(token);
  const audience = issuer?.config.audience;
  if (issuer === undefined || audience === undefined) return INVALID;
  try {
    const signed = await issuers.verify(token, issuer);
    if (signed === undefined || !isFor(audience, signed)) return INVALID;
    return identityOf(token, signed, issuer.config.issuer, provenJkt);
  } catch (error) {
    return errorCode(error) === "UNAVAILABLE" ? UNAVAILABLE : INVALID;
  }
}

function isFor(audience: string, { payload, type }: SignedToken): boolean {
  if (!TOKEN_TYPES.has(type) || isIdToken(payload)) return false;
  return audiencesOf(payload)?.includes(audience) === true;
}

/**
 * Where the audience is also the name of a client, its ID tokens have the same `aud`, and travel where no access token may: in
 * addresses (`id_token_hint`), in pages. Most have no type in the header, so they are told by what only they carry (OpenID Connect
 * Core, sections 2 and 3.3.2.11), and by Keycloak's claim `typ`: its older access tokens, of type `Bearer`, repeat the `nonce`.
 */
function isIdToken(payload: JWTPayload): boolean {
  const typ = payload["typ"];
  if (typ === "ID" || payload["at_hash"] !== undefined || payload["c_hash"] !== undefined) {
    return true;
  }
  return payload["nonce"] !== undefined && typ === undefined;
}

function identityOf(
  token: string,
  { payload }: SignedToken,
  issuer: string,
  provenJkt: string | undefined,
): IdentityResult {
  if (!isUnboundOr(payload["cnf"], provenJkt)) return INVALID;
  const found = humanOf(payload, issuer);
  if (found === "invalid") return INVALID;
  if (found === "not_human") return NOT_HUMAN;
  const { agent, ...who } = found;
  return {
    kind: "human",
    human: { ...who, assurance: "bearer", method: "bearer" },
    ...(agent === undefined ? {} : { agent }),
    subject: createSubjectToken("access_token", token),
  };
}

function isUnboundOr(cnf: unknown, provenJkt: string | undefined): boolean {
  if (cnf === undefined) return true;
  return provenJkt !== undefined && isObject(cnf) && cnf["jkt"] === provenJkt;
}
