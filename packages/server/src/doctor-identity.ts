import { identityConfig, type Policy } from "@countersign/gate";
import {
  createIdentity,
  type Credential,
  type CredentialSource,
  execCredentialSource,
  type IdentityResult,
} from "@countersign/identity";
import { assuranceAtLeast, errorCode, type Human } from "@countersign/model";
import type { Finding } from "./doctor-finding.ts";

/** Where to look. */
export interface IdentityExamination {
  readonly env: NodeJS.ProcessEnv;
  /** Bound of the questions to the issuer; the helper has its own 8 s. */
  readonly timeoutMs: number;
}

const HELPER_TIMEOUT_MS = 8000;
const MAX_NAMED_ENTRIES = 5;
const SIGN =
  "let the agent sign its calls: @countersign/client, with COUNTERSIGN_CREDENTIAL and COUNTERSIGN_AUDIENCE";

/** What became of the helper's credential on its way to the resolver. No token leaves this file. */
class Watched implements CredentialSource {
  readonly #source: CredentialSource;
  expiresAtMs: number | undefined;
  failure: string | undefined;

  constructor(source: CredentialSource) {
    this.#source = source;
  }

  async current(audience: string, signal: AbortSignal): Promise<Credential | undefined> {
    try {
      const credential = await this.#source.current(audience, signal);
      this.expiresAtMs = credential?.expiresAtMs;
      return credential;
    } catch (error) {
      this.failure = errorCode(error) === undefined ? "it failed" : (error as Error).message;
      throw error;
    }
  }
}

/**
 * What assurance would a call get here, and why? Asks the same resolver that a gate asks, about a call on stdio that brings nothing
 * itself, and says what calls may bring. The helper runs once. Never rejects.
 */
export async function examineIdentity(
  policy: Policy,
  { env, timeoutMs }: IdentityExamination,
): Promise<Finding[]> {
  const watched = new Watched(helperOf(policy, env));
  const identity = createIdentity(identityConfig(policy), { env, processSource: watched });
  const signal = AbortSignal.timeout(HELPER_TIMEOUT_MS + timeoutMs);
  try {
    const result = await identity.resolve({ transport: "stdio" }, signal);
    return [ambient(policy, result, watched), ...floors(policy, result), ...brought(policy)];
  } catch {
    const result: IdentityResult = { kind: "error", reason: "identity_unavailable" };
    return [ambient(policy, result, watched), ...brought(policy)];
  } finally {
    identity.close?.();
  }
}

function helperOf({ identity }: Policy, env: NodeJS.ProcessEnv): CredentialSource {
  const resources = identity.issuers.flatMap(({ audience }) => audience ?? []);
  return execCredentialSource(identity.process?.exec ?? [], {
    env,
    resources,
    timeoutMs: HELPER_TIMEOUT_MS,
  });
}

/** A call on stdio that brings no proof and no token. */
function ambient(policy: Policy, result: IdentityResult, watched: Watched): Finding {
  const { minimum } = policy.identity;
  if (result.kind === "human") {
    const { assurance, method } = result.human;
    const asked = policy.identity.process !== undefined && method !== "process_token";
    const known = `${asked ? "nobody is logged in; " : ""}on stdio, calls are known as ${nameOf(result.human, watched)}`;
    if (assuranceAtLeast(assurance, minimum))
      return { id: "identity", level: "ok", message: `${known}; the policy asks for ${minimum}` };
    const message = `${known}, which is weaker than ${minimum}, which the policy asks for`;
    // The login does what a login here can do: another one would change nothing.
    return method === "process_token"
      ? { id: "identity", level: "warn", message, fix: SIGN }
      : unknown(policy, message);
  }
  if (result.kind === "absent") {
    if (minimum === "none")
      return { id: "identity", level: "ok", message: "the policy asks for nobody" };
    const message =
      policy.identity.process === undefined
        ? `on stdio, nothing says who asks: ${whyNoAccount(policy)}`
        : "nobody is logged in; on stdio, nothing says who asks";
    return unknown(policy, message);
  }
  return broken(policy, result.reason, watched);
}

function nameOf({ assurance, issuer, method }: Human, { expiresAtMs }: Watched): string {
  const until =
    method !== "process_token" || expiresAtMs === undefined
      ? ""
      : ` until ${new Date(expiresAtMs).toISOString()}`;
  return `${assurance} by ${issuer}${until}`;
}

function whyNoAccount({ identity }: Policy): string {
  const helper = "the policy names no identity.process";
  return assuranceAtLeast("os_user", identity.minimum)
    ? `${helper}, and the account of this process is no human (root or a service account)`
    : helper;
}

/** Not enough by itself. Calls may still bring what is missing, if the policy accepts anything that they could bring. */
function unknown(policy: Policy, message: string): Finding {
  const { process: helper } = policy.identity;
  const canBring = acceptsLogins(policy) || acceptsBearers(policy);
  const level = helper === undefined && canBring ? "warn" : "fail";
  return { id: "identity", level, message, fix: fixOf(policy) };
}

function fixOf(policy: Policy): string {
  const { identity } = policy;
  if (identity.process !== undefined) return `run: ${loginCommand(policy)}`;
  if (acceptsLogins(policy))
    return `add identity.process: { exec: [countersign, credential] } and run ${loginCommand(policy)}; or let every call bring a proof`;
  if (acceptsBearers(policy)) return "every call must bring a bearer token or a proof";
  return identity.minimum === "os_user"
    ? "run the server as the person who uses it"
    : "set COUNTERSIGN_ASSERTED_HUMAN, or better: add an issuer to identity.issuers";
}

/** The policy names the client; with several, the reader has to choose. */
function loginCommand({ identity }: Policy): string {
  const able = identity.issuers.filter(({ clients }) => clients !== undefined);
  const [only, ...others] = able;
  if (only === undefined || others.length > 0) return "countersign login";
  return `countersign login --issuer ${only.issuer} --client-id ${only.clients?.[0] ?? ""}`;
}

type Failure = Extract<IdentityResult, { readonly kind: "denied" | "error" }>["reason"];

function broken(policy: Policy, reason: Failure, { failure }: Watched): Finding {
  const because = failure ?? WHY[reason] ?? reason;
  const again = `run: ${loginCommand(policy)}`;
  const fixes: Partial<Record<Failure, string>> = {
    identity_unavailable:
      failure === undefined
        ? "make the issuer reachable from here; until then calls are not run"
        : `correct identity.process, or ${again}`,
    identity_invalid: `check identity.issuers (issuer, clients, audience, algorithms), then ${again}`,
  };
  const message = `on stdio, every call is stopped with ${reason}: ${because}`;
  return { id: "identity", level: "fail", message, fix: fixes[reason] ?? again };
}

const WHY: Readonly<Partial<Record<Failure, string>>> = {
  identity_invalid: "there is a login, but it does not hold for this policy",
  identity_not_human: "the login belongs to a client, not to a human",
  identity_unavailable: "the keys of the issuer cannot be had",
};

/** Entries that ask for more than what a call here has of itself. */
function floors({ floors: stricter }: Policy, result: IdentityResult): Finding[] {
  const have = result.kind === "human" ? result.human.assurance : "none";
  const out = [...stricter].filter(([, minimum]) => !assuranceAtLeast(have, minimum));
  if (out.length === 0) return [];
  const named = out.slice(0, MAX_NAMED_ENTRIES).map(([rule, minimum]) => `${rule} (${minimum})`);
  const more = out.length > named.length ? ` and ${out.length - named.length} more` : "";
  const message = `what a call has of itself on stdio is not enough for ${named.join(", ")}${more}`;
  return [{ id: "identity", level: "warn", message, fix: SIGN }];
}

/** What a call may bring to be known by. */
function brought(policy: Policy): Finding[] {
  const { issuers } = policy.identity;
  const proofs = issuers.filter(
    ({ clients, audience }) => clients !== undefined || audience !== undefined,
  );
  const bearers = issuers.filter(({ audience }) => audience !== undefined);
  const parts = [
    ...proofs.map(({ issuer }) => `a proof by a login at ${issuer} (call_bound)`),
    ...bearers.map(({ issuer, audience }) => `a token of ${issuer} for ${audience} (bearer)`),
  ];
  if (parts.length === 0) return [];
  return [{ id: "identity", level: "ok", message: `a call may bring ${parts.join(", or ")}` }];
}

function acceptsLogins({ identity }: Policy): boolean {
  return identity.issuers.some(({ clients }) => clients !== undefined);
}

function acceptsBearers({ identity }: Policy): boolean {
  return identity.issuers.some(({ audience }) => audience !== undefined);
}
