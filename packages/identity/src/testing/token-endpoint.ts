// A token endpoint over HTTP on loopback, with tokens that are really signed; a test changes its mood.
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { calculateJwkThumbprint, decodeProtectedHeader, type JWTPayload } from "jose";
import type { Credential, CredentialSource } from "../credential.ts";
import { type ExchangeOptions, exchangedCredentialSource } from "../exchange.ts";
import { createSubjectToken, runWithSubject, type SubjectToken } from "../subject-token.ts";
import { type TestIssuer, testIssuer } from "./issuer.ts";

/** The audience that the endpoint grants. */
export const AUDIENCE = "urn:mcp:archive";

/** One request to the token endpoint. */
export interface Asked {
  readonly form: URLSearchParams;
  readonly authorization: string | undefined;
  readonly dpop: string;
}

/** What the token endpoint does instead of what it should. */
export interface Mood {
  claims?: JWTPayload;
  body?: Record<string, unknown>;
  status?: number;
  raw?: string;
  redirect?: string;
  never?: boolean;
  demandNonce?: boolean;
  metadata?: Record<string, unknown>;
}

interface Answer {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body: string;
}

/** A running one. */
export class TestTokenEndpoint {
  mood: Mood = {};
  readonly asked: Asked[] = [];
  discovered = 0;
  readonly #signer: TestIssuer;
  readonly #server: Server = createServer((request, response) => {
    void this.#answer(request).then(
      ({ status = 200, headers = {}, body }) =>
        response.writeHead(status, { "content-type": "application/json", ...headers }).end(body),
      () => response.destroy(),
    );
  }).listen(0, "127.0.0.1");

  constructor(signer: TestIssuer) {
    this.#signer = signer;
  }

  get issuer(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  async listening(): Promise<void> {
    await once(this.#server, "listening");
  }

  /** A token of this issuer, for ada. */
  async inbound(claims: JWTPayload = {}): Promise<SubjectToken> {
    const token = await this.#signer.sign({ iss: this.issuer, sub: "ada", ...claims });
    return createSubjectToken("access_token", token);
  }

  /** As the client tickets-server. */
  source(more: Partial<ExchangeOptions> = {}): CredentialSource {
    const { issuer } = this;
    const client = { clientId: "tickets-server", clientSecret: "s&cret /+" };
    return exchangedCredentialSource({ issuer, ...client, ...more });
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await this.#signer.close();
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    if (request.url === "/.well-known/openid-configuration") {
      this.discovered += 1;
      const { issuer, mood } = this;
      const document = { issuer, token_endpoint: `${issuer}/token`, ...mood.metadata };
      return { body: JSON.stringify(document) };
    }
    if (request.url !== "/token") return { status: 404, body: "{}" };
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const dpop = String(request.headers["dpop"]);
    const { authorization } = request.headers;
    this.asked.push({ form: new URLSearchParams(text), authorization, dpop });
    return this.#respond(dpop);
  }

  async #respond(dpop: string): Promise<Answer> {
    const { mood } = this;
    if (mood.never === true) await once(this.#server, "close");
    if (mood.redirect !== undefined) {
      return { status: 307, headers: { location: mood.redirect }, body: "" };
    }
    if (mood.demandNonce === true && this.asked.length === 1) {
      const body = JSON.stringify({ error: "use_dpop_nonce" });
      return { status: 400, headers: { "dpop-nonce": "n-1" }, body };
    }
    const body = mood.raw ?? JSON.stringify(await this.#granted(dpop));
    return { status: mood.status ?? 200, body };
  }

  async #granted(dpop: string): Promise<Record<string, unknown>> {
    const jwk = decodeProtectedHeader(dpop).jwk as Record<string, string>;
    const now = Math.floor(Date.now() / 1000);
    const token = await this.#signer.sign({
      iss: this.issuer,
      sub: "ada",
      aud: AUDIENCE,
      iat: now,
      exp: now + 300,
      client_id: "tickets-server",
      act: { sub: "tickets-server" },
      cnf: { jkt: await calculateJwkThumbprint(jwk) },
      ...this.mood.claims,
    });
    return { access_token: token, token_type: "DPoP", expires_in: 300, ...this.mood.body };
  }
}

/** Starts one. */
export async function testTokenEndpoint(): Promise<TestTokenEndpoint> {
  const endpoint = new TestTokenEndpoint(await testIssuer());
  await endpoint.listening();
  return endpoint;
}

/** Asks on behalf of `subject`. */
export function ask(
  from: CredentialSource,
  subject: SubjectToken | undefined,
  audience: string = AUDIENCE,
  signal: AbortSignal = new AbortController().signal,
): Promise<Credential | undefined> {
  return runWithSubject(subject, () => from.current(audience, signal));
}

/** What a promise rejects with; throws if it does not. */
export async function refusal(promise: Promise<unknown>): Promise<Error & { code?: string }> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error(`it was accepted: ${typeof value}`);
}
