import type { Assurance } from "@countersign/model";

/** One identity provider whose tokens are believed. */
export interface IssuerConfig {
  /** Exact value of `iss`. An https URL, or http on a loopback host. */
  readonly issuer: string;
  /** `aud` that a bearer token must carry. Without it, bearer tokens of this issuer are refused. */
  readonly audience?: string;
  /** `aud` of the login token behind a call proof; a bearer token is never judged by it. */
  readonly clients?: readonly string[];
  /** The signature algorithms believed, asymmetric ones only. The token's own `alg` merely picks one of these. */
  readonly algorithms: readonly string[];
  /** Where the keys are; by default what the issuer's discovery document says. */
  readonly jwksUri?: string;
}

/** The part of a policy that says who may be believed. */
export interface IdentityConfig {
  /** The weakest assurance the policy accepts; `asserted` identities are heard only at `asserted` or `none`. */
  readonly minimum: Assurance;
  readonly issuers: readonly IssuerConfig[];
  /** The policy's `server`: the audience of call proofs and delegations. */
  readonly server?: string;
  /** The helper that gives this process the login of its human (stdio only). */
  readonly process?: { readonly exec: readonly string[] };
}
