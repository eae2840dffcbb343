import { type CountersignError, errorCode } from "@countersign/model";

/**
 * RFC 6749, 7009, 8628, 8693, 8707, 9449, OpenID Connect Core: what may be quoted of an answer. `error_description` is free text and may
 * hold anything.
 */
const KNOWN: ReadonlySet<string> = new Set([
  "access_denied",
  "account_selection_required",
  "authorization_pending",
  "consent_required",
  "expired_token",
  "interaction_required",
  "invalid_client",
  "invalid_dpop_proof",
  "invalid_grant",
  "invalid_request",
  "invalid_scope",
  "invalid_target",
  "login_required",
  "not_allowed", // Keycloak
  "server_error",
  "slow_down",
  "temporarily_unavailable",
  "unauthorized_client",
  "unsupported_grant_type",
  "unsupported_response_type",
  "unsupported_token_type",
  "use_dpop_nonce",
]);

/** The OAuth error code that an answer carried, if it is one that the specifications know; never free text. */
export function oauthErrorOf(error: unknown): string | undefined {
  const name = (error as { error?: unknown } | null)?.error;
  return typeof name === "string" && KNOWN.has(name) ? name : undefined;
}

/**
 * What goes on of an error of the protocol. oauth4webapi's errors hold the answer, and so codes and tokens, as their cause: none of it
 * survives. Our own errors pass; for the others `say` makes one of ours, from the known error code if there is one.
 */
export function withoutAnswer(
  error: unknown,
  say: (name: string | undefined) => CountersignError,
): CountersignError {
  return errorCode(error) === undefined ? say(oauthErrorOf(error)) : (error as CountersignError);
}
