import { errorCode, type CountersignError } from "@countersign/model";

/** An answer that is not 200, as OTLP/HTTP wants it. */
export interface HttpFault {
  readonly status: number;
  /** `google.rpc.Code`. */
  readonly code: number;
  readonly message: string;
  readonly retryAfterMs?: number;
}

const RPC = {
  invalidArgument: 3,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  unavailable: 14,
} as const;

/** Thrown while a request is read. */
export class RequestFault extends Error {
  readonly fault: HttpFault;

  constructor(fault: HttpFault) {
    super(fault.message);
    this.fault = fault;
  }
}

/** When a sender that was refused for now may come again. */
const RETRY_AFTER_MS = 1000;

/** Why a request is refused before anything is done with it. */
export type FaultName =
  | "notFound"
  | "method"
  | "foreignHost"
  | "mediaType"
  | "encoding"
  | "tooLarge"
  | "corrupt"
  | "incomplete"
  | "busy";

/** Their answers. Messages are constant: nothing of the request is repeated. */
export const FAULTS: Readonly<Record<FaultName, HttpFault>> = {
  notFound: {
    status: 404,
    code: RPC.notFound,
    message: "no such path, or no pipeline for this signal; use /v1/traces or /v1/logs",
  },
  method: { status: 405, code: RPC.unimplemented, message: "use POST" },
  foreignHost: {
    status: 403,
    code: RPC.permissionDenied,
    message: "the Host header names no loopback address",
  },
  mediaType: {
    status: 415,
    code: RPC.invalidArgument,
    message: "use content-type application/x-protobuf or application/json",
  },
  encoding: {
    status: 415,
    code: RPC.invalidArgument,
    message: "use content-encoding gzip or none",
  },
  tooLarge: {
    status: 413,
    code: RPC.resourceExhausted,
    message: "the body is over the limit; send smaller batches",
  },
  corrupt: { status: 400, code: RPC.invalidArgument, message: "the body is not valid gzip" },
  incomplete: { status: 400, code: RPC.invalidArgument, message: "the body ended early" },
  busy: {
    status: 503,
    code: RPC.unavailable,
    message: "too many requests at once; send again later",
    retryAfterMs: RETRY_AFTER_MS,
  },
};

/**
 * The answer to a failure behind the receiver. What asks for a retry is 503; so is our own bug, since a sender that were told
 * 500 would throw the events away.
 */
export function faultOf(error: unknown): HttpFault {
  if (error instanceof RequestFault) return error.fault;
  const code = errorCode(error);
  if (code === "INPUT_INVALID" || code === "REJECTED") {
    return { status: 400, code: RPC.invalidArgument, message: (error as CountersignError).message };
  }
  const retryAfterMs = (error as Partial<CountersignError> | null)?.retryAfterMs ?? RETRY_AFTER_MS;
  const message =
    code === undefined || code === "BUG"
      ? "an internal error; send again later"
      : (error as CountersignError).message;
  return { status: 503, code: RPC.unavailable, message, retryAfterMs };
}
