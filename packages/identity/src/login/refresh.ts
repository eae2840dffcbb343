import * as oauth from "oauth4webapi";
import { oauthErrorOf } from "../oauth-error.ts";
import { nonceCommitment } from "../login-token.ts";
import type { LoginKey } from "./login-key.ts";
import { askTokenEndpoint, type Provider, tokenOptions } from "./provider.ts";
import { readTokens, type Tokens } from "./tokens.ts";

const NOT_FOR_THIS: ReadonlySet<string> = new Set([
  "access_denied",
  "invalid_request",
  "invalid_scope",
  "invalid_target",
  "unauthorized_client",
]);

/** What to ask for new tokens with. */
export interface RefreshRequest {
  readonly key: LoginKey;
  readonly salt: string;
  readonly subject: string;
  readonly refreshToken: string;
  /** The resource (RFC 8707) that the access token is to be for. */
  readonly resource?: string;
}

/** New tokens; or the refresh token has ended; or this login may have none for that resource. */
export type Refreshed = Tokens | "ended" | "refused";

/** The refresh grant. Rejects `UNAVAILABLE`, `REJECTED` (an answer that is not to be believed). */
export async function refresh(
  provider: Provider,
  request: RefreshRequest,
  signal: AbortSignal,
): Promise<Refreshed> {
  const { key, salt, subject, refreshToken, resource } = request;
  const { server, client } = provider;
  const answer = await askTokenEndpoint(
    async () => {
      const options = tokenOptions(provider, key, { resource }, signal);
      const response = await oauth.refreshTokenGrantRequest(
        server,
        client,
        oauth.None(),
        refreshToken,
        options,
      );
      const body = await oauth.processRefreshTokenResponse(server, client, response);
      return { response, body };
    },
    (error) => refusalOf(error, resource),
  );
  if (typeof answer === "string") return answer;
  const expected = { jkt: key.jkt, nonce: nonceCommitment(key.jkt, salt), subject };
  return readTokens(provider, answer, expected, signal);
}

/** RFC 6749, section 5.2; RFC 8707, section 2. Issuers without resource indicators say `invalid_request` or `invalid_scope`. */
function refusalOf(error: unknown, resource: string | undefined): "ended" | "refused" | undefined {
  const name = oauthErrorOf(error) ?? "";
  if (name === "invalid_grant") return "ended";
  return resource !== undefined && NOT_FOR_THIS.has(name) ? "refused" : undefined;
}

/** Whether the issuer revoked a token (RFC 7009); `undefined`: it has no revocation. Rejects `UNAVAILABLE`, `REJECTED`. */
export async function revoke(
  provider: Provider,
  token: string,
  kind: "refresh_token" | "access_token",
  signal: AbortSignal,
): Promise<boolean | undefined> {
  const { server, client } = provider;
  if (server.revocation_endpoint === undefined) return undefined;
  return askTokenEndpoint(
    async () => {
      const response = await oauth.revocationRequest(server, client, oauth.None(), token, {
        ...provider.request<"POST", URLSearchParams>(signal),
        additionalParameters: { token_type_hint: kind },
      });
      await oauth.processRevocationResponse(response);
      return true;
    },
    // RFC 7009, section 2.2.1: a JWT that servers verify by themselves cannot be taken back.
    (error) => (oauthErrorOf(error) === "unsupported_token_type" ? false : undefined),
  );
}
