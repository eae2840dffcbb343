// The event as TypeScript sees it. The JSON Schema in schema/ is the authority; these types follow it member by member.
import type { Assurance } from "./assurance.ts";
import type { Decision, Reason } from "./reason.ts";

/** Kinds of events. `withheld` and `finding` are made by a processor; the others by an emitter, which seals them. */
export type EventKind =
  | "start"
  | "decision"
  | "outcome"
  | "heartbeat"
  | "lost"
  | "stop"
  | "withheld"
  | "finding";

/** What the policy makes of a verdict: `observe` and `break_glass` run the call and record the verdict. */
export type Mode = "enforce" | "observe" | "break_glass";

/** What the gate did with the call. In `enforce`, `run` if and only if the decision is `allow`. */
export type Effect = "run" | "block";

/** What became of a call that was let through. */
export type OutcomeStatus =
  | "completed"
  | "tool_error"
  | "rpc_error"
  | "input_required"
  | "task_created"
  | "cancelled"
  | "not_run"
  | "unknown";

/** Where the call came in. */
export type CallTransport = "stdio" | "http";

/** Which of the two gates decided: inside the server's process, or the guard in front of it. */
export type GateKind = "in_process" | "guard";

/** When a call may go on: when its decision is on this disk, or when the processor acknowledged it. */
export type Durability = "journal" | "acknowledged";

/** How the previous epoch of the same emitter ended. */
export type EpochEnd = "stop" | "no_stop" | "journal_fault" | "corrupt";

/** Why an epoch ended. */
export type StopReason = "stdin_closed" | "signal" | "shutdown" | "fatal" | "journal_fault";

/** Why something is missing from the record. */
export type LostReason = "journal_corrupt" | "journal_unavailable" | "observe" | "break_glass";

/** Place in an emitter's hash chain. `prev` is the hash of the event before, {@link GENESIS} for `seq` 0. */
export interface Chain {
  readonly emitter: string;
  /** 128 random bits in hex. */
  readonly epoch: string;
  /** Gapless from 0. */
  readonly seq: number;
  readonly prev: string;
}

/** An object of the authorizer, its id in the encoding of contract section 4: as it was sent. */
export interface ObjectRef {
  readonly type: string;
  readonly id: string;
}

/** Somebody, as an issuer names them. */
export interface Principal {
  readonly issuer: string;
  readonly subject: string;
}

/** Key and token that a proof of possession was bound to. */
export interface Binding {
  /** RFC 7638 thumbprint of the key. */
  readonly jkt?: string;
  readonly jti?: string;
  readonly tokenSha256?: string;
}

/** The person behind a call. */
export interface Human extends Principal {
  readonly assurance: Exclude<Assurance, "none">;
  readonly method: "call_proof" | "dpop" | "bearer" | "process_token" | "os_account" | "asserted";
  /** When the person logged in; RFC 3339 with three decimals. */
  readonly authTime?: string;
  readonly binding?: Binding;
}

/** The software acting for the human: what was verified (`id`, `actors`), and what it says of itself (`claimed`). */
export interface Agent {
  readonly id?: string;
  readonly claimed?: { readonly name?: string; readonly version?: string };
  /** RFC 8693 `act`, outermost first; at most 8. */
  readonly actors?: readonly Principal[];
}

/** What the authorizer said to one check. */
export type CheckVerdict = "allow" | "deny" | "conditional" | "error";

/** Why a check is not a plain allow or deny. */
export type CheckReason =
  | "missing_context"
  | "timeout"
  | "unavailable"
  | "invalid_request"
  | "refused"
  | "not_evaluated";

/** Which authorizer answered. */
export type Engine = "spicedb" | "authzen" | "cedar" | "relationships";

/** One question to the authorizer and its answer. */
export interface Check {
  readonly permission: string;
  readonly resource: ObjectRef;
  readonly subject: ObjectRef;
  readonly verdict: CheckVerdict;
  readonly reason?: CheckReason;
  readonly engine: Engine;
  readonly consistencyToken?: string;
  /** Single checks only. */
  readonly expiresAt?: string;
  /** Names of the caveat context that was sent; values are never recorded. */
  readonly contextKeys?: readonly string[];
  readonly durationUs: number;
}

/** The MCP server that was called. `id` is the policy's; name and version are what it says of itself. */
export interface ServerInfo {
  readonly id: string;
  readonly name?: string;
  readonly version?: string;
}

/** The call as an outcome repeats it. */
export interface RecordedCall {
  readonly method: string;
  readonly name?: string;
  /** The name was not fit to be recorded (contract, section 3). */
  readonly nameWithheld?: true;
}

/** The call that was decided. */
export interface DecisionCall extends RecordedCall {
  readonly transport: CallTransport;
  readonly gate: GateKind;
  readonly protocolVersion?: string;
  readonly requestId?: string;
  readonly digest?: string;
}

/** What an emitter counted since the epoch began. The gate counts in place; events carry copies. */
export interface Counters {
  allow: number;
  deny: number;
  error: number;
  outcomes: number;
  notRun: number;
  /** Calls stopped because nothing could be written. */
  auditDenied: number;
  /** Calls that ran without a record: observe and break-glass only. */
  unrecorded: number;
  /** Values that were withheld from events: a detector fired, or a name was not fit. */
  withheld: number;
  droppedNotifications: number;
}

/** One copy of an MCP SDK found in the process. */
export interface SdkCoverage {
  readonly package: string;
  readonly version: string;
  readonly format: "esm" | "cjs" | "none";
  readonly patched: boolean;
}

interface Envelope<Kind extends EventKind, Data> {
  readonly specversion: "1.0";
  readonly id: string;
  readonly source: string;
  readonly type: `dev.countersign.${Kind}.v1`;
  readonly time: string;
  readonly datacontenttype: "application/json";
  readonly dataschema: `urn:countersign:schema:${Kind}:1`;
  readonly data: Data;
}

interface CallEnvelope {
  /** `<method>/<name>`, without the name if it is withheld. */
  readonly subject?: string;
  /** W3C. Chosen by the caller: a join key, not evidence. */
  readonly traceparent?: string;
}

/** First event of an epoch. */
export interface StartEvent extends Envelope<
  "start",
  {
    readonly chain: Chain;
    readonly tenant: string;
    readonly epochNumber: number;
    readonly previous?: {
      readonly epoch: string;
      readonly seq: number;
      readonly hash: string;
      readonly end: EpochEnd;
    };
    readonly mode: Mode;
    readonly durability: Durability;
    readonly gate: GateKind;
    readonly server: ServerInfo;
    readonly policy: { readonly digest: string; readonly default: "deny" };
    readonly runtime: { readonly countersign: string; readonly node: string; readonly os: string };
    readonly coverage: { readonly sdks: readonly SdkCoverage[] };
    readonly auditDenied?: number;
  }
> {}

/** The verdict of a call. Its `id` is the decision id that callers, spans and SIEMs carry. */
export interface DecisionEvent
  extends
    CallEnvelope,
    Envelope<
      "decision",
      {
        /** Present if and only if `evidence` is `sealed`. */
        readonly chain?: Chain;
        readonly tenant: string;
        readonly evidence: "sealed" | "span";
        readonly mode: Mode;
        readonly decision: Decision;
        readonly reason: Reason;
        readonly effect: Effect;
        readonly call: DecisionCall;
        readonly human?: Human;
        readonly agent?: Agent;
        readonly checks?: readonly Check[];
        /** List methods, instead of `checks`. */
        readonly list?: { readonly offered: number; readonly shown: number };
        readonly server: ServerInfo;
        readonly policy: { readonly digest: string; readonly rule?: string };
        /** Time spent in the gate. */
        readonly durationUs: number;
      }
    > {}

/** What became of a call that was let through. */
export interface OutcomeEvent
  extends
    CallEnvelope,
    Envelope<
      "outcome",
      {
        readonly chain: Chain;
        readonly tenant: string;
        readonly decisionId: string;
        readonly status: OutcomeStatus;
        readonly call: RecordedCall;
        readonly durationUs: number;
        readonly rpcCode?: number;
      }
    > {}

/** The emitter lives: its counters, and what waits in its journal. */
export interface HeartbeatEvent extends Envelope<
  "heartbeat",
  {
    readonly chain: Chain;
    readonly tenant: string;
    readonly uptimeMs: number;
    readonly counters: Readonly<Counters>;
    readonly journal: {
      readonly bytes: number;
      readonly unacknowledged: number;
      readonly oldestUnacknowledgedMs: number;
    };
  }
> {}

/** Something is missing, and this says how much: records that are unreadable, or calls that ran without one. */
export interface LostEvent extends Envelope<
  "lost",
  {
    readonly chain: Chain;
    readonly tenant: string;
    readonly what: "records" | "calls";
    readonly count: number;
    readonly reason: LostReason;
    readonly records?: { readonly epoch: string; readonly fromSeq: number; readonly toSeq: number };
    readonly calls?: { readonly since: string; readonly until: string };
  }
> {}

/** Last event of an epoch that ended in order. */
export interface StopEvent extends Envelope<
  "stop",
  {
    readonly chain: Chain;
    readonly tenant: string;
    readonly reason: StopReason;
    readonly uptimeMs: number;
    readonly counters: Readonly<Counters>;
  }
> {}

/** Stands for a sealed event that must not go on because it holds what it must not. The chain stays checkable. */
export interface WithheldEvent extends Envelope<
  "withheld",
  {
    readonly tenant: string;
    readonly of: {
      readonly emitter: string;
      readonly epoch: string;
      readonly seq: number;
      readonly hash: string;
    };
    readonly detector: string;
    /** Path of the member, never its value. */
    readonly member: string;
  }
> {}

/**
 * What a look along the chains found. `GAP`: events or whole epochs are missing. `FORK`: two histories of one place. `DUPLICATE`: an
 * event came again. `NO_STOP`: an epoch fell silent, and nothing tells how it ended. `SILENT`: an emitter that should always be
 * heard is not. `NO_OUTCOME`: a call ran, and what became of it is not recorded. `CLOCK_SKEW`: a clock that cannot be right.
 * `POLICY_UNKNOWN`: decided by a policy that nobody listed.
 */
export type FindingKind =
  | "GAP"
  | "FORK"
  | "DUPLICATE"
  | "NO_STOP"
  | "SILENT"
  | "NO_OUTCOME"
  | "CLOCK_SKEW"
  | "POLICY_UNKNOWN";

/** Something about the record that somebody should look at. Its `time` is that of the event that showed it. */
export interface FindingEvent extends Envelope<
  "finding",
  {
    readonly tenant: string;
    readonly finding: FindingKind;
    /** What it is about: an emitter, an epoch, an event. What does not apply is absent. */
    readonly of: {
      readonly emitter?: string;
      readonly epoch?: string;
      readonly seq?: number;
      readonly hash?: string;
      /** The event's `id`. */
      readonly id?: string;
      /** `source` of an event that has no chain. */
      readonly source?: string;
    };
    /** GAP: the first and the last that are missing, by `seq` or by epoch number. */
    readonly missing?: {
      readonly what: "events" | "epochs";
      readonly from: number;
      readonly to: number;
    };
    /** FORK: the hash that the chain asks for at this place. */
    readonly expected?: string;
    /** CLOCK_SKEW. */
    readonly clock?: "ahead" | "backwards";
    /** POLICY_UNKNOWN. */
    readonly policy?: { readonly digest: string };
  }
> {}

/** Every event, told apart by `type`. */
export type CountersignEvent =
  | StartEvent
  | DecisionEvent
  | OutcomeEvent
  | HeartbeatEvent
  | LostEvent
  | StopEvent
  | WithheldEvent
  | FindingEvent;

/** The deciding check: the first that is not `allow`, else the first. */
export function deciding(checks: readonly Check[] | undefined): Check | undefined {
  return checks?.find((check) => check.verdict !== "allow") ?? checks?.[0];
}

/** Counters at zero, in the order in which they are sealed. */
export function zeroCounters(): Counters {
  return {
    allow: 0,
    auditDenied: 0,
    deny: 0,
    droppedNotifications: 0,
    error: 0,
    notRun: 0,
    outcomes: 0,
    unrecorded: 0,
    withheld: 0,
  };
}
