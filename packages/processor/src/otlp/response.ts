import type { ServerResponse } from "node:http";
import { encodeProto } from "./encode-proto.ts";
import type { HttpFault } from "./http-fault.ts";
import { RPC_STATUS } from "./message.ts";

/** Encodings of OTLP/HTTP. */
export type WireFormat = "proto" | "json";

const CONTENT_TYPE: Readonly<Record<WireFormat, string>> = {
  proto: "application/x-protobuf",
  json: "application/json",
};

/** The format that a content type names; undefined for any other. Parameters (`; charset=utf-8`) do not matter. */
export function wireFormat(contentType: string | undefined): WireFormat | undefined {
  const type = (contentType ?? "").split(";", 1)[0]?.trim().toLowerCase();
  if (type === CONTENT_TYPE.proto) return "proto";
  return type === CONTENT_TYPE.json ? "json" : undefined;
}

/** gRPC, gRPC-web: on HTTP/1.1 it is a sender with the wrong setting. */
export function isGrpc(contentType: string | undefined): boolean {
  return /^\s*application\/grpc(?:-web)?(?:[+;\s]|$)/i.test(contentType ?? "");
}

/** 200: an `Export…ServiceResponse` without a member, since a part of a request is never accepted. */
export function sendAccepted(response: ServerResponse, format: WireFormat): void {
  const body = format === "proto" ? Buffer.alloc(0) : Buffer.from("{}");
  response.writeHead(200, { "content-type": CONTENT_TYPE[format], "content-length": body.length });
  response.end(body);
}

/**
 * A `google.rpc.Status` in the request's encoding. `Retry-After` is in whole seconds, at least one. `isLast`: the connection ends
 * with it, since something of the request was not read.
 */
export function sendFault(
  response: ServerResponse,
  { format, fault, isLast }: { format: WireFormat; fault: HttpFault; isLast: boolean },
): void {
  const status = { code: fault.code, message: fault.message };
  const body =
    format === "proto" ? encodeProto(status, RPC_STATUS) : Buffer.from(JSON.stringify(status));
  response.writeHead(fault.status, {
    "content-type": CONTENT_TYPE[format],
    "content-length": body.length,
    ...(fault.retryAfterMs === undefined
      ? {}
      : { "retry-after": String(Math.max(1, Math.ceil(fault.retryAfterMs / 1000))) }),
    ...fault.headers,
    ...(isLast ? { connection: "close" } : {}),
  });
  response.end(body);
}
