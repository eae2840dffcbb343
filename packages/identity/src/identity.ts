import { join } from "node:path";
import type { Assurance, Human, Logger, Principal } from "@countersign/model";
import { assertedResolver } from "./asserted.ts";
import { createBearerResolver } from "./bearer.ts";
import { createCallProofVerifier } from "./call-proof.ts";
import type { CredentialSource } from "./credential.ts";
import { execCredentialSource } from "./exec-credential.ts";
import { createKeyBoundVerifier } from "./key-bound-jws.ts";
import type { KeySetOptions } from "./key-set.ts";
import { createLoginVerifier, type LoginVerifier } from "./login-token.ts";
import { messageEvidence } from "./message-evidence.ts";
import { type OsAccount, osUserResolver } from "./os-user.ts";
import { processCredentialResolver } from "./process-credential.ts";
import { createReplayGuard, type ReplayGuard } from "./replay.ts";
import { stateDirectory } from "./state-directory.ts";
import type { SubjectToken } from "./subject-token.ts";
import { createTrustedIssuers } from "./trusted-issuers.ts";

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

/** What came with one call. Nothing self-reported (client name, baggage, unsigned `_meta`) belongs here. */
export interface CallEvidence {
  readonly transport: "stdio" | "http";
  /** The raw token: the `Authorization` header's, or the SDK's `authInfo.token`. */
  readonly bearer?: string;
  /** Two different tokens came with the call. */
  readonly conflictingBearer?: boolean;
  /** `_meta` member `META_CALL_PROOF` as received; `undefined`: there was none. */
  readonly proof?: unknown;
  /** What a proof must be about: the request as it was on the wire. */
  readonly request?: {
    readonly method: string;
    /** May hold `_meta`; it is ignored. */
    readonly params: unknown;
    /** Of the `traceparent` in `_meta`. */
    readonly traceId?: string;
  };
}

/** Who is behind a call. *Absent* is no evidence at all; evidence that does not hold is `denied`, never `absent`. */
export type IdentityResult =
  | {
      readonly kind: "human";
      readonly human: Human;
      readonly agent?: { readonly id?: string; readonly actors?: readonly Principal[] };
      /** The token behind the human, where there is one. */
      readonly subject?: SubjectToken;
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
  /** Lets go of the files of a replay guard that was made here. */
  close?(): void;
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
  /** Default: what `env` says. Used proofs are remembered in its folder `replay`. */
  readonly stateDirectory?: string;
  /** Remembers used proofs. Default: in the state directory, shared with every process that has the same one. */
  readonly replay?: ReplayGuard;
  /** Where the process credential comes from. Default: the helper of `process.exec`. */
  readonly processSource?: CredentialSource;
  /** Told when nobody is logged in, or the helper of `process.exec` does not work: a line for each change. Default: silence. */
  readonly log?: Logger;
}

const ABSENT: IdentityResult = { kind: "absent" };

class OrderedResolver implements IdentityResolver {
  readonly #steps: readonly ResolverStep[];
  readonly #own: ReplayGuard | undefined;

  constructor(steps: readonly ResolverStep[], own: ReplayGuard | undefined) {
    this.#steps = steps;
    this.#own = own;
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

  close(): void {
    this.#own?.close();
  }
}

/**
 * The order of evidence (contract, section 6). The first step that has evidence decides, whether it holds or not:
 *
 * 1. what the message carries itself: the call proof in `_meta`, and the HTTP bearer token (both: must agree);
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
  const clock = options.clock ?? Date.now;
  const replay = options.replay ?? defaultGuard(options, env);
  const issuers = createTrustedIssuers(config.issuers, options);
  const keys = createKeyBoundVerifier();
  const named = config.server === undefined ? {} : { server: config.server };
  const logins = createLoginVerifier({ issuers, keys, clock, ...named });
  const httpAudiences = config.issuers.flatMap(({ audience }) => audience ?? []);
  const proofs = createCallProofVerifier({ keys, logins, httpAudiences, clock, ...named });
  const steps: readonly ResolverStep[] = [
    messageEvidence({ proofs, bearer: createBearerResolver(issuers), replay, clock }),
    ...processSteps(config, { options, env, logins, clock }),
    assertedResolver(config.minimum, env),
    osUserResolver(options.account),
  ];
  return new OrderedResolver(steps, options.replay === undefined ? replay : undefined);
}

interface Surroundings {
  readonly options: IdentityOptions;
  readonly env: NodeJS.ProcessEnv;
  readonly logins: LoginVerifier;
  readonly clock: () => number;
}

function processSteps(config: IdentityConfig, given: Surroundings): readonly ResolverStep[] {
  const { process: helper, server, issuers } = config;
  if (helper === undefined || server === undefined) return [];
  const { env, clock, logins } = given;
  const resources = issuers.flatMap(({ audience }) => audience ?? []);
  const { processSource, log } = given.options;
  const source = processSource ?? execCredentialSource(helper.exec, { env, clock, resources });
  const parts = { source, logins, server, clock };
  return [processCredentialResolver(log === undefined ? parts : { ...parts, log })];
}

function defaultGuard(options: IdentityOptions, env: NodeJS.ProcessEnv): ReplayGuard {
  const state = options.stateDirectory ?? stateDirectory(env);
  return createReplayGuard({ directory: join(state, "replay") });
}
