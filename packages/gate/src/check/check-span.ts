import {
  ATTR_CHECK_COUNT,
  ATTR_ERROR_TYPE,
  ATTR_RPC_METHOD,
  ATTR_RPC_STATUS_CODE,
  ATTR_RPC_SYSTEM_NAME,
  ATTR_SERVER_ADDRESS,
  ATTR_SERVER_PORT,
  SCOPE_GATE,
} from "@countersign/model";
import { context, isSpanContextValid, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import type { CheckCall } from "./checker.ts";

/** What one request to an authorizer is. */
export interface Request {
  /** `host:port`. */
  readonly endpoint: string;
  readonly method: string;
  /** Questions in it. */
  readonly count: number;
}

/** The CLIENT span of one request sent (contract/span-attributes.md, `check`). */
export interface CheckSpan {
  /** To send along; absent when nothing records and the caller's own is the better one. */
  readonly traceparent?: string;
  end(): void;
  /** @param code gRPC status. The message stays out: it can repeat ids. */
  fail(code: number | undefined): void;
}

const SERVICE = "authzed.api.v1.PermissionsService";
const STATUS_NAMES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
];

/** Starts a `check` span below the call's `authorize` span. Without an SDK it costs next to nothing and records nothing. */
export function startCheckSpan({ endpoint, method, count }: Request, call: CheckCall): CheckSpan {
  const colon = endpoint.lastIndexOf(":");
  const span = trace.getTracer(SCOPE_GATE).startSpan(
    "check",
    {
      kind: SpanKind.CLIENT,
      attributes: {
        [ATTR_RPC_SYSTEM_NAME]: "grpc",
        [ATTR_RPC_METHOD]: `${SERVICE}/${method}`,
        [ATTR_SERVER_ADDRESS]: endpoint.slice(0, colon),
        [ATTR_SERVER_PORT]: Number(endpoint.slice(colon + 1)),
        [ATTR_CHECK_COUNT]: count,
      },
    },
    call.context ?? context.active(),
  );
  const own = span.spanContext();
  const ended = {
    end: (): void => span.end(),
    fail: (code: number | undefined): void => {
      const status = STATUS_NAMES[code ?? 2] ?? "UNKNOWN";
      span.setAttributes({ [ATTR_RPC_STATUS_CODE]: status, [ATTR_ERROR_TYPE]: status });
      span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    },
  };
  if (!isSpanContextValid(own)) return ended;
  const flags = (own.traceFlags & 0xff).toString(16).padStart(2, "0");
  return { ...ended, traceparent: `00-${own.traceId}-${own.spanId}-${flags}` };
}
