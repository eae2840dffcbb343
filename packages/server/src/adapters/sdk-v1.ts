/* oxlint-disable no-underscore-dangle -- the SDK's own names */
import type { IncomingCall } from "../enforce.ts";
import { isRecord } from "../json.ts";
import type { ProtocolInstance, SdkAdapter, SdkRequest } from "./inbound.ts";
import { bearerOf, isLocal } from "./transport.ts";

/** `RequestHandlerExtra` of `@modelcontextprotocol/sdk`: the members that we read. */
interface Extra {
  readonly signal: AbortSignal;
  readonly sessionId?: string;
  readonly requestId?: string | number;
  readonly authInfo?: unknown;
  readonly requestInfo?: {
    readonly headers?: Readonly<Record<string, string | string[] | undefined>>;
  };
}

/** What v1 keeps on the instance after `initialize`; it speaks revisions up to 2025-11-25 only. */
interface V1Server extends ProtocolInstance {
  _clientVersion?: unknown;
}

/** The revision that each connection agreed on: v1's server does not keep it, so it is read off the `initialize` result. */
const negotiated = new WeakMap<object, string>();

/** SDK v1, `@modelcontextprotocol/sdk`. */
export const sdkV1: SdkAdapter = {
  received: withoutRelatedTask,
  read: readCall,
  readBare(self, request, given) {
    const extra = isRecord(given) ? given : {};
    const signal = new AbortController().signal;
    return readCall(self, request, { ...extra, signal, ...sessionOf(self._transport) });
  },
  answered(self, request, result) {
    if (request.method !== "initialize" || !isRecord(result)) return;
    const { protocolVersion: version } = result;
    if (typeof version === "string") negotiated.set(self, version);
  },
};

const RELATED_TASK = "io.modelcontextprotocol/related-task";

/**
 * v1 believes a request that says which task it belongs to: it puts the answer, even a denial, into that task's queue, and
 * `tasks/result` hands it to the task's owner. Whose task it is cannot be known before the SDK looks, so none is named.
 */
function withoutRelatedTask(request: SdkRequest): SdkRequest {
  const { params } = request;
  const meta = isRecord(params) ? params["_meta"] : undefined;
  if (!isRecord(params) || !isRecord(meta) || !(RELATED_TASK in meta)) return request;
  const { [RELATED_TASK]: _claimed, ...rest } = meta;
  return { ...request, params: { ...params, _meta: rest } };
}

/** The session id of a transport, where it has one. It proves nothing; it tells HTTP from STDIO. */
export function sessionOf(transport: object | undefined): { sessionId?: string } {
  if (transport === undefined || !("sessionId" in transport)) return {};
  return typeof transport.sessionId === "string" ? { sessionId: transport.sessionId } : {};
}

/** HTTP is what has request headers, `authInfo`, a session, or a transport that is not local. */
function readCall(self: ProtocolInstance, request: SdkRequest, given: unknown): IncomingCall {
  const extra = given as Extra;
  const headers = extra.requestInfo?.headers;
  const local =
    headers === undefined &&
    extra.authInfo === undefined &&
    extra.sessionId === undefined &&
    isLocal(self._transport);
  const version = versionOf(headers?.["mcp-protocol-version"]) ?? negotiated.get(self);
  return {
    ...requestParts(request),
    ...identified(extra.requestId ?? request.id),
    ...(version === undefined ? {} : { protocolVersion: version }),
    ...parties((self as V1Server)._clientVersion, self._serverInfo),
    transport: local ? "stdio" : "http",
    gate: "in_process",
    signal: extra.signal,
    ...bearerOf(extra.authInfo, headerText(headers?.["authorization"])),
  };
}

function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(", ") : value;
}

function versionOf(header: string | string[] | undefined): string | undefined {
  return typeof header === "string" && header !== "" ? header : undefined;
}

/** Method, params and `_meta` of a request; what is not an object where one must be makes the request malformed. */
export function requestParts(
  request: SdkRequest,
): Pick<IncomingCall, "method" | "params" | "meta" | "fault"> {
  const { method, params } = request;
  if (params !== undefined && !isRecord(params)) return { method, params, fault: "malformed" };
  const meta = params?.["_meta"];
  if (meta === undefined) return { method, params };
  return isRecord(meta) ? { method, params, meta } : { method, params, fault: "malformed" };
}

/** The request id as a member that is absent when there is none. */
export function identified(id: string | number | undefined): Pick<IncomingCall, "requestId"> {
  return id === undefined ? {} : { requestId: id };
}

/** Self-reported names of the two ends. Descriptive only: never identity. */
export function parties(
  client: unknown,
  server: unknown,
): Pick<IncomingCall, "clientInfo" | "serverInfo"> {
  return {
    ...(isRecord(client) ? { clientInfo: nameAndVersion(client) } : {}),
    ...(isRecord(server) ? { serverInfo: nameAndVersion(server) } : {}),
  };
}

function nameAndVersion({ name, version }: Readonly<Record<string, unknown>>): {
  name?: string;
  version?: string;
} {
  return {
    ...(typeof name === "string" && name !== "" ? { name } : {}),
    ...(typeof version === "string" && version !== "" ? { version } : {}),
  };
}
