/**
 * The demonstration's identity provider: oidc-provider on a loopback port, with two humans and a few clients. Everything it knows
 * is made at the start and forgotten at the end. As a program it prints one JSON line, `{"issuer": …}`, and lives until its
 * standard input ends; tests import `startIdp`.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { realpathSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import type { Provider } from "oidc-provider";
import { createMemoryAdapter } from "oidc-provider/lib/adapters/memory_adapter.js";
import { answerInteraction, interactionRoute, sendHtml } from "./idp-interaction.ts";
import { errorPage } from "./idp-pages.ts";
import { DEMO_CLIENTS, DEMO_USERS, type IdpClient, type IdpUser } from "./idp-people.ts";
import { createProvider, type ProviderSetting } from "./idp-provider.ts";

export { DEMO_CLIENTS, DEMO_USERS, type IdpClient, type IdpUser } from "./idp-people.ts";
export { signIn, type SignInOptions, type SignInResult } from "./sign-in.ts";

/** How a provider differs from the demonstration's. */
export interface IdpOptions {
  /** 0 or absent: any free one. */
  readonly port?: number;
  /** Instead of alice and bob. */
  readonly users?: readonly IdpUser[];
  /** Beside the demonstration's clients. */
  readonly clients?: readonly IdpClient[];
  /** How tokens are signed; ES256 when absent. */
  readonly signingAlgorithm?: "ES256" | "RS256";
  /** Life of access and ID tokens, in seconds; 600 when absent. */
  readonly tokenSeconds?: number;
  /** The token endpoint demands its own nonce in DPoP proofs (RFC 9449, section 8). */
  readonly requireDpopNonce?: boolean;
  /** ID tokens carry `cnf.jkt` when the request had a DPoP proof. */
  readonly confirmIdTokens?: boolean;
}

/** A running provider. */
export interface RunningIdp {
  /** `http://127.0.0.1:<port>`. */
  readonly issuer: string;
  /** New signing keys. With `retire`, the old ones disappear from the JWKS, and what they signed verifies no more. */
  rotateKeys(options?: { readonly retire?: boolean }): Promise<void>;
  /** Closes the listener and every connection. */
  stop(): Promise<void>;
}

/** Starts a provider on 127.0.0.1. Rejects when the port is taken. */
export async function startIdp(options: IdpOptions = {}): Promise<RunningIdp> {
  const idp = new LocalIdp(options, await generateKeys());
  await idp.listen(options.port ?? 0);
  return idp;
}

class LocalIdp implements RunningIdp {
  readonly #options: IdpOptions;
  readonly #users: readonly IdpUser[];
  readonly #server: Server;
  readonly #adapter = createMemoryAdapter();
  readonly #cookieSecret: string = randomBytes(32).toString("base64url");
  readonly #nonceSecret: Buffer = randomBytes(32);
  #keys: readonly JWK[];
  #issuer = "";
  #provider: Provider | undefined;

  constructor(options: IdpOptions, keys: readonly JWK[]) {
    this.#options = options;
    this.#users = options.users ?? DEMO_USERS;
    this.#keys = keys;
    this.#server = createServer((request, response) => {
      void this.#answer(request, response);
    });
  }

  get issuer(): string {
    return this.#issuer;
  }

  /** Listens first: the issuer has the port in it. */
  async listen(port: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
    const { port: actual } = this.#server.address() as AddressInfo;
    this.#issuer = `http://127.0.0.1:${actual}`;
    this.#build();
  }

  async rotateKeys(options: { readonly retire?: boolean } = {}): Promise<void> {
    const fresh = await generateKeys();
    this.#keys = options.retire === true ? fresh : [...fresh, ...this.#keys];
    this.#build();
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  #build(): void {
    const { clients = [], signingAlgorithm = "ES256", tokenSeconds = 600 } = this.#options;
    const setting: ProviderSetting = {
      issuer: this.#issuer,
      users: this.#users,
      clients: [...DEMO_CLIENTS, ...clients],
      keys: this.#keys,
      adapter: this.#adapter,
      cookieSecret: this.#cookieSecret,
      nonceSecret: this.#nonceSecret,
      signingAlgorithm,
      tokenSeconds,
      requireDpopNonce: this.#options.requireDpopNonce ?? false,
      confirmIdTokens: this.#options.confirmIdTokens ?? false,
    };
    const provider = createProvider(setting);
    provider.on("error", () => console.error("idp: a request failed")); // no details: they may hold a token
    this.#provider = provider;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const provider = this.#provider;
    if (provider === undefined) {
      response.writeHead(503).end();
    } else if (interactionRoute(request) === undefined) {
      provider.callback()(request, response);
    } else {
      try {
        await answerInteraction(provider, this.#users, request, response);
      } catch {
        sendHtml(response, 400, errorPage("invalid_request", "Start the login again."));
      }
    }
  }
}

async function generateKeys(): Promise<readonly JWK[]> {
  return Promise.all(
    ["ES256", "RS256"].map(async (alg) => {
      const { privateKey } = await generateKeyPair(alg, { extractable: true });
      return { ...(await exportJWK(privateKey)), alg, use: "sig", kid: randomUUID() };
    }),
  );
}

async function main(): Promise<void> {
  const idp = await startIdp({ port: Number(process.env["DEMO_IDP_PORT"] ?? 0) });
  const finish = (): void => void idp.stop().then(() => process.exit(0));
  process.stdin.resume().once("end", finish);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, finish);
  console.log(JSON.stringify({ issuer: idp.issuer }));
}

const program = process.argv[1];
if (program !== undefined && realpathSync(program) === import.meta.filename) await main();
