import { setTimeout as delay } from "node:timers/promises";
import { errorCode, isHttpsOrLoopback } from "@countersign/model";
import * as oauth from "oauth4webapi";
import { oauthErrorOf } from "../oauth-error.ts";
import { loginError, safeError } from "./login-error.ts";
import { nonceCommitment } from "../login-token.ts";
import { type LoginRequest, scopeRefusal, type ScopeRefused } from "./login-request.ts";
import { askTokenEndpoint, tokenOptions } from "./provider.ts";
import { readTokens, type Tokens } from "./tokens.ts";

/** What the human needs on another device. */
export interface DevicePrompt {
  readonly url: string;
  readonly code: string;
  /** The address with the code in it. */
  readonly completeUrl?: string;
}

/** RFC 8628, section 3.5. */
const DEFAULT_INTERVAL_SECONDS = 5;
const SLOWER_BY_SECONDS = 5;
const MAX_INTERVAL_SECONDS = 60;
/** Answers in a row that did not come, before it is given up. */
const MAX_FAILURES = 5;
const MAX_CODE_CHARS = 64;
const MAX_URL_CHARS = 2048;

type Begun = oauth.DeviceAuthorizationResponse & { readonly verifier: string };

interface Polled {
  readonly response: Response;
  readonly body: oauth.TokenEndpointResponse;
}

/**
 * Device authorization grant (RFC 8628): the human confirms a code in a browser anywhere. Rejects `REJECTED` (also for an issuer without it),
 * `UNAVAILABLE`, or with the signal's reason.
 */
export async function deviceFlow(
  request: LoginRequest,
  show: (prompt: DevicePrompt) => void,
  signal: AbortSignal,
): Promise<Tokens | ScopeRefused> {
  const { provider, key, salt } = request;
  if (provider.server.device_authorization_endpoint === undefined) {
    throw loginError("REJECTED", "this identity provider has no device flow; log in by browser");
  }
  const nonce = nonceCommitment(key.jkt, salt);
  const verifier = oauth.generateRandomCodeVerifier();
  const begun = await begin(request, { nonce, verifier }, signal);
  if (begun === "scope_refused") return begun;
  show(promptOf(begun));
  const answer = await poll(request, { ...begun, verifier }, signal);
  if (answer === "scope_refused") return answer;
  return readTokens(provider, answer, { jkt: key.jkt, nonce }, signal);
}

/**
 * Beyond the standard, and ignored where it is unknown (RFC 6749, section 3.1): some providers put a `nonce` from here into the ID token,
 * and hold a client to PKCE here as well (Keycloak does both).
 */
async function begin(
  request: LoginRequest,
  { nonce, verifier }: { readonly nonce: string; readonly verifier: string },
  signal: AbortSignal,
): Promise<oauth.DeviceAuthorizationResponse | ScopeRefused> {
  const { provider, scope, audiences } = request;
  const { server, client } = provider;
  const parameters = new URLSearchParams({
    scope,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  for (const audience of audiences) parameters.append("resource", audience);
  const options = provider.request<"POST", URLSearchParams>(signal);
  try {
    const response = await oauth.deviceAuthorizationRequest(
      server,
      client,
      oauth.None(),
      parameters,
      options,
    );
    return await oauth.processDeviceAuthorizationResponse(server, client, response);
  } catch (error) {
    if (scopeRefusal(request, error) !== undefined) return "scope_refused";
    throw safeError(error);
  }
}

function promptOf(begun: oauth.DeviceAuthorizationResponse): DevicePrompt {
  const { user_code: code, verification_uri: url, verification_uri_complete: completeUrl } = begun;
  if (!isShowable(url) || code.length > MAX_CODE_CHARS) {
    throw loginError("REJECTED", "what the identity provider answered is not used: its code page");
  }
  const prompt = { url, code };
  return completeUrl !== undefined && isShowable(completeUrl) ? { ...prompt, completeUrl } : prompt;
}

function isShowable(url: string): boolean {
  return url.length <= MAX_URL_CHARS && isHttpsOrLoopback(url);
}

async function poll(
  request: LoginRequest,
  begun: Begun,
  signal: AbortSignal,
): Promise<Polled | ScopeRefused> {
  const deadlineMs = Date.now() + begun.expires_in * 1000;
  let intervalSeconds = begun.interval ?? DEFAULT_INTERVAL_SECONDS;
  let failures = 0;
  while (Date.now() < deadlineMs) {
    await delay(Math.min(intervalSeconds, MAX_INTERVAL_SECONDS) * 1000, undefined, { signal });
    const answer = await ask(request, begun, signal);
    if (typeof answer !== "string" || answer === "scope_refused") return answer;
    failures = answer === "failed" ? failures + 1 : 0;
    if (failures === MAX_FAILURES) {
      throw loginError(
        "UNAVAILABLE",
        "the identity provider cannot be asked: it stopped to answer",
      );
    }
    if (answer === "slow_down") intervalSeconds += SLOWER_BY_SECONDS;
  }
  throw loginError("REJECTED", "the identity provider refused: expired_token");
}

type Pending = "pending" | "slow_down" | "failed" | ScopeRefused;

/** One question. A lost answer is asked for again at the next turn. */
async function ask(
  request: LoginRequest,
  { device_code: deviceCode, verifier }: Begun,
  signal: AbortSignal,
): Promise<Polled | Pending> {
  const { provider, key, audiences } = request;
  const { server, client } = provider;
  const parameters = { code_verifier: verifier, resource: audiences[0] };
  try {
    return await askTokenEndpoint<Polled, Pending>(
      async () => {
        const response = await oauth.deviceCodeGrantRequest(
          server,
          client,
          oauth.None(),
          deviceCode,
          tokenOptions(provider, key, parameters, signal),
        );
        const body = await oauth.processDeviceCodeResponse(server, client, response);
        return { response, body };
      },
      (error) => pendingOf(error) ?? scopeRefusal(request, error),
    );
  } catch (error) {
    signal.throwIfAborted();
    if (errorCode(error) === "UNAVAILABLE") return "failed";
    throw error;
  }
}

function pendingOf(error: unknown): "pending" | "slow_down" | undefined {
  const name = oauthErrorOf(error);
  if (name === "authorization_pending") return "pending";
  return name === "slow_down" ? "slow_down" : undefined;
}
