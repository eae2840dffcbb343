/* oxlint-disable no-underscore-dangle -- the SDK's own names */
import { isRecord } from "./inject.ts";

/** Variable in the `env` that a host's configuration gives to a STDIO server: the audience of proofs for that server. */
const AUDIENCE_VARIABLE = "COUNTERSIGN_AUDIENCE";

/**
 * Who a proof is for, by what the host itself knows of the other end; never by what a server says of itself, or it could
 * have itself called another. STDIO: the host's configuration. HTTP: where the message goes, without user, query, fragment.
 */
export function audienceOf(transport: object): string | undefined {
  if ("_serverParams" in transport && isRecord(transport._serverParams)) {
    const { env } = transport._serverParams;
    const audience = isRecord(env) ? env[AUDIENCE_VARIABLE] : undefined;
    return typeof audience === "string" && audience !== "" ? audience : undefined;
  }
  const url = serverUrl(transport);
  if (url?.protocol !== "http:" && url?.protocol !== "https:") return undefined;
  return url.origin + url.pathname;
}

/** The URL of an HTTP transport of either SDK. */
export function serverUrl(transport: object | undefined): URL | undefined {
  if (transport === undefined || !("_url" in transport)) return undefined;
  return transport._url instanceof URL ? transport._url : undefined;
}
