import type { Assurance, Human, Principal } from "@countersign/model";
import { assertedResolver } from "./asserted.ts";
import { bearerResolver } from "./bearer.ts";
import type { KeySetOptions } from "./key-set.ts";
import { type OsAccount, osUserResolver } from "./os-user.ts";

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
}

/** What came with one call. Nothing self-reported (client name, baggage, unsigned `_meta`) belongs here. */
export interface CallEvidence {
  readonly transport: "stdio" | "http";
  /** The raw token: the `Authorization` header's, or the SDK's `authInfo.token`. */
  readonly bearer?: string;
  /** Two different tokens came with the call. */
  readonly conflictingBearer?: boolean;
}

/** Who is behind a call. *Absent* is no evidence at all; evidence that does not hold is `denied`, never `absent`. */
export type IdentityResult =
  | {
      readonly kind: "human";
      readonly human: Human;
      readonly agent?: { readonly id?: string; readonly actors?: readonly Principal[] };
    }
  | { readonly kind: "absent" }
  | {
      readonly kind: "denied";
      readonly reason:
        | "identity_invalid"
        | "identity_not_human"
        | "identity_conflict"
        | "identity_replayed";
    }
  | { readonly kind: "error"; readonly reason: "identity_unavailable" | "replay_cache_full" };

/** Finds the human behind one call. */
export interface IdentityResolver {
  /** Never rejects, but for the caller's abort: it then rejects with the signal's reason. */
  resolve(evidence: CallEvidence, signal: AbortSignal): Promise<IdentityResult>;
}

/** One way to find out who asks. `undefined`: no evidence of my kind, ask the next. */
export type ResolverStep = (
  evidence: CallEvidence,
  signal: AbortSignal,
) => IdentityResult | undefined | Promise<IdentityResult | undefined>;

/** What a test or an unusual host replaces. */
export interface IdentityOptions extends KeySetOptions {
  /** Default `process.env`. Read once, when the resolver is made. */
  readonly env?: NodeJS.ProcessEnv;
  /** The account this process runs as. Default: asked of the operating system. */
  readonly account?: () => OsAccount | undefined;
}

const ABSENT: IdentityResult = { kind: "absent" };

class OrderedResolver implements IdentityResolver {
  readonly #steps: readonly ResolverStep[];

  constructor(steps: readonly ResolverStep[]) {
    this.#steps = steps;
  }

  async resolve(evidence: CallEvidence, signal: AbortSignal): Promise<IdentityResult> {
    for (const step of this.#steps) {
      const answer = step(evidence, signal);
      // oxlint-disable-next-line no-await-in-loop -- the order is the rule: a later step is asked only if an earlier one is silent
      const result = answer instanceof Promise ? await answer : answer;
      if (result !== undefined) return result;
    }
    return ABSENT;
  }
}

/**
 * The order of evidence (contract, section 6). The first step that has evidence decides, whether it holds or not:
 *
 * 1. per-message evidence: the call proof in `_meta`, then the HTTP bearer token (both: must agree);
 * 2. only when there is none, and on stdio only: the process credential, then the account of the process.
 *
 * An asserted human is an explicit statement of who started the process, so it stands before the ambient account, and
 * is heard only where the policy says that a mere assertion is enough.
 */
export function createIdentity(
  config: IdentityConfig,
  options: IdentityOptions = {},
): IdentityResolver {
  const env = options.env ?? process.env;
  const perMessage: ResolverStep[] = [bearerResolver(config.issuers, options)];
  const ofTheProcess: ResolverStep[] = [
    assertedResolver(config.minimum, env),
    osUserResolver(options.account),
  ];
  return new OrderedResolver([...perMessage, ...ofTheProcess]);
}
