import type {
  CallEvidence,
  IdentityResolver,
  IdentityResult,
  SubjectToken,
} from "@countersign/identity";
import {
  type Agent,
  type Assurance,
  assuranceAtLeast,
  type Human,
  overBound,
  type Reason,
} from "@countersign/model";
import type { Budget } from "./budget.ts";
import type { McpCall } from "./call.ts";
import type { GateClock } from "./clock.ts";
import type { Policy } from "./policy/policy.ts";

/** What tells who asks. */
export interface WhoParts {
  readonly policy: Policy;
  readonly identity: IdentityResolver;
  /** What identity said of messages that came with a proof. */
  readonly resolved: ResolvedMessages;
  readonly clock: GateClock;
}

/** The human and the agent, or the reason why there is none to go on with. */
export interface Who {
  readonly human?: Human;
  readonly agent?: Agent;
  /** The verified token behind the human. For the handler, never for the record. */
  readonly subject?: SubjectToken;
  readonly reason?: Reason;
}

/** Identity and the policy's own floor. */
export async function whoAsks(parts: WhoParts, call: McpCall, budget: Budget): Promise<Who> {
  const { minimum } = parts.policy.identity;
  const work = resolveOnce(parts, call, budget);
  const result = await budget.race(work).catch((error: unknown) => {
    if (budget.end === undefined) throw error;
    return undefined;
  });
  const claimed = claimedAgent(call);
  if (result === undefined) {
    return {
      ...claimed,
      reason: budget.end === "cancelled" ? "cancelled" : "identity_unavailable",
    };
  }
  if (result.kind === "denied" || result.kind === "error")
    return { ...claimed, reason: result.reason };
  if (result.kind === "absent")
    return minimum === "none" ? claimed : { ...claimed, reason: "identity_missing" };
  const agent = { ...claimed.agent, ...result.agent };
  const who =
    Object.keys(agent).length === 0 ? { human: result.human } : { human: result.human, agent };
  if (overBound(who) !== undefined) return { ...claimed, reason: "identity_invalid" };
  const known = result.subject === undefined ? who : { ...who, subject: result.subject };
  return isStrong(who.human, minimum) ? known : { ...known, reason: "identity_too_weak" };
}

/** Whether the human is known at least as surely as the policy asks. */
export function isStrong(human: Human | undefined, minimum: Assurance): boolean {
  return assuranceAtLeast(human?.assurance ?? "none", minimum);
}

/** What identity said of one message. */
export interface ResolvedMessage {
  readonly method: string;
  readonly params: unknown;
  readonly result: IdentityResult;
  /** When identity was asked. */
  readonly at: Instant;
}

/** The wall clock goes on while the machine sleeps; the other one cannot be set back. */
interface Instant {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** No proof is good for longer (contract, section 6). */
const MAX_PROOF_AGE_MS = 60_000;
const TOO_OLD: IdentityResult = { kind: "denied", reason: "identity_invalid" };

/** By the proof object that came with a message. */
export type ResolvedMessages = WeakMap<object, ResolvedMessage>;

/**
 * A proof is good for one use, but a message may be decided more than once: when its decision came too late. The second time it
 * is the same message if proof and params are the very same objects, and then it is who it was; but not for longer than a proof may
 * be used, since a call can wait for minutes behind a server that does not read. Asking again would call the message its own replay.
 */
async function resolveOnce(
  parts: WhoParts,
  call: McpCall,
  budget: Budget,
): Promise<IdentityResult> {
  const { proof, method } = call;
  const params = call.sentParams ?? call.params;
  if (typeof proof !== "object" || proof === null)
    return parts.identity.resolve(evidenceOf(call), budget.signal);
  const before = parts.resolved.get(proof);
  const at = instantOf(parts.clock);
  if (before !== undefined && before.method === method && before.params === params)
    return isOld(before.at, at) ? TOO_OLD : before.result;
  const result = await parts.identity.resolve(evidenceOf(call), budget.signal);
  if (result.kind === "human") parts.resolved.set(proof, { method, params, result, at });
  return result;
}

function instantOf(clock: GateClock): Instant {
  return { wallMs: clock.now(), monotonicMs: clock.monotonic() };
}

function isOld(then: Instant, now: Instant): boolean {
  const passedMs = Math.max(now.wallMs - then.wallMs, now.monotonicMs - then.monotonicMs);
  return passedMs > MAX_PROOF_AGE_MS;
}

function evidenceOf(call: McpCall): CallEvidence {
  const { transport, bearer, conflictingBearer, proof } = call;
  const evidence = {
    transport,
    ...(bearer === undefined ? {} : { bearer }),
    ...(conflictingBearer === undefined ? {} : { conflictingBearer }),
  };
  if (proof === undefined) return evidence;
  const { method, traceId } = call;
  const about = { method, params: call.sentParams ?? call.params };
  return { ...evidence, proof, request: traceId === undefined ? about : { ...about, traceId } };
}

function claimedAgent({ clientInfo }: McpCall): { readonly agent?: Agent } {
  if (clientInfo?.name === undefined && clientInfo?.version === undefined) return {};
  const { name, version } = clientInfo;
  return {
    agent: {
      claimed: {
        ...(name === undefined ? {} : { name }),
        ...(version === undefined ? {} : { version }),
      },
    },
  };
}
