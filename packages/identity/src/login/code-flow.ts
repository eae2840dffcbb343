import * as oauth from "oauth4webapi";
import { nonceCommitment } from "../login-token.ts";
import { type LoginRequest, scopeRefusal, type ScopeRefused } from "./login-request.ts";
import { askTokenEndpoint, tokenOptions } from "./provider.ts";
import { listenForRedirect } from "./redirect.ts";
import { readTokens, type Tokens } from "./tokens.ts";

/** Shows the human an address. Resolves `false` when it certainly cannot be opened: the flow is then given up. */
export type ShowAddress = (url: string) => Promise<boolean>;

/**
 * Authorization code with PKCE (RFC 7636, S256) on a loopback redirect. `undefined`: the address could not be shown. Rejects `REJECTED`, `UNAVAILABLE`,
 * or with the signal's reason.
 */
export async function codeFlow(
  request: LoginRequest,
  show: ShowAddress,
  signal: AbortSignal,
): Promise<Tokens | ScopeRefused | undefined> {
  const state = oauth.generateRandomState();
  const verifier = oauth.generateRandomCodeVerifier();
  const listener = await listenForRedirect(state);
  const given = new AbortController();
  const waiting = AbortSignal.any([signal, given.signal]);
  try {
    const { redirectUri } = listener;
    const challenge = await oauth.calculatePKCECodeChallenge(verifier);
    const url = authorizationUrl(request, { redirectUri, state, challenge });
    const answer = listener.answer(waiting);
    // A human is quicker than an opener that does not end.
    const parameters = await Promise.race([
      answer,
      show(url).then((shown) => (shown ? answer : undefined)),
    ]);
    if (parameters === undefined) {
      given.abort();
      await answer.catch(() => {});
      return undefined;
    }
    return await redeem(request, { parameters, state, redirectUri, verifier }, signal);
  } finally {
    await listener.close();
  }
}

interface Asked {
  readonly redirectUri: string;
  readonly state: string;
  readonly challenge: string;
}

function authorizationUrl(
  { provider, key, salt, scope, audiences }: LoginRequest,
  { redirectUri, state, challenge }: Asked,
): string {
  const url = new URL(provider.server.authorization_endpoint as string);
  const parameters: Record<string, string> = {
    response_type: "code",
    client_id: provider.client.client_id,
    redirect_uri: redirectUri,
    scope,
    state,
    nonce: nonceCommitment(key.jkt, salt),
    code_challenge: challenge,
    code_challenge_method: "S256",
    // OpenID Connect Core, section 11: without it a provider may leave the refresh token out.
    ...(scope.includes("offline_access") ? { prompt: "consent" } : {}),
    // RFC 9449, section 10: a stolen code is worth nothing without the key.
    ...(provider.dpop(key) === undefined ? {} : { dpop_jkt: key.jkt }),
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  for (const audience of audiences) url.searchParams.append("resource", audience);
  return url.href;
}

interface Answered {
  readonly parameters: URLSearchParams;
  readonly state: string;
  readonly redirectUri: string;
  readonly verifier: string;
}

async function redeem(
  request: LoginRequest,
  { parameters, state, redirectUri, verifier }: Answered,
  signal: AbortSignal,
): Promise<Tokens | ScopeRefused> {
  const { provider, key, salt, audiences } = request;
  const { server, client } = provider;
  const nonce = nonceCommitment(key.jkt, salt);
  const answer = await askTokenEndpoint(
    async () => {
      // `iss` (RFC 9207) and `error` are looked at here; `state` was what let the request in.
      const accepted = oauth.validateAuthResponse(server, client, parameters, state);
      const response = await oauth.authorizationCodeGrantRequest(
        server,
        client,
        oauth.None(),
        accepted,
        redirectUri,
        verifier,
        tokenOptions(provider, key, { resource: audiences[0] }, signal),
      );
      const expected = { expectedNonce: nonce, requireIdToken: true };
      const body = await oauth.processAuthorizationCodeResponse(server, client, response, expected);
      return { response, body };
    },
    (error) => scopeRefusal(request, error),
  );
  if (answer === "scope_refused") return answer;
  return readTokens(provider, answer, { jkt: key.jkt, nonce }, signal);
}
