/** What happens between the authorization request and its answer: the human types a password and agrees. */
import { timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type InteractionDetails, Provider } from "oidc-provider";
import { consentPage, errorPage, loginPage } from "./idp-pages.ts";
import type { IdpUser } from "./idp-people.ts";

const MAX_FORM_BYTES = 4_096;
const ROUTE = /^\/interaction\/[A-Za-z0-9_-]{1,64}(?:\/(login|consent|abort))?$/;

/** Which page or form of an interaction a request is about; `undefined`: none, it is the provider's. */
export function interactionRoute(request: IncomingMessage): string | undefined {
  const match = ROUTE.exec(request.url ?? "");
  if (match === null) return undefined;
  return request.method === "POST" ? (match[1] ?? "unknown") : "page";
}

/** Answers one request of an interaction. The provider's cookie, not the address, says which interaction it is. */
export async function answerInteraction(
  provider: Provider,
  users: readonly IdpUser[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const details = await provider.interactionDetails(request, response);
  const finish = (result: Readonly<Record<string, unknown>>, merge: boolean): Promise<void> =>
    provider.interactionFinished(request, response, result, { mergeWithLastSubmission: merge });
  const route = interactionRoute(request);
  if (route === "page") {
    sendHtml(response, 200, await pageFor(provider, details, false));
  } else if (route === "login" && details.prompt.name === "login") {
    const user = whoTyped(users, await readForm(request));
    if (user === undefined) sendHtml(response, 401, await pageFor(provider, details, true));
    else await finish({ login: { accountId: user.subject ?? user.login, amr: ["pwd"] } }, false);
  } else if (route === "consent" && details.prompt.name === "consent") {
    await finish({ consent: { grantId: await grant(provider, details) } }, true);
  } else if (route === "abort") {
    await finish({ error: "access_denied" }, false);
  } else {
    sendHtml(response, 400, errorPage("invalid_request", "This form belongs to another step."));
  }
}

/** Sends a page that may load and run nothing. */
export function sendHtml(response: ServerResponse, status: number, html: string): void {
  response.writeHead(status, {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
  });
  response.end(html);
}

async function pageFor(
  provider: Provider,
  details: InteractionDetails,
  refused: boolean,
): Promise<string> {
  const { uid, prompt, params } = details;
  const client = await provider.Client.find(params["client_id"] ?? "");
  const name = client?.clientName ?? client?.clientId ?? "";
  return prompt.name === "login"
    ? loginPage(uid, name, refused)
    : consentPage(uid, name, params["scope"] ?? "");
}

function whoTyped(users: readonly IdpUser[], form: URLSearchParams): IdpUser | undefined {
  const user = users.find(({ login }) => login === form.get("login"));
  if (user === undefined) return undefined;
  const typed = Buffer.from(form.get("password") ?? "");
  const right = Buffer.from(user.password);
  return typed.length === right.length && timingSafeEqual(typed, right) ? user : undefined;
}

/** Grants all that was asked for: the human has seen it and pressed the button. */
async function grant(provider: Provider, details: InteractionDetails): Promise<string> {
  const { grantId, prompt, session, params } = details;
  const held = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const granted =
    held ??
    new provider.Grant({
      accountId: session?.accountId ?? "",
      clientId: params["client_id"] ?? "",
    });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } = prompt.details;
  if (missingOIDCScope !== undefined) granted.addOIDCScope(missingOIDCScope.join(" "));
  if (missingOIDCClaims !== undefined) granted.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes ?? {}))
    granted.addResourceScope(resource, scopes.join(" "));
  return granted.save();
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += String(chunk);
    if (text.length > MAX_FORM_BYTES) throw new Error("a form of this size is not ours");
  }
  return new URLSearchParams(text);
}
