import { oauthErrorOf } from "../oauth-error.ts";
import type { LoginKey } from "./login-key.ts";
import type { Provider } from "./provider.ts";

/** What one login asks for, whichever way it goes. */
export interface LoginRequest {
  readonly provider: Provider;
  readonly key: LoginKey;
  /** Of the commitment to the key. */
  readonly salt: string;
  readonly scope: string;
  /** Resources (RFC 8707) that access tokens will be wanted for; the first one's comes with the login. */
  readonly audiences: readonly string[];
}

/** `openid`, and what makes the login last, if the issuer has it. No names, no addresses: nothing here needs them. */
export function scopeOf({ server }: Provider): string {
  const lasts = server.scopes_supported?.includes("offline_access") === true;
  return lasts ? "openid offline_access" : "openid";
}

/** The login may not last this long: once more, without `offline_access`. */
export type ScopeRefused = "scope_refused";

/** Some providers announce `offline_access` and give it to few (Keycloak: `not_allowed` without the role). */
export function scopeRefusal({ scope }: LoginRequest, error: unknown): ScopeRefused | undefined {
  const name = oauthErrorOf(error);
  const isAboutScope = name === "invalid_scope" || name === "not_allowed";
  return isAboutScope && scope.includes("offline_access") ? "scope_refused" : undefined;
}
