import { errorCode, type CountersignError } from "@countersign/model";

/** An answer that is not 200, as OTLP/HTTP wants it. */
export interface HttpFault {
  readonly status: number;
  /** `google.rpc.Code`. */
  readonly code: number;
  readonly message: string;
  readonly retryAfterMs?: number;
  /** Headers that this answer needs. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Why, in metrics. */
  readonly reason: string;
}

const RPC = {
  invalidArgument: 3,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  unavailable: 14,
  unauthenticated: 16,
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
  | "noToken"
  | "unknownToken"
  | "tooManyFailures"
  | "noCertificate"
  | "certificateExpired"
  | "certificateRefused"
  | "certificateUnknown"
  | "grpc"
  | "notFound"
  | "method"
  | "foreignHost"
  | "mediaType"
  | "malformed"
  | "timeout"
  | "headersTooLarge"
  | "encoding"
  | "tooLarge"
  | "corrupt"
  | "incomplete"
  | "busy";

/** RFC 6750, section 3. */
const ASK_FOR_TOKEN = { "www-authenticate": 'Bearer realm="countersign"' };
const BAD_TOKEN = { "www-authenticate": 'Bearer realm="countersign", error="invalid_token"' };
/** RFC 9110, section 12.5.3: what would have been accepted. */
const ENCODINGS = { "accept-encoding": "gzip, zstd" };

function answer(
  status: number,
  code: number,
  what: Pick<HttpFault, "reason" | "message" | "headers" | "retryAfterMs">,
): HttpFault {
  return { status, code, ...what };
}

/** Their answers. Messages are constant: nothing of the request is repeated. */
export const FAULTS: Readonly<Record<FaultName, HttpFault>> = {
  noToken: answer(401, RPC.unauthenticated, {
    reason: "no_token",
    message: "send `authorization: Bearer <token>`",
    headers: ASK_FOR_TOKEN,
  }),
  unknownToken: answer(401, RPC.unauthenticated, {
    reason: "unknown_token",
    message: "the token is not known here",
    headers: BAD_TOKEN,
  }),
  tooManyFailures: answer(429, RPC.resourceExhausted, {
    reason: "too_many_failures",
    message: "too many wrong tokens came from this address; send again later",
    retryAfterMs: RETRY_AFTER_MS,
  }),
  noCertificate: answer(401, RPC.unauthenticated, {
    reason: "no_certificate",
    message: "connect with a client certificate",
  }),
  certificateExpired: answer(401, RPC.unauthenticated, {
    reason: "certificate_expired",
    message: "the client certificate has expired",
  }),
  certificateRefused: answer(401, RPC.unauthenticated, {
    reason: "certificate_refused",
    message:
      "the client certificate is not of an authority that is trusted here, or not for clients",
  }),
  certificateUnknown: answer(403, RPC.permissionDenied, {
    reason: "certificate_unknown",
    message: "the subject of the client certificate is not on the list of emitters",
  }),
  grpc: answer(415, RPC.unimplemented, {
    reason: "grpc",
    message:
      "OTLP over HTTP only, no gRPC; set the exporter's protocol to http/protobuf, port 4318",
  }),
  notFound: answer(404, RPC.notFound, {
    reason: "not_found",
    message: "no such path, or no pipeline for this signal; use /v1/traces or /v1/logs",
  }),
  method: answer(405, RPC.unimplemented, {
    reason: "method",
    message: "use POST",
    headers: { allow: "POST" },
  }),
  foreignHost: answer(403, RPC.permissionDenied, {
    reason: "foreign_host",
    message: "the Host header names no loopback address",
  }),
  mediaType: answer(415, RPC.invalidArgument, {
    reason: "media_type",
    message: "use content-type application/x-protobuf or application/json",
  }),
  encoding: answer(415, RPC.invalidArgument, {
    reason: "encoding",
    message: "use content-encoding gzip, zstd or none",
    headers: ENCODINGS,
  }),
  tooLarge: answer(413, RPC.resourceExhausted, {
    reason: "too_large",
    message: "the body is over the limit; send smaller batches",
  }),
  corrupt: answer(400, RPC.invalidArgument, {
    reason: "corrupt",
    message: "the body is not what its content-encoding says",
  }),
  incomplete: answer(400, RPC.invalidArgument, {
    reason: "incomplete",
    message: "the body ended early",
  }),
  malformed: answer(400, RPC.invalidArgument, {
    reason: "malformed",
    message: "not an HTTP/1.1 request",
  }),
  timeout: answer(408, RPC.unavailable, {
    reason: "timeout",
    message: "the request did not come in time",
  }),
  headersTooLarge: answer(431, RPC.resourceExhausted, {
    reason: "headers_too_large",
    message: "the headers are over 16 KiB",
  }),
  busy: answer(503, RPC.unavailable, {
    reason: "busy",
    message: "too many requests at once; send again later",
    retryAfterMs: RETRY_AFTER_MS,
  }),
};

/**
 * The answer to a failure behind the receiver. What asks for a retry is 503; so is our own bug, since a sender that were told
 * 500 would throw the events away.
 */
export function faultOf(error: unknown): HttpFault {
  if (error instanceof RequestFault) return error.fault;
  const code = errorCode(error);
  if (code === "INPUT_INVALID" || code === "REJECTED") {
    const { message } = error as CountersignError;
    return answer(400, RPC.invalidArgument, { reason: "rejected", message });
  }
  const retryAfterMs = (error as Partial<CountersignError> | null)?.retryAfterMs ?? RETRY_AFTER_MS;
  const message =
    code === undefined || code === "BUG"
      ? "an internal error; send again later"
      : (error as CountersignError).message;
  return answer(503, RPC.unavailable, { reason: "unavailable", message, retryAfterMs });
}
