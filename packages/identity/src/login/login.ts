import { dirname } from "node:path";
import { type BrowserSurroundings, mayOpenBrowser, openBrowser } from "./browser.ts";
import { codeFlow } from "./code-flow.ts";
import { deviceFlow, type DevicePrompt } from "./device-flow.ts";
import { loginError, safeError } from "./login-error.ts";
import { createLoginKey, createSalt } from "./login-key.ts";
import { type LoginRequest, scopeOf, type ScopeRefused } from "./login-request.ts";
import { createLoginStore, type LoginStore, type StoreOptions } from "./login-store.ts";
import { type LoginSummary, summaryOf } from "./login-summary.ts";
import { discover, type ProviderOptions } from "./provider.ts";
import { createStartPage, type StartPage } from "./start-page.ts";
import { type KeyPlace, MAX_KEPT, type StoredLogin } from "./stored-login.ts";
import type { Tokens } from "./tokens.ts";

/** What the human is to be told while a login goes on. None of it is secret. */
export type LoginStep =
  /** Open this address; `opened`: a browser is being started that is led there. */
  | { readonly kind: "address"; readonly url: string; readonly opened: boolean }
  | ({ readonly kind: "device" } & DevicePrompt)
  /** No browser can be opened here, so it goes on by device flow. */
  | { readonly kind: "no_browser" }
  /** The provider refused `offline_access`, so it is asked once more without. */
  | { readonly kind: "again" };

/** How to log in. */
export interface LoginOptions extends ProviderOptions, StoreOptions {
  /** Resources (RFC 8707) that access tokens will be wanted for. At most 16, absolute URIs. */
  readonly audiences?: readonly string[];
  /** `browser` (default): the platform's, falling back to `device` where there is none; `address`: the human opens it; `device`. */
  readonly by?: "browser" | "address" | "device";
  /** Default true. */
  readonly useKeychain?: boolean;
  /** Default 600,000. */
  readonly timeoutMs?: number;
  /** Called for each step as it comes, before the wait that follows it. It only shows: it must not throw. */
  readonly tell: (step: LoginStep) => void;
}

const TIMEOUT_MS = 600_000;
const MAX_AUDIENCE_CHARS = 1024;
const LOCK_TIMEOUT_MS = 15_000;

/**
 * Logs a human in and keeps the login; an earlier one is replaced once this one is complete, and not before. Rejects `INPUT_INVALID` (an
 * audience), `CONFIG_INVALID` (issuer, store), `REJECTED` (the identity provider refused, or its answer is not to be believed), `UNAVAILABLE`
 * (it cannot be asked, or the store cannot be written), `CANCELLED` (the signal, or nobody logged in within `timeoutMs`).
 */
export async function login(options: LoginOptions, signal: AbortSignal): Promise<LoginSummary> {
  const audiences = checkedAudiences(options.audiences ?? []);
  const store = createLoginStore(options);
  await store.prepare();
  await store.read(); // what could not be replaced in the end is said before anybody logs in
  const deadline = AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS);
  const either = AbortSignal.any([signal, deadline]);
  const start = createStartPage(dirname(store.file));
  try {
    const provider = await discover(options, either);
    const [key, salt] = [await createLoginKey(), createSalt()];
    const request = { provider, key, salt, scope: scopeOf(provider), audiences };
    let tokens = await askHuman(request, options, start, either);
    if (tokens === "scope_refused") {
      options.tell({ kind: "again" });
      tokens = await askHuman({ ...request, scope: "openid" }, options, start, either);
    }
    if (tokens === "scope_refused") throw loginError("REJECTED", "the identity provider refused");
    requireUsable(tokens);
    return await keep(store, { request, tokens, options }, either);
  } catch (error) {
    if (signal.aborted) throw loginError("CANCELLED", "interrupted; nothing has changed");
    if (deadline.aborted) throw loginError("CANCELLED", "nobody logged in in time; try again");
    throw safeOrSystem(error);
  }
}

async function askHuman(
  request: LoginRequest,
  options: LoginOptions,
  start: StartPage,
  signal: AbortSignal,
): Promise<Tokens | ScopeRefused> {
  const { by = "browser", tell } = options;
  const { authorization_endpoint: page, device_authorization_endpoint: device } =
    request.provider.server;
  const { env = process.env, platform = process.platform } = options;
  const surroundings = { env, platform };
  const byDevice = (): Promise<Tokens | ScopeRefused> =>
    deviceFlow(request, (prompt) => tell({ kind: "device", ...prompt }), signal);
  if (by === "device" || page === undefined) return byDevice();
  const opens = by === "browser" && mayOpenBrowser(surroundings);
  if (by === "browser" && !opens && device !== undefined) {
    tell({ kind: "no_browser" });
    return byDevice();
  }
  const tokens = await codeFlow(
    request,
    async (url) => {
      tell({ kind: "address", url, opened: opens });
      const shown = !opens || (await showBrowser(url, start, surroundings));
      // Without another way the address is all there is, and it is on the screen.
      return shown || device === undefined;
    },
    signal,
  ).finally(() => start.remove());
  if (tokens !== undefined) return tokens;
  tell({ kind: "no_browser" });
  return byDevice();
}

/** Nothing is awaited before the page is written: it is there before anybody could want it removed. */
async function showBrowser(
  url: string,
  start: StartPage,
  surroundings: BrowserSurroundings,
): Promise<boolean> {
  try {
    return await openBrowser(start.write(url), surroundings);
  } catch {
    return false;
  }
}

interface Complete {
  readonly request: LoginRequest;
  readonly tokens: Tokens & { readonly subject: string };
  readonly options: LoginOptions;
}

async function keep(
  store: LoginStore,
  { request, tokens, options }: Complete,
  signal: AbortSignal,
): Promise<LoginSummary> {
  const place = await store.keepKey(request.key, options.useKeychain ?? true);
  const nowMs = Date.now();
  const complete = storedLogin({ request, tokens, options }, place, nowMs);
  const waiting = AbortSignal.any([signal, AbortSignal.timeout(LOCK_TIMEOUT_MS)]);
  try {
    await store.exclusively(waiting, async () => {
      const previous = await store.read();
      signal.throwIfAborted();
      await store.write(complete);
      if (previous !== undefined) await store.forgetKey(previous.key);
    });
  } catch (error) {
    await store.forgetKey(place);
    throw error;
  }
  return summaryOf(complete, nowMs);
}

function storedLogin(
  { request, tokens, options }: Complete,
  key: KeyPlace,
  loggedInAtMs: number,
): StoredLogin {
  const { provider, salt, audiences } = request;
  const { subject, authTime, idToken, accessToken, refreshToken, senderConstrained } = tokens;
  return {
    version: 1,
    issuer: provider.server.issuer,
    clientId: options.clientId,
    subject,
    ...(authTime === undefined ? {} : { authTime }),
    loggedInAtMs,
    key,
    jkt: request.key.jkt,
    salt,
    senderConstrained,
    audiences,
    ...(idToken === undefined ? {} : { idToken }),
    accessTokens: accessToken === undefined ? [] : [accessToken],
    ...(refreshToken === undefined ? {} : { refreshToken }),
    refused: [],
  };
}

/** Something in it must be tied to the key, or nobody may believe it. */
function requireUsable(tokens: Tokens): asserts tokens is Tokens & { readonly subject: string } {
  if (tokens.subject === undefined) {
    throw loginError("REJECTED", "the identity provider gave no ID token, so nobody is known");
  }
  const { idToken, accessToken, refreshToken, senderConstrained } = tokens;
  const renewable = senderConstrained && refreshToken !== undefined;
  if (idToken === undefined && accessToken === undefined && !renewable) {
    throw loginError(
      "REJECTED",
      "the identity provider ties no token to the login key this way (no nonce, no DPoP); log in by browser",
    );
  }
}

function isResource(text: string): boolean {
  return text.length <= MAX_AUDIENCE_CHARS && URL.canParse(text) && !text.includes("#");
}

function checkedAudiences(audiences: readonly string[]): readonly string[] {
  const distinct = [...new Set(audiences)];
  if (distinct.length <= MAX_KEPT && distinct.every(isResource)) return distinct;
  throw loginError(
    "INPUT_INVALID",
    `an audience is an absolute URI without fragment (RFC 8707), at most ${MAX_KEPT} of them`,
  );
}

/** Errors of the file system name a file and no content; everything else is ours already, or says nothing. */
function safeOrSystem(error: unknown): unknown {
  return (error as { syscall?: unknown } | null)?.syscall === undefined ? safeError(error) : error;
}
