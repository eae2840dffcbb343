import type {
  Agent,
  Check,
  Decision,
  Effect,
  Human,
  Mode,
  OutcomeStatus,
  Reason,
} from "@countersign/model";
import type { SubjectToken } from "@countersign/identity";
import type { Context } from "@opentelemetry/api";

/** One MCP request, as an adapter hands it to the gate. The gate knows nothing of any SDK. */
export interface McpCall {
  readonly method: string;
  /** As received; never changed. Nothing of it reaches a record but what the policy extracts. */
  readonly params: unknown;
  readonly requestId?: string | number;
  readonly transport: "stdio" | "http";
  readonly gate: "in_process" | "guard";
  readonly protocolVersion?: string;
  /** Self-reported: recorded as claimed, never believed. */
  readonly clientInfo?: { readonly name?: string; readonly version?: string };
  readonly serverInfo?: { readonly name?: string; readonly version?: string };
  /** The server itself lists this tool or prompt, so its name is not the caller's free text. */
  readonly toolKnown?: boolean;
  /** The raw bearer token of this very message. */
  readonly bearer?: string;
  readonly conflictingBearer?: boolean;
  /**
   * `_meta["dev.countersign/call-proof"]` as received, already taken out of `params`. An object is this message's own: the
   * same object again is the same message, decided once more.
   */
  readonly proof?: unknown;
  /** The params as they were on the wire, where the SDK has taken something out of them since. A proof is about these. */
  readonly sentParams?: unknown;
  /** Of the caller's `traceparent` in `_meta`. The caller's choice: a join key, never evidence. */
  readonly traceId?: string;
  /** Aborts when the caller cancels. */
  readonly signal: AbortSignal;
  /** Found by the adapter's parser: the call is decided by it, and blocked in every mode. */
  readonly fault?: "malformed" | "too_large";
  /** Of the `authorize` span. */
  readonly traceparent?: string;
  /** Parent of the `check` spans. */
  readonly context?: Context;
}

/** What the gate decided about one call, after it was recorded. */
export interface Verdict {
  /** The decision id: in the record, at the authorizer (`x-request-id`), in the denial. */
  readonly id: string;
  /** False: the record is not where the policy's `durability` wants it. The caller then gets no reference. */
  readonly recorded: boolean;
  readonly decision: Decision;
  readonly reason: Reason;
  readonly mode: Mode;
  /** What the adapter must do. `block` after an `allow`: it was cancelled, or could not be recorded in time. */
  readonly effect: Effect;
  readonly human?: Human;
  readonly agent?: Agent;
  readonly checks?: readonly Check[];
  /** The policy entry, as `tools.read_ticket`. */
  readonly rule?: string;
  /** `performance.now()` of the decision. A handler starts within 5 s of it, or the gate decides again. */
  readonly decidedAtMs: number;
  /** The name as recorded; absent if there is none or it is withheld. */
  readonly callName?: string;
  readonly callNameWithheld?: true;
  /** The verified token behind the human, for token exchange by the handler. Never recorded, prints as nothing. */
  readonly subject?: SubjectToken;
}

/** How a call that ran ended. */
export interface CallOutcome {
  readonly status: OutcomeStatus;
  readonly rpcCode?: number;
  /** `task_created`: the task that this caller now owns. */
  readonly taskId?: string;
  /** Of the SERVER span. */
  readonly traceparent?: string;
  readonly durationUs: number;
}

/** One entry of a list result. */
export type ListEntry =
  | { readonly kind: "tool" | "prompt"; readonly name: string }
  | { readonly kind: "resource"; readonly uri: string }
  | { readonly kind: "resource_template"; readonly uriTemplate: string };
