import type { Human } from "@countersign/model";
import type { BearerResolver } from "./bearer.ts";
import type { CallProofVerifier, ProvenCall } from "./call-proof.ts";
import type { CallEvidence, IdentityResult, ResolverStep } from "./resolver.ts";
import type { ReplayGuard } from "./replay.ts";
import { createSubjectToken, type SubjectToken } from "./subject-token.ts";
import { orAbort } from "./wait.ts";

type HumanResult = Extract<IdentityResult, { readonly kind: "human" }>;

const INVALID: IdentityResult = { kind: "denied", reason: "identity_invalid" };
const CONFLICT: IdentityResult = { kind: "denied", reason: "identity_conflict" };
const REPLAYED: IdentityResult = { kind: "denied", reason: "identity_replayed" };
const REPLAY_FULL: IdentityResult = { kind: "error", reason: "replay_cache_full" };

/** What looks at the evidence that a message carries itself. */
export interface MessageEvidenceParts {
  readonly proofs: CallProofVerifier;
  readonly bearer: BearerResolver;
  readonly replay: ReplayGuard;
  readonly clock: () => number;
}

/**
 * The call proof in `_meta`, and the HTTP bearer token. With both, both must hold and name the same human. The replay guard is
 * asked last, when everything else holds: what does not may not take a place in it.
 */
export function messageEvidence(parts: MessageEvidenceParts): ResolverStep {
  return (evidence, signal) => {
    const answer =
      evidence.proof === undefined
        ? parts.bearer.resolve(evidence)
        : withProof(parts, evidence, signal);
    return answer instanceof Promise ? orAbort(answer, signal) : answer;
  };
}

async function withProof(
  parts: MessageEvidenceParts,
  evidence: CallEvidence,
  signal: AbortSignal,
): Promise<IdentityResult> {
  const { proof, request, transport } = evidence;
  if (request === undefined) return INVALID;
  const proven = await parts.proofs.verify(proof, { ...request, transport });
  if (proven.kind !== "proven") return proven;
  const bearer = await parts.bearer.resolve(evidence, proven.login.jkt);
  if (bearer !== undefined && bearer.kind !== "human") return bearer;
  if (bearer !== undefined && !isSameHuman(bearer.human, proven)) return CONFLICT;
  signal.throwIfAborted();
  const { jti, iatSeconds, login } = proven;
  const use = parts.replay.use({ jkt: login.jkt, jti, iatSeconds }, parts.clock());
  if (use === "replayed") return REPLAYED;
  return use === "fresh" ? callBound(proven, tokenOf(evidence), bearer) : REPLAY_FULL;
}

/** Code unit by code unit: what merely looks the same is somebody else. */
function isSameHuman(human: Human, { login }: ProvenCall): boolean {
  return human.issuer === login.issuer && human.subject === login.subject;
}

function tokenOf({ proof }: CallEvidence): string {
  return (proof as { readonly token: string }).token;
}

function callBound(
  { login, jti }: ProvenCall,
  token: string,
  bearer: HumanResult | undefined,
): HumanResult {
  const { issuer, subject, authTime, agent, kind, jkt, tokenSha256 } = login;
  return {
    kind: "human",
    human: {
      issuer,
      subject,
      assurance: "call_bound",
      method: "call_proof",
      ...(authTime === undefined ? {} : { authTime }),
      binding: { jkt, jti, tokenSha256 },
    },
    ...(agent === undefined ? {} : { agent }),
    subject: subjectToken(kind, token, bearer),
  };
}

/** For token exchange an access token is worth more: some services take nothing else (Keycloak 26.7). */
function subjectToken(
  kind: SubjectToken["kind"],
  token: string,
  bearer: HumanResult | undefined,
): SubjectToken {
  if (kind === "id_token" && bearer?.subject !== undefined) return bearer.subject;
  return createSubjectToken(kind, token);
}
