export { createIdentity, type IdentityOptions } from "./identity.ts";
export type { IdentityConfig, IssuerConfig } from "./identity-config.ts";
export type { CallEvidence, IdentityResolver, IdentityResult } from "./resolver.ts";
export type { OsAccount } from "./os-user.ts";
export { currentSubject, runWithSubject, type SubjectToken } from "./subject-token.ts";
export type { Credential, CredentialSource } from "./credential.ts";
export { type ExchangeOptions, exchangedCredentialSource } from "./exchange.ts";
export { execCredentialSource, type ExecCredentialOptions } from "./exec-credential.ts";
export {
  createReplayGuard,
  type ProofUse,
  type ReplayGuard,
  type ReplayGuardOptions,
} from "./replay.ts";
export { stateDirectory } from "./state-directory.ts";
export {
  type CallProof,
  type CallProver,
  type CallProverOptions,
  createCallProver,
  type ProvableCall,
} from "./call-proof.ts";
export { createDelegation, type DelegationTerms } from "./delegation.ts";
