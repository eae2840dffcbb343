import { errorCode } from "@countersign/model";
import { createLoginStore, type StoreOptions } from "./login-store.ts";
import { discover } from "./provider.ts";
import { revoke } from "./refresh.ts";
import type { StoredLogin } from "./stored-login.ts";

/** How a logout went. Whatever it says, key and tokens are gone from this machine. */
export interface LogoutResult {
  readonly issuer: string;
  readonly subject: string;
  /** The issuer has revoked the refresh token; or, without one, every access token. */
  readonly revoked: boolean;
  /** Why not: the issuer has no revocation, refused it, or cannot be asked. */
  readonly problem?: "no_revocation" | "refused" | "unavailable";
  /** ISO 8601: a copy of a token made before could be used until then, by whoever has the key too. */
  readonly tokensEndAt?: string;
}

const TIMEOUT_MS = 20_000;

/**
 * Ends the login: revokes its tokens if the issuer can (RFC 7009), and removes key and file even if not. `undefined`: nobody was
 * logged in. Rejects `CONFIG_INVALID` (a store that others may write is not touched), `UNAVAILABLE` (another process holds the login).
 */
export async function logout(
  options: StoreOptions & { readonly fetch?: typeof fetch },
  signal: AbortSignal,
): Promise<LogoutResult | undefined> {
  const store = createLoginStore(options);
  if ((await store.read()) === undefined) return undefined;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  return store.exclusively(deadline, async () => {
    const login = await store.read();
    if (login === undefined) return undefined;
    const problem = await revokeAll(login, options.fetch, deadline);
    await store.remove();
    await store.forgetKey(login.key);
    return resultOf(login, problem);
  });
}

type Problem = LogoutResult["problem"];

/** The refresh token first: it is the one that would make new ones. */
async function revokeAll(
  login: StoredLogin,
  fetcher: typeof fetch | undefined,
  signal: AbortSignal,
): Promise<Problem> {
  const { issuer, clientId, refreshToken, accessTokens } = login;
  if (refreshToken === undefined && accessTokens.length === 0) return undefined;
  try {
    const options = { issuer, clientId, ...(fetcher === undefined ? {} : { fetch: fetcher }) };
    const provider = await discover(options, signal);
    const first =
      refreshToken === undefined
        ? undefined
        : await revoke(provider, refreshToken, "refresh_token", signal);
    const others: (boolean | undefined)[] = [];
    for (const { token } of accessTokens) {
      others.push(await revoke(provider, token, "access_token", signal));
    }
    const answers = refreshToken === undefined ? others : [first];
    if (answers.includes(undefined)) return "no_revocation";
    return answers.includes(false) ? "refused" : undefined;
  } catch (error) {
    return errorCode(error) === "REJECTED" ? "refused" : "unavailable";
  }
}

function resultOf(login: StoredLogin, problem: Problem): LogoutResult {
  const { issuer, subject, idToken, accessTokens } = login;
  const tokens = [...accessTokens, ...(idToken === undefined ? [] : [idToken])];
  const endsAtMs = Math.max(0, ...tokens.map(({ expiresAtMs }) => expiresAtMs));
  return {
    issuer,
    subject,
    revoked: problem === undefined,
    ...(problem === undefined ? {} : { problem }),
    ...(endsAtMs > Date.now() ? { tokensEndAt: new Date(endsAtMs).toISOString() } : {}),
  };
}
