import { errorCode } from "@countersign/model";
import type { LoginKey } from "./login-key.ts";
import type { LoginStore } from "./login-store.ts";
import { discover, type Provider } from "./provider.ts";
import { type Refreshed, refresh } from "./refresh.ts";
import { MAX_KEPT, type StoredLogin } from "./stored-login.ts";
import type { BoundAccessToken } from "./tokens.ts";

/** What a token is wanted for. */
export interface Wanted {
  readonly audience: string;
  readonly resources: readonly string[];
}

/** A token that is valid now. */
export interface TokenInForce {
  readonly token: string;
  /** Only with a token that is bound by its nonce. */
  readonly salt?: string;
  readonly expiresAtMs: number;
}

/** Where tokens come from. */
export interface TokenSource {
  readonly store: LoginStore;
  readonly fetch?: typeof fetch;
}

/** A token that ends sooner is renewed, if it can be. */
const FRESH_MS = 60_000;
/** An issuer that gave no token for a resource is asked again after this long. */
const REFUSED_MS = 600_000;
/** In the list of refusals: no bound ID token came with a refresh that named no resource. */
const ANYTHING = "";
/** A token must outlive the call that it is fetched for. */
const USABLE_MS = 2000;

interface Choice {
  /** The best token that is still valid. */
  readonly token?: TokenInForce;
  /** It is good enough, or there is no way to a better one. */
  readonly settled: boolean;
  /** What to ask for next when not settled; absent: for whatever the issuer gives. */
  readonly resource?: string;
}

type InForce = TokenInForce & { readonly key: LoginKey };

/**
 * The best token of the login for what is wanted, renewed under the store's lock when it ends soon: one process at a time redeems a refresh token, which
 * may be good only once. `undefined`: the login has ended. Rejects `UNAVAILABLE` when nothing valid is left and the issuer does not answer.
 */
export async function renewedToken(
  source: TokenSource,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<InForce | undefined> {
  const { store } = source;
  const login = await store.read();
  if (login === undefined) return undefined;
  const key = await store.loadKey(login);
  const now = choose(login, wanted, new Set());
  if (now.settled) return now.token && { ...now.token, key };
  try {
    return await store.exclusively(signal, () => renew(source, wanted, signal));
  } catch (error) {
    // An issuer that is away for a while, or a disk that is full, stops nobody who has a token that is still good.
    if (now.token === undefined || errorCode(error) !== "UNAVAILABLE") throw error;
    return { ...now.token, key };
  }
}

/** Under the lock: what another process has renewed meanwhile is taken as it is. Every resource is asked for once. */
async function renew(
  { store, fetch: fetcher }: TokenSource,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<InForce | undefined> {
  let login = await store.read();
  if (login === undefined) return undefined;
  const key = await store.loadKey(login);
  const { issuer, clientId } = login;
  const options = { issuer, clientId, ...(fetcher === undefined ? {} : { fetch: fetcher }) };
  const asked = new Set<string | undefined>();
  let provider: Provider | undefined;
  let choice = choose(login, wanted, asked);
  while (!choice.settled && login.refreshToken !== undefined) {
    const { resource } = choice;
    const { salt, subject, refreshToken } = login;
    const base = { key, salt, subject, refreshToken };
    provider ??= await discover(options, signal);
    const request = resource === undefined ? base : { ...base, resource };
    const answer = await refresh(provider, request, signal);
    login = afterRefresh(login, answer, resource);
    await store.write(login); // at once: the refresh token before may be worthless now
    asked.add(resource);
    choice = choose(login, wanted, asked);
  }
  return choice.token && { ...choice.token, key };
}

/** An access token for what is wanted comes first, then the ID token. What has been asked for already is not asked for again. */
function choose(
  login: StoredLogin,
  { audience, resources }: Wanted,
  asked: ReadonlySet<string | undefined>,
): Choice {
  const nowMs = Date.now();
  const targets = [...new Set([...resources, audience])];
  const access = login.accessTokens
    .filter((token) => isValid(token, nowMs, USABLE_MS))
    .findLast(({ audiences }) => audiences.some((one) => targets.includes(one)));
  const idToken = usableIdToken(login, nowMs);
  const token =
    access === undefined ? idToken : { token: access.token, expiresAtMs: access.expiresAtMs };
  const found = token === undefined ? {} : { token };
  const lastingMs = asked.size === 0 ? FRESH_MS : USABLE_MS; // a renewed token may be short-lived by nature
  if (login.refreshToken === undefined || isValid(access, nowMs, lastingMs)) {
    return { ...found, settled: true };
  }
  const resource = targets.find((target) => !asked.has(target) && mayHave(login, target, nowMs));
  if (resource !== undefined) return { ...found, settled: false, resource };
  const nothingMore = asked.has(undefined) || isRefused(login, ANYTHING, nowMs);
  return { ...found, settled: nothingMore || isValid(idToken, nowMs, lastingMs) };
}

/** A resource is an absolute URI without fragment (RFC 8707); only bound tokens are of use, and a refusal is remembered. */
function mayHave(login: StoredLogin, target: string, nowMs: number): boolean {
  if (!login.senderConstrained || !URL.canParse(target) || target.includes("#")) return false;
  return !isRefused(login, target, nowMs);
}

function isRefused({ refused }: StoredLogin, target: string, nowMs: number): boolean {
  return refused.some(({ resource, untilMs }) => resource === target && untilMs > nowMs);
}

function usableIdToken({ idToken, salt }: StoredLogin, nowMs: number): TokenInForce | undefined {
  if (idToken === undefined || !isValid(idToken, nowMs, USABLE_MS)) return undefined;
  const { token, expiresAtMs, binding } = idToken;
  return binding === "nonce" ? { token, salt, expiresAtMs } : { token, expiresAtMs };
}

function isValid(
  token: { readonly expiresAtMs: number } | undefined,
  nowMs: number,
  forMs: number,
): boolean {
  return token !== undefined && token.expiresAtMs - nowMs > forMs;
}

function afterRefresh(
  login: StoredLogin,
  answer: Refreshed,
  resource: string | undefined,
): StoredLogin {
  const nowMs = Date.now();
  if (answer === "ended") {
    const { refreshToken: _ended, ...left } = login;
    return left;
  }
  const tokens = answer === "refused" ? undefined : answer;
  const accessToken = tokens?.accessToken;
  const given =
    resource === undefined
      ? tokens?.idToken !== undefined
      : accessToken?.audiences.includes(resource) === true;
  const asked = resource ?? ANYTHING;
  const refused = login.refused.filter((one) => one.untilMs > nowMs && one.resource !== asked);
  if (!given) refused.push({ resource: asked, untilMs: nowMs + REFUSED_MS });
  const kept = login.accessTokens.filter(
    (one) => one.expiresAtMs > nowMs && !isSameUse(one, accessToken),
  );
  if (accessToken !== undefined) kept.push(accessToken);
  return {
    ...login,
    ...(tokens?.idToken === undefined ? {} : { idToken: tokens.idToken }),
    ...(tokens?.refreshToken === undefined ? {} : { refreshToken: tokens.refreshToken }),
    accessTokens: kept.slice(-MAX_KEPT),
    refused: refused.slice(-MAX_KEPT),
  };
}

function isSameUse(one: BoundAccessToken, other: BoundAccessToken | undefined): boolean {
  return other?.audiences.every((audience) => one.audiences.includes(audience)) === true;
}
