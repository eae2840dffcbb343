// A person who is logged in, for tests: a key, tokens bound to it in all three ways, and a hand that signs whatever it is told to.
import { createHash, createPrivateKey, type KeyObject, sign } from "node:crypto";
import { canonicalJson } from "@countersign/model";
import {
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  type JWK,
  type JWTPayload,
} from "jose";
import type { CallProof } from "../call-proof.ts";
import type { Credential } from "../credential.ts";
import { createDelegation } from "../delegation.ts";
import { createIdentity } from "../identity.ts";
import type { IdentityConfig } from "../identity-config.ts";
import type { IdentityResolver } from "../resolver.ts";
import type { IdentityOptions } from "../identity.ts";
import type { IdentityResult } from "../resolver.ts";
import { nonceCommitment } from "../login-token.ts";
import { createReplayGuard } from "../replay.ts";
import { type TestIssuer, type TestKey, testIssuer } from "./issuer.ts";

export const SERVER = "urn:mcp:tickets";
export const URL_AUDIENCE = "https://tickets.example/mcp";
export const CLIENT = "countersign-cli";
export const SALT = "0123456789abcdefABCDEF_-";
export const TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736";

/** What everybody asks for here. */
export const CALL: {
  readonly method: "tools/call";
  readonly params: {
    readonly name: string;
    readonly arguments: {
      readonly id: number;
      readonly words: readonly string[];
      readonly deep: object;
    };
  };
  readonly traceId: string;
} = {
  method: "tools/call",
  params: { name: "read_ticket", arguments: { id: 42, words: ["ä", "𝛼"], deep: { a: null } } },
  traceId: TRACE_ID,
};

/** How a token is bound to the login key. */
export type Binding = "dpop" | "id_token_cnf" | "nonce";
export const BINDINGS: readonly Binding[] = ["dpop", "id_token_cnf", "nonce"];

/** A key and its halves. */
export interface TestPair {
  readonly algorithm: string;
  readonly privateJwk: JWK;
  readonly publicJwk: JWK;
  readonly jkt: string;
}

/** Members to set; `undefined` takes one away. */
export type Changes = Readonly<Record<string, unknown>>;

/** Makes a key pair. */
export async function testPair(algorithm = "ES256"): Promise<TestPair> {
  const { privateKey } = await generateKeyPair(algorithm, { extractable: true });
  const privateJwk = await exportJWK(privateKey);
  const { d: _, ...publicJwk } = privateJwk;
  return { algorithm, privateJwk, publicJwk, jkt: await calculateJwkThumbprint(publicJwk) };
}

const imported = new WeakMap<TestPair, KeyObject>();

function keyOf(pair: TestPair): KeyObject {
  const key = imported.get(pair) ?? createPrivateKey({ key: pair.privateJwk, format: "jwk" });
  imported.set(pair, key);
  return key;
}

/** Signs any header and any claims, also those that a library refuses to. */
export function forge(pair: TestPair, header: Changes, claims: unknown): string {
  const text = `${encode(header)}.${encode(claims)}`;
  const key = keyOf(pair);
  const isEc = pair.privateJwk.kty === "EC";
  const signature = sign(isEc ? "sha256" : null, Buffer.from(text), {
    key,
    ...(isEc ? { dsaEncoding: "ieee-p1363" as const } : {}),
  });
  return `${text}.${signature.toString("base64url")}`;
}

export function encode(value: unknown): string {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString(
    "base64url",
  );
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("base64url");
}

/** RFC 8785 of what is left without `_meta`, hashed; written again here, so that a proof can be judged by somebody else. */
export function digest(params: object = {}): string {
  const kept = Object.entries(params).filter(([name]) => name !== "_meta");
  return sha256(canonicalJson(Object.fromEntries(kept)));
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** One person's login at an issuer that answers. */
export interface TestLogin {
  readonly idp: TestIssuer;
  readonly loginKey: TestPair;
  readonly callKey: TestPair;
  readonly config: IdentityConfig;
  claims(binding: Binding, more?: JWTPayload): JWTPayload;
  token(
    binding: Binding,
    more?: JWTPayload,
    how?: { key?: TestKey; header?: Record<string, string> },
  ): Promise<string>;
  delegation(token: string, changes?: Changes, header?: Changes): string;
  /** A credential as the login store gives it: delegated to a call key, or the login key itself. */
  credential(binding: Binding, direct?: boolean): Promise<Credential>;
  /** A proof of `CALL` by the login key, with these claims and header members changed. */
  proof(token: string, changes?: Changes, header?: Changes, key?: TestPair): string;
  identity(options?: IdentityOptions, config?: Partial<IdentityConfig>): IdentityResolver;
  /** Asks a fresh resolver. */
  ask(proof: unknown, how?: Ask): Promise<IdentityResult>;
  close(): Promise<void>;
}

/** What comes with the proof. */
export interface Ask {
  readonly call?: { readonly method: string; readonly params: unknown; readonly traceId?: string };
  readonly transport?: "stdio" | "http";
  readonly bearer?: string;
  readonly identity?: IdentityResolver;
}

/** Starts the issuer and logs somebody in. */
export async function testLogin(algorithm = "ES256"): Promise<TestLogin> {
  const idp = await testIssuer();
  const [loginKey, callKey] = [await testPair(algorithm), await testPair(algorithm)];
  const config = configOf(idp.issuer);
  const self: TestLogin = {
    idp,
    loginKey,
    callKey,
    config,
    claims: (binding, more = {}) => ({ ...claimsOf(binding, idp.issuer, loginKey.jkt), ...more }),
    token: (binding, more, how) => idp.sign(self.claims(binding, more), how),
    delegation: (token, changes = {}, header = {}) =>
      forge(
        loginKey,
        changed(
          { typ: "countersign-delegation+jwt", alg: algorithm, jwk: loginKey.publicJwk },
          header,
        ),
        changed(delegationClaims(token, callKey.jkt), changes),
      ),
    credential: async (binding, direct = false) => {
      const token = await self.token(binding);
      const salt = binding === "nonce" ? { salt: SALT } : {};
      const own = { token, ...salt, expiresAtMs: Date.now() + 300_000 };
      if (direct) return { ...own, key: loginKey.privateJwk };
      const delegation = await delegationFor(token, loginKey, callKey);
      return { ...own, delegation, key: callKey.privateJwk };
    },
    proof: (token, changes = {}, header = {}, key = loginKey) =>
      forge(
        key,
        changed({ typ: "mcp-call-proof+jwt", alg: key.algorithm, jwk: key.publicJwk }, header),
        changed(proofClaims(token), changes),
      ),
    identity: (options = {}, more = {}) =>
      createIdentity(
        { ...config, ...more },
        { env: {}, account: () => undefined, replay: createReplayGuard(), ...options },
      ),
    ask: (proof, { call = CALL, transport = "stdio", bearer, identity = self.identity() } = {}) =>
      identity.resolve(
        { transport, proof, request: call, ...(bearer === undefined ? {} : { bearer }) },
        new AbortController().signal,
      ),
    close: () => idp.close(),
  };
  return self;
}

function configOf(issuer: string): IdentityConfig {
  const algorithms = ["ES256", "RS256"];
  return {
    minimum: "call_bound",
    server: SERVER,
    issuers: [{ issuer, audience: URL_AUDIENCE, clients: [CLIENT], algorithms }],
  };
}

function delegationFor(token: string, loginKey: TestPair, callKey: TestPair): Promise<string> {
  return createDelegation(loginKey.privateJwk, {
    audience: SERVER,
    token,
    callKeyThumbprint: callKey.jkt,
    nowMs: Date.now(),
    lifetimeMs: 600_000,
  });
}

function claimsOf(binding: Binding, issuer: string, jkt: string): JWTPayload {
  const now = nowSeconds();
  const shared = { iss: issuer, sub: "auth0|5f7c", iat: now, exp: now + 300 };
  if (binding === "dpop") return { ...shared, aud: URL_AUDIENCE, client_id: CLIENT, cnf: { jkt } };
  if (binding === "id_token_cnf") return { ...shared, aud: CLIENT, cnf: { jkt } };
  return { ...shared, aud: CLIENT, nonce: nonceCommitment(jkt, SALT) };
}

/** Valid claims of a proof of `CALL`. */
export function proofClaims(token: string): Changes {
  const { method, params } = CALL;
  return {
    aud: SERVER,
    iat: nowSeconds(),
    jti: sha256(String(Math.random())).slice(0, 22),
    ath: sha256(token),
    mcp: { method, name: params.name, digest: digest(params) },
    txn: TRACE_ID,
  };
}

function delegationClaims(token: string, jkt: string): Changes {
  const now = nowSeconds();
  return { aud: SERVER, iat: now, exp: now + 600, ath: sha256(token), cnf: { jkt } };
}

function changed(given: Changes, changes: Changes): Changes {
  const entries = Object.entries({ ...given, ...changes });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/** What the prover put into `_meta`, as it arrives: through JSON. */
export function received(proof: CallProof | undefined): Record<string, unknown> {
  return JSON.parse(JSON.stringify(proof)) as Record<string, unknown>;
}
