import { PERSONAL_CLAIMS } from "../personal-claims.ts";
import type { StoredLogin } from "./stored-login.ts";
import { type BoundAccessToken, type BoundIdToken, claimsOf } from "./tokens.ts";

/** What may be told of a login: no token, no key. */
export interface LoginSummary {
  readonly issuer: string;
  readonly subject: string;
  readonly clientId: string;
  /** What a server establishes by this login. */
  readonly assurance: {
    /** Of a call that a guard or an instrumented server makes in the human's name. */
    readonly process: "token_bound";
    /** Of a call by an instrumented agent, which signs each one. Absent: it cannot, since every token has personal claims. */
    readonly agent?: "call_bound";
  };
  /** How the best token is tied to the login key. `nonce` is the legacy way. `none`: the login has ended. */
  readonly binding: "dpop" | "id_token_cnf" | "nonce" | "none";
  /** Resources for which there is, or can be, an access token of their own. */
  readonly audiences: readonly string[];
  /** ISO 8601: when the last token ends; renewed before that while `renewable`. Absent: there is none yet. */
  readonly expiresAt?: string;
  /** A refresh token renews the login while it is used. */
  readonly renewable: boolean;
  /** Neither a token that is still good, nor a way to a new one. */
  readonly ended: boolean;
  /** ISO 8601, by this machine's clock. */
  readonly loggedInAt: string;
  /** ISO 8601, by the identity provider. */
  readonly authTime?: string;
  readonly key: {
    /** `keychain`, by a tool; or the login file. */
    readonly place: "keychain" | "file";
    readonly tool?: string;
    /** RFC 7638, as sealed in `binding.jkt`. */
    readonly thumbprint: string;
  };
  /** Names of personal claims in its tokens: such a token is used on this machine, and never put into `_meta`. */
  readonly personalClaims: readonly string[];
}

/** The summary of a login at a time. */
export function summaryOf(login: StoredLogin, nowMs: number): LoginSummary {
  const { key } = login;
  const tokens = tokensOf(login);
  const expiresAtMs = Math.max(0, ...tokens.map((token) => token.expiresAtMs));
  const renewable = login.refreshToken !== undefined;
  const personal = new Set(tokens.flatMap(({ token }) => personalClaimsIn(token)));
  return {
    issuer: login.issuer,
    subject: login.subject,
    clientId: login.clientId,
    assurance: {
      process: "token_bound",
      ...(maySign(login, nowMs) ? { agent: "call_bound" } : {}),
    },
    binding: bindingOf(login, nowMs),
    audiences: audiencesOf(login),
    ...(expiresAtMs === 0 ? {} : { expiresAt: new Date(expiresAtMs).toISOString() }),
    renewable,
    ended: !renewable && expiresAtMs <= nowMs,
    loggedInAt: new Date(login.loggedInAtMs).toISOString(),
    ...(login.authTime === undefined ? {} : { authTime: login.authTime }),
    key: {
      place: key.kind,
      ...(key.kind === "keychain" ? { tool: key.tool } : {}),
      thumbprint: login.jkt,
    },
    personalClaims: [...personal],
  };
}

/** Some token can be put into `_meta`. Those that are over speak for what they are renewed to; before the first, nothing speaks against it. */
function maySign(login: StoredLogin, nowMs: number): boolean {
  const tokens = tokensOf(login).filter((token) => isLive(login, token, nowMs));
  return tokens.length === 0 || tokens.some(({ token }) => personalClaimsIn(token).length === 0);
}

function tokensOf({
  idToken,
  accessTokens,
}: StoredLogin): readonly (BoundIdToken | BoundAccessToken)[] {
  return idToken === undefined ? accessTokens : [...accessTokens, idToken];
}

function isLive(
  { refreshToken }: StoredLogin,
  { expiresAtMs }: { readonly expiresAtMs: number },
  nowMs: number,
): boolean {
  return refreshToken !== undefined || expiresAtMs > nowMs;
}

function personalClaimsIn(token: string): readonly string[] {
  const claims = claimsOf(token) ?? {};
  return PERSONAL_CLAIMS.filter((name) => Object.hasOwn(claims, name));
}

function audiencesOf({ audiences, accessTokens, refused }: StoredLogin): readonly string[] {
  const without = new Set(refused.map(({ resource }) => resource));
  const all = [...audiences, ...accessTokens.flatMap((token) => token.audiences)];
  return [...new Set(all)].filter((audience) => !without.has(audience));
}

function bindingOf(login: StoredLogin, nowMs: number): LoginSummary["binding"] {
  const { accessTokens, idToken, refreshToken } = login;
  if (accessTokens.some((token) => isLive(login, token, nowMs))) return "dpop";
  if (idToken !== undefined && isLive(login, idToken, nowMs)) return idToken.binding;
  return refreshToken !== undefined && login.senderConstrained ? "dpop" : "none";
}
