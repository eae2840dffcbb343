// Faults of the client library in our words. Their messages are not passed on: only types, which are constants of the protocol.
import { CountersignError } from "@countersign/model";

/** What a fault asks for. */
export type FaultKind =
  /** The records will never be taken. */
  | "rejected"
  /** The batch is too large; half of it may not be. */
  | "too_large"
  /** The broker lost track of this producer: nothing of the batch was stored, a new producer can send it. */
  | "sequence"
  /** Our time is too far from the broker's (since Kafka 4.0 an hour ahead): says nothing of the records, and holds for all of them. */
  | "clock"
  /** Somebody has to change a permission or a password. */
  | "forbidden"
  /** The topic is not there. */
  | "missing"
  /** Again later. */
  | "transient";

/** A fault, sorted. */
export interface KafkaFault {
  readonly kind: FaultKind;
  /** `NOT_ENOUGH_REPLICAS`, `ECONNREFUSED`, `KafkaJSRequestTimeoutError`. */
  readonly type: string;
}

const KINDS: Readonly<Record<string, FaultKind>> = {
  MESSAGE_TOO_LARGE: "too_large",
  RECORD_LIST_TOO_LARGE: "too_large",
  INVALID_RECORD: "rejected",
  INVALID_TIMESTAMP: "clock",
  CORRUPT_MESSAGE: "transient",
  OUT_OF_ORDER_SEQUENCE_NUMBER: "sequence",
  UNKNOWN_PRODUCER_ID: "sequence",
  INVALID_PRODUCER_EPOCH: "sequence",
  INVALID_PRODUCER_ID_MAPPING: "sequence",
  TOPIC_AUTHORIZATION_FAILED: "forbidden",
  GROUP_AUTHORIZATION_FAILED: "forbidden",
  CLUSTER_AUTHORIZATION_FAILED: "forbidden",
  SASL_AUTHENTICATION_FAILED: "forbidden",
  UNSUPPORTED_SASL_MECHANISM: "forbidden",
  ILLEGAL_SASL_STATE: "forbidden",
  KafkaJSSASLAuthenticationError: "forbidden",
  UNKNOWN_TOPIC_OR_PARTITION: "missing",
};

/** Longest chain of causes that is followed. */
const MAX_DEPTH = 8;

/** Sorts whatever the client library threw. */
export function faultOf(error: unknown): KafkaFault {
  const types = [...typesOf(error)];
  const known = types.find((type) => KINDS[type] !== undefined);
  if (known !== undefined) return { kind: KINDS[known] as FaultKind, type: known };
  const telling = types.find((type) => /^[A-Z]/.test(type) && type !== "Error");
  return { kind: "transient", type: telling ?? "unknown" };
}

/** Protocol types, system codes and class names along the causes, the outermost first; wrappers say the least and come last. */
function* typesOf(error: unknown): Generator<string> {
  const names: string[] = [];
  let one = error as
    | { type?: unknown; code?: unknown; name?: unknown; cause?: unknown }
    | undefined;
  for (let depth = 0; depth < MAX_DEPTH && typeof one === "object" && one !== null; depth += 1) {
    if (typeof one.type === "string") yield one.type;
    if (typeof one.code === "string") yield one.code;
    if (typeof one.name === "string") names.unshift(one.name);
    one = one.cause as typeof one;
  }
  yield* names;
}

const ADVICE: Readonly<Record<FaultKind, string>> = {
  rejected: "the broker will never take it",
  too_large: "it is larger than the topic's max.message.bytes",
  sequence: "the broker lost track of this producer; it is made anew",
  clock: "set this machine's clock; nothing moves until then",
  forbidden: "check user, password and ACLs; nothing moves until then",
  missing: "the topic is not there; create it",
  transient: "it is tried again",
};

/** The same as one of our errors. `what` is a phrase of ours: "cannot write to countersign.events.v1/3". */
export function kafkaError(id: string, what: string, cause: unknown): CountersignError {
  const { kind, type } = faultOf(cause);
  const code = kind === "rejected" || kind === "too_large" ? "REJECTED" : "UNAVAILABLE";
  return new CountersignError(code, `${id}: ${what} (${type}); ${ADVICE[kind]}`, { cause });
}
