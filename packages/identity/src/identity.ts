import { join } from "node:path";
import type { Logger } from "@countersign/model";
import { assertedResolver } from "./asserted.ts";
import { createBearerResolver } from "./bearer.ts";
import { createCallProofVerifier } from "./call-proof.ts";
import type { CredentialSource } from "./credential.ts";
import { execCredentialSource } from "./exec-credential.ts";
import { createKeyBoundVerifier } from "./key-bound-jws.ts";
import type { IdentityConfig } from "./identity-config.ts";
import type { KeySetOptions } from "./key-set.ts";
import { createLoginVerifier, type LoginVerifier } from "./login-token.ts";
import { messageEvidence } from "./message-evidence.ts";
import { type OsAccount, osUserResolver } from "./os-user.ts";
import { processCredentialResolver } from "./process-credential.ts";
import { createReplayGuard, type ReplayGuard } from "./replay.ts";
import type { CallEvidence, IdentityResolver, IdentityResult, ResolverStep } from "./resolver.ts";
import { stateDirectory } from "./state-directory.ts";
import { createTrustedIssuers } from "./trusted-issuers.ts";

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
