// What the ways to find out who asks have in common; identity.ts puts them in order.
import type { Human, Principal } from "@countersign/model";
import type { SubjectToken } from "./subject-token.ts";

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
