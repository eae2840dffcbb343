import type { Check, ObjectRef } from "@countersign/model";
import type { Context } from "@opentelemetry/api";

/** One question: has *subject* *permission* on *resource*? */
export interface CheckRequest {
  readonly permission: string;
  readonly resource: ObjectRef;
  readonly subject: ObjectRef;
  /** Caveat context. Goes to the authorizer; only its keys are recorded. */
  readonly context?: Readonly<Record<string, unknown>>;
}

/** The authorizer's answer. Only `allow` allows. */
export interface CheckAnswer {
  readonly verdict: Check["verdict"];
  readonly reason?: NonNullable<Check["reason"]>;
  readonly engine: Check["engine"];
  /** Names the state of the authorizer's data that the answer was computed from. */
  readonly consistencyToken?: string;
  /** RFC 3339; when a relationship that the answer rests on expires. */
  readonly expiresAt?: string;
  readonly durationUs: number;
}

/** What a request carries beside the questions, to join the authorizer's log and trace with ours. */
export interface CheckCall {
  /** The decision id. */
  readonly id: string;
  readonly traceparent?: string;
  readonly context?: Context;
  readonly signal: AbortSignal;
}

/** What `probe` found. */
export interface ProbeResult {
  readonly ok: boolean;
  /** One sentence for an operator: what is there, or what to do. */
  readonly detail: string;
}

/** The port to an authorization engine: one file in this folder for each. */
export interface Checker {
  readonly engine: Check["engine"];
  /** One answer for each request, in order. Never rejects: a fault is an answer (`error` with its reason). Never cached. */
  check(requests: readonly CheckRequest[], call: CheckCall): Promise<readonly CheckAnswer[]>;
  /** Is the engine there, does it take our credential, is it new enough? */
  probe(signal: AbortSignal): Promise<ProbeResult>;
  close(): Promise<void>;
}
