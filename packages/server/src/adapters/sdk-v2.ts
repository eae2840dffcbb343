/* oxlint-disable no-underscore-dangle -- the SDK's own names */
import type { IncomingCall } from "../enforce.ts";
import { isRecord } from "../json.ts";
import type { ProtocolInstance, SdkAdapter, SdkRequest } from "./inbound.ts";
import { identified, parties, requestParts, sessionOf } from "./sdk-v1.ts";
import { bearerOf, isLocal } from "./transport.ts";

/** Reserved `_meta` keys of protocol revision 2026-07-28. */
export const PROTOCOL_VERSION_KEY = "io.modelcontextprotocol/protocolVersion";
export const CLIENT_INFO_KEY = "io.modelcontextprotocol/clientInfo";

/** `ServerContext` of `@modelcontextprotocol/server`: the members that we read. */
interface ServerContext {
  readonly sessionId?: string;
  readonly mcpReq: {
    readonly id?: string | number;
    readonly signal: AbortSignal;
    readonly envelope?: Readonly<Record<string, unknown>>;
  };
  readonly http?: {
    readonly authInfo?: unknown;
    readonly req?: { readonly headers: { get(name: string): string | null } };
  };
}

interface V2Server extends ProtocolInstance {
  _negotiatedProtocolVersion?: unknown;
  _clientVersion?: unknown;
}

/** SDK v2, `@modelcontextprotocol/server`, either era. */
export const sdkV2: SdkAdapter = {
  read: readCall,
  readBare(self, request, given) {
    const { authInfo, request: req } = isRecord(given) ? given : {};
    const { meta } = requestParts(request);
    return readCall(self, request, {
      ...sessionOf(self._transport),
      mcpReq: {
        signal: new AbortController().signal,
        ...(meta === undefined ? {} : { envelope: meta }),
      },
      ...(authInfo === undefined && req === undefined ? {} : { http: { authInfo, req } }),
    });
  },
};

/**
 * Reads a call of SDK v2, either era. The SDK has lifted the reserved `_meta` keys into `envelope`, and a retry's
 * `inputResponses` and `requestState` out of `params`: the handler does not see them there either.
 */
function readCall(self: ProtocolInstance, request: SdkRequest, given: unknown): IncomingCall {
  const { sessionId, mcpReq, http } = given as ServerContext;
  const { _negotiatedProtocolVersion: negotiated, _clientVersion: client } = self as V2Server;
  const claimed = mcpReq.envelope?.[PROTOCOL_VERSION_KEY];
  const version = [claimed, negotiated].find((one) => typeof one === "string" && one !== "");
  const local = http === undefined && sessionId === undefined && isLocal(self._transport);
  const claimedClient = mcpReq.envelope?.[CLIENT_INFO_KEY];
  return {
    ...requestParts(request),
    ...identified(mcpReq.id ?? request.id),
    ...(typeof version === "string" ? { protocolVersion: version } : {}),
    ...parties(isRecord(claimedClient) ? claimedClient : client, self._serverInfo),
    transport: local ? "stdio" : "http",
    gate: "in_process",
    signal: mcpReq.signal,
    ...bearerOf(http?.authInfo, http?.req?.headers.get("authorization") ?? undefined),
  };
}
