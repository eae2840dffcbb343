// A client of Keycloak, written by the RFCs with `fetch` and `jose` and nothing of ours.
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { LoginStep } from "@countersign/identity/login";
import { dpop, type ProofKey } from "../e2e/fixtures/idp/oauth-client.ts";
import { FormBrowser } from "./form-browser.ts";
import { CLIENT_SECRET, USERS } from "./keycloak-realm.ts";

/** What a login asks for. */
export interface LoginRequest {
  readonly clientId: string;
  /** Default alice. */
  readonly login?: string;
  readonly nonce?: string;
  /** Binds the access token (RFC 9449). */
  readonly key?: ProofKey;
}

/** What the token endpoint gave. */
export interface LoginTokens {
  readonly access_token: string;
  readonly id_token: string;
  readonly token_type: string;
}

interface Endpoints {
  readonly authorization_endpoint: string;
  readonly token_endpoint: string;
  readonly device_authorization_endpoint: string;
}

const REDIRECT_URI = "http://127.0.0.1:45678/callback";
const POLL_MS = 1000;
const DEADLINE_MS = 30_000;

/** Logs humans in, by the two ways that `countersign login` knows. */
export class KeycloakClient {
  readonly #issuer: string;
  readonly #endpoints: Endpoints;

  constructor(issuer: string, endpoints: Endpoints) {
    this.#issuer = issuer;
    this.#endpoints = endpoints;
  }

  /** Authorization code with PKCE. */
  async login(request: LoginRequest): Promise<LoginTokens> {
    const { verifier, challenge } = pkce();
    const url = new URL(this.#endpoints.authorization_endpoint);
    const query = {
      ...common(request),
      response_type: "code",
      redirect_uri: REDIRECT_URI,
      state: "s",
      ...challenge,
    };
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    const end = await this.#signIn(url.href, request.login);
    const code = new URL(end.url).searchParams.get("code");
    if (!end.left || code === null) throw new Error("the browser came back without a code");
    const answer = await this.#token(
      {
        grant_type: "authorization_code",
        client_id: request.clientId,
        redirect_uri: REDIRECT_URI,
        code,
        code_verifier: verifier,
      },
      request.key,
    );
    return tokens(answer);
  }

  /** Device authorization (RFC 8628). Keycloak wants PKCE here too when the client is held to it. */
  async deviceLogin(request: LoginRequest): Promise<LoginTokens> {
    const { verifier, challenge } = pkce();
    const started = await fetch(this.#endpoints.device_authorization_endpoint, {
      method: "POST",
      body: new URLSearchParams({ ...common(request), ...challenge }),
    });
    const device = (await started.json()) as Record<string, string>;
    await this.#signIn(device["verification_uri_complete"] as string, request.login);
    const deadline = Date.now() + DEADLINE_MS;
    while (Date.now() < deadline) {
      // oxlint-disable-next-line no-await-in-loop -- polled, as RFC 8628 says
      const answer = await this.#token(
        {
          grant_type: "urn:ietf:params:oauth:grant-type:device_code",
          client_id: request.clientId,
          device_code: device["device_code"] as string,
          code_verifier: verifier,
        },
        request.key,
      );
      if (answer["error"] !== "authorization_pending") return tokens(answer);
      // oxlint-disable-next-line no-await-in-loop
      await delay(POLL_MS);
    }
    throw new Error("the device was not let in");
  }

  /** Does what `countersign login` asks its human for: as alice, in a browser that also goes where it is sent. */
  async follow(step: LoginStep): Promise<void> {
    if (step.kind === "no_browser" || step.kind === "again") return;
    const address = step.kind === "device" ? (step.completeUrl ?? step.url) : step.url;
    const end = await this.#signIn(address);
    if (end.left) await (await fetch(end.url)).body?.cancel();
  }

  /** A token that a client gets for itself. */
  async serviceAccount(clientId: string): Promise<string> {
    const answer = await this.#token({
      grant_type: "client_credentials",
      client_id: clientId,
      client_secret: CLIENT_SECRET,
    });
    return answer["access_token"] as string;
  }

  async #signIn(address: string, login: string = "alice"): ReturnType<FormBrowser["signIn"]> {
    const user = USERS.find((one) => one.login === login);
    return new FormBrowser(this.#issuer).signIn(address, login, user?.password ?? "");
  }

  async #token(
    fields: Readonly<Record<string, string>>,
    key?: ProofKey,
  ): Promise<Readonly<Record<string, unknown>>> {
    const url = this.#endpoints.token_endpoint;
    const response = await fetch(url, {
      method: "POST",
      headers: key === undefined ? {} : { dpop: await dpop(key, url) },
      body: new URLSearchParams(fields),
    });
    return (await response.json()) as Record<string, unknown>;
  }
}

/** Finds the endpoints by discovery. */
export async function keycloakClient(issuer: string): Promise<KeycloakClient> {
  const response = await fetch(`${issuer}/.well-known/openid-configuration`);
  return new KeycloakClient(issuer, (await response.json()) as Endpoints);
}

function common({ clientId, nonce }: LoginRequest): Record<string, string> {
  return { client_id: clientId, scope: "openid", ...(nonce === undefined ? {} : { nonce }) };
}

function pkce(): { readonly verifier: string; readonly challenge: Record<string, string> } {
  const verifier = randomBytes(32).toString("base64url");
  const code_challenge = createHash("sha256").update(verifier).digest("base64url");
  return { verifier, challenge: { code_challenge, code_challenge_method: "S256" } };
}

function tokens(answer: Readonly<Record<string, unknown>>): LoginTokens {
  if (typeof answer["access_token"] === "string") return answer as unknown as LoginTokens;
  throw new Error(`no token: ${String(answer["error_description"] ?? answer["error"])}`);
}
