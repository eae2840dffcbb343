/* oxlint-disable no-underscore-dangle -- the SDK's own names */
import { Socket } from "node:net";
import { isRecord } from "../json.ts";

/**
 * Whether a transport is this process's own standard input, or a link inside the process. Everything else counts as
 * network: the account that runs the process says nothing about who is at the other end of a socket. Told by
 * structure, since class names do not survive a bundler; v2's `serveStdio` puts a channel before the transport.
 */
export function isLocal(transport: object | undefined): boolean {
  if (transport === undefined) return false;
  const wire = "_wire" in transport && isRecord(transport._wire) ? transport._wire : transport;
  if ("_stdin" in wire && "_stdout" in wire)
    return wire._stdin === process.stdin && !isNetwork(process.stdin);
  return "_otherTransport" in wire && "_messageQueue" in wire;
}

/** Inputs that have been looked at: a connection that is gone does not tell any more where it went. */
const networks = new WeakMap<object, boolean>();

/** Standard input can be a connection that somebody else accepted (inetd, systemd). One that is gone already is taken for one. */
export function isNetwork(input: object): boolean {
  const known = networks.get(input);
  if (known !== undefined) return known;
  const network = input instanceof Socket && (input.remoteAddress !== undefined || input.destroyed);
  networks.set(input, network);
  return network;
}

/** A bearer token as it reached the server: by the SDK's verified `authInfo`, by the header, or by both. */
export interface Bearer {
  readonly bearer?: string;
  /** Two tokens that differ: nobody may choose between them. */
  readonly conflictingBearer?: true;
}

/** The token of a call. `authorization` is the header's value; several values never make one token. */
export function bearerOf(authInfo: unknown, authorization: string | undefined): Bearer {
  const verified =
    isRecord(authInfo) && typeof authInfo["token"] === "string" ? authInfo["token"] : undefined;
  const sent = sentToken(authorization ?? "");
  const bearer = verified ?? sent;
  if (bearer === undefined) return {};
  const conflicting = verified !== undefined && Boolean(sent) && verified !== sent;
  return conflicting ? { bearer, conflictingBearer: true } : { bearer };
}

/**
 * An empty token, and one that is bound to a key whose proof is not looked at here (RFC 9449), are evidence that does not
 * hold, not the absence of any. Other schemes are somebody else's: a proxy's, for instance.
 */
function sentToken(authorization: string): string | undefined {
  const [, scheme, token] = /^\s*(Bearer|DPoP)(?:\s+(.*))?$/is.exec(authorization) ?? [];
  if (scheme === undefined) return undefined;
  return scheme.toLowerCase() === "bearer" ? (token?.trim() ?? "") : "";
}
