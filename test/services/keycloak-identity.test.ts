// Identity against an identity provider that others wrote: what Keycloak issues, our resolver believes, or refuses, and why.
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type CallEvidence,
  type Credential,
  createCallProver,
  createIdentity,
  exchangedCredentialSource,
  type IdentityResolver,
  type IdentityResult,
  runWithSubject,
  type SubjectToken,
} from "@countersign/identity";
import {
  type ExecCredential,
  issueCredential,
  login,
  type LoginStep,
} from "@countersign/identity/login";
import { calculateJwkThumbprint, exportJWK, type JWK } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeProofKey, type ProofKey } from "../e2e/fixtures/idp/oauth-client.ts";
import { findService } from "./find.ts";
import { type Keycloak, startKeycloak } from "./keycloak.ts";
import { type KeycloakClient, keycloakClient } from "./keycloak-client.ts";
import { ARCHIVE, CLIENT_SECRET, TICKETS } from "./keycloak-realm.ts";

const MINUTE_MS = 60_000;
const START_MS = 150_000;
const INVALID = { kind: "denied", reason: "identity_invalid" };
const CALL = { method: "tools/call", params: { name: "read", arguments: { id: "T-1" } } };
const signal = new AbortController().signal;

const found = findService("keycloak");
// Its realm has to be ours: a server that runs already cannot take part.
if (found?.kind === "endpoint") throw new Error("COUNTERSIGN_TEST_KEYCLOAK is not supported");
const program = found?.kind === "binary" ? found.path : undefined;

describe.skipIf(program === undefined)("a real Keycloak", () => {
  let keycloak: Keycloak;
  let client: KeycloakClient;
  let alice: string;
  const resolvers: IdentityResolver[] = [];

  beforeAll(async () => {
    keycloak = await startKeycloak(program as string);
    client = await keycloakClient(keycloak.issuer);
    const users = (await keycloak.admin("GET", "/users?username=alice&exact=true")) as {
      id: string;
    }[];
    alice = users[0]?.id as string;
  }, START_MS);

  afterEach(() => {
    for (const made of resolvers.splice(0)) made.close?.();
  });

  afterAll(() => keycloak.dispose());

  function resolver(server: string = TICKETS, clock: () => number = Date.now): IdentityResolver {
    const made = createIdentity(
      {
        minimum: "bearer",
        server,
        issuers: [
          {
            issuer: keycloak.issuer,
            audience: server,
            clients: ["countersign-cli"],
            algorithms: ["RS256"],
          },
        ],
      },
      { env: {}, clock, replay: { use: () => "fresh", close: () => undefined } },
    );
    resolvers.push(made);
    return made;
  }

  async function proven(
    credential: Omit<Credential, "expiresAtMs">,
    given: {
      readonly by?: IdentityResolver;
      readonly audience?: string;
      readonly clock?: () => number;
    } = {},
  ): Promise<IdentityResult> {
    const audience = given.audience ?? TICKETS;
    const source = {
      current: () => Promise.resolve({ ...credential, expiresAtMs: Number.MAX_SAFE_INTEGER }),
    };
    const prover = createCallProver(
      source,
      given.clock === undefined ? {} : { clock: given.clock },
    );
    const proof = await prover.prove({ ...CALL, audience }, signal);
    const evidence: CallEvidence = { transport: "stdio", proof, request: CALL };
    return (given.by ?? resolver(audience)).resolve(evidence, signal);
  }

  function bearer(token: string, by: IdentityResolver = resolver()): Promise<IdentityResult> {
    return by.resolve({ transport: "http", bearer: token }, signal);
  }

  /** Logs in with a `nonce` that commits to a key made now. */
  async function committed(way: "login" | "deviceLogin"): Promise<Committed> {
    const proofKey = await makeProofKey();
    const jkt = await calculateJwkThumbprint(proofKey.jwk);
    const salt = randomBytes(16).toString("base64url");
    const nonce = createHash("sha256").update(`v1.${jkt}.${salt}`).digest("base64url");
    const { id_token } = await client[way]({ clientId: "countersign-cli", nonce, key: proofKey });
    return { token: id_token, salt, key: await privateJwk(proofKey), jkt };
  }

  async function bound(): Promise<Committed> {
    const proofKey = await makeProofKey();
    const { access_token, token_type } = await client.login({
      clientId: "countersign-cli",
      key: proofKey,
    });
    expect(token_type).toBe("DPoP");
    const jkt = await calculateJwkThumbprint(proofKey.jwk);
    return { token: access_token, key: await privateJwk(proofKey), jkt };
  }

  test.each([
    ["authorization code with PKCE", "login"],
    ["device authorization", "deviceLogin"],
  ] as const)("%s: a nonce that commits to the key of the login", async (_, way) => {
    const { jkt, ...credential } = await committed(way);
    const result = await proven(credential);
    expect(result).toMatchObject({
      kind: "human",
      human: {
        issuer: keycloak.issuer,
        subject: alice,
        assurance: "call_bound",
        method: "call_proof",
        authTime: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        binding: { jkt },
      },
      agent: { id: "countersign-cli" },
    });
    const stolen = await privateJwk(await makeProofKey());
    expect(await proven({ ...credential, key: stolen })).toEqual(INVALID);
    const salt = randomBytes(16).toString("base64url");
    expect(await proven({ ...credential, salt })).toEqual(INVALID);
  });

  test.each(["address", "device"] as const)(
    "countersign login by %s, and the credential that it gives afterwards",
    async (by) => {
      const directory = mkdtempSync(join(tmpdir(), "countersign-login-"));
      const env = { COUNTERSIGN_STATE_DIR: directory };
      const { issuer } = keycloak;
      try {
        let browser: Promise<void> | undefined;
        const tell = (step: LoginStep): void => void (browser = client.follow(step));
        const options = { issuer, clientId: "countersign-cli", audiences: [TICKETS], env };
        const summary = await login({ ...options, by, useKeychain: false, tell }, signal);
        await browser;
        expect(summary).toMatchObject({ issuer, subject: alice });
        const credential = await issueCredential({ audience: TICKETS, env }, signal);
        const { token, salt, delegation, key } = (credential as ExecCredential).status;
        const optional = salt === undefined ? {} : { salt };
        expect(await proven({ token, delegation, key, ...optional })).toMatchObject({
          human: { issuer, subject: alice, assurance: "call_bound" },
          agent: { id: "countersign-cli" },
        });
        expect(await proven({ token, key, ...optional })).toEqual(INVALID);
      } finally {
        rmSync(directory, { recursive: true, force: true });
      }
    },
  );

  test("an access token bound by DPoP: proven with its key, and with no other", async () => {
    const { jkt, ...credential } = await bound();
    expect(await proven(credential)).toMatchObject({
      kind: "human",
      human: { subject: alice, assurance: "call_bound", binding: { jkt } },
      agent: { id: "countersign-cli" },
    });
    const stolen = await privateJwk(await makeProofKey());
    expect(await proven({ ...credential, key: stolen })).toEqual(INVALID);
    expect(await proven(credential, { audience: ARCHIVE })).toEqual(INVALID);
    expect(await bearer(credential.token)).toEqual(INVALID);
  });

  test("a token that was issued to another relying party, or for no server of ours", async () => {
    const proofKey = await makeProofKey();
    const jkt = await calculateJwkThumbprint(proofKey.jwk);
    const salt = randomBytes(16).toString("base64url");
    const nonce = createHash("sha256").update(`v1.${jkt}.${salt}`).digest("base64url");
    const { id_token, access_token } = await client.login({
      clientId: "other-app",
      nonce,
      key: proofKey,
    });
    const key = await privateJwk(proofKey);
    expect(await proven({ token: id_token, salt, key })).toEqual(INVALID);
    expect(await proven({ token: access_token, key })).toEqual(INVALID);
  });

  test("a service account is no human, although its subject is no client id; nor without the scope that says so", async () => {
    const notHuman = { kind: "denied", reason: "identity_not_human" };
    expect(await bearer(await client.serviceAccount("nightly-job"))).toEqual(notHuman);
    const [job] = (await keycloak.admin("GET", "/clients?clientId=nightly-job")) as Named[];
    const scopes = `/clients/${job?.id}/default-client-scopes`;
    const telling = ((await keycloak.admin("GET", scopes)) as Named[]).find(
      ({ name }) => name === "service_account",
    );
    await keycloak.admin("DELETE", `${scopes}/${telling?.id}`);
    expect(await bearer(await client.serviceAccount("nightly-job"))).toEqual(notHuman);
  });

  describe("the second hop", () => {
    test("standard token exchange: the same human, for the next server, bound to a key of this one", async () => {
      const { access_token } = await client.login({ clientId: "web-portal", login: "alice" });
      const first = await bearer(access_token);
      expect(first).toMatchObject({
        human: { subject: alice, assurance: "bearer" },
        agent: { id: "web-portal" },
      });
      const credential = (await exchange(subjectOf(first))) as Credential;
      expect(credential.token).not.toBe(access_token);
      const second = await proven(credential, { audience: ARCHIVE });
      expect(second).toMatchObject({
        kind: "human",
        human: { issuer: keycloak.issuer, subject: alice, assurance: "call_bound" },
        agent: { id: TICKETS },
      });
      // Keycloak records no actor: who acts is known by `azp` alone.
      expect(second).not.toHaveProperty("agent.actors");
      expect(await proven(credential, { audience: TICKETS })).toEqual(INVALID);
    });

    test("Keycloak exchanges neither a token bound to the agent's key nor an ID token: refused, and nothing is passed on", async () => {
      const { jkt: _, ...dpopBound } = await bound();
      const refused = {
        code: "REJECTED",
        message: expect.stringContaining("invalid_request") as string,
      };
      await expect(exchange(subjectOf(await proven(dpopBound)))).rejects.toMatchObject(refused);
      const { jkt: __, ...idToken } = await committed("login");
      await expect(exchange(subjectOf(await proven(idToken)))).rejects.toMatchObject(refused);
    });
  });

  // Last: afterwards the realm has other keys.
  test("rotation: a new key is taken after 30 s, a retired one never again", async () => {
    let laterMs = 0;
    const clock = (): number => Date.now() + laterMs;
    const by = resolver(TICKETS, clock);
    const { jkt: _, ...before } = await bound();
    expect(await proven(before, { by, clock })).toMatchObject({ kind: "human" });

    const [retired] = await signingKeys();
    await addSigningKey("second", 200);
    const { jkt: __, ...after } = await bound();
    expect(await proven(after, { by, clock })).toEqual(INVALID); // the issuer was asked a moment ago
    laterMs = MINUTE_MS / 2;
    expect(await proven(after, { by, clock })).toMatchObject({ kind: "human" });
    expect(await proven(before, { by, clock })).toMatchObject({ kind: "human" });

    await keycloak.admin("DELETE", `/components/${retired?.id}`);
    await addSigningKey("third", 300);
    const { jkt: ___, ...last } = await bound();
    laterMs = MINUTE_MS;
    expect(await proven(last, { by, clock })).toMatchObject({ kind: "human" });
    expect(await proven(before, { by, clock })).toEqual(INVALID);
    expect(await proven(after, { by, clock })).toMatchObject({ kind: "human" });
  });

  /** As the ticket server, on behalf of whoever the token is of. */
  function exchange(subject: SubjectToken | undefined): Promise<Credential | undefined> {
    const source = exchangedCredentialSource({
      issuer: keycloak.issuer,
      clientId: TICKETS,
      clientSecret: CLIENT_SECRET,
    });
    return runWithSubject(subject, () => source.current(ARCHIVE, signal));
  }

  interface Named {
    readonly id: string;
    readonly name?: string;
  }

  interface Component {
    readonly id: string;
    readonly providerId: string;
    readonly parentId: string;
  }

  async function signingKeys(): Promise<readonly Component[]> {
    const path = "/components?type=org.keycloak.keys.KeyProvider";
    const all = (await keycloak.admin("GET", path)) as readonly Component[];
    return all.filter(({ providerId }) => providerId === "rsa-generated");
  }

  async function addSigningKey(name: string, priority: number): Promise<void> {
    const [{ parentId } = { parentId: "" }] = await signingKeys();
    await keycloak.admin("POST", "/components", {
      name,
      parentId,
      providerId: "rsa-generated",
      providerType: "org.keycloak.keys.KeyProvider",
      config: {
        priority: [String(priority)],
        enabled: ["true"],
        active: ["true"],
        algorithm: ["RS256"],
      },
    });
  }
});

type Committed = Omit<Credential, "expiresAtMs"> & { readonly jkt: string };

function subjectOf(result: IdentityResult): SubjectToken | undefined {
  expect(result.kind).toBe("human");
  return result.kind === "human" ? result.subject : undefined;
}

function privateJwk({ privateKey }: ProofKey): Promise<JWK> {
  return exportJWK(privateKey);
}
