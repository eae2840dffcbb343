import { createHmac, randomBytes } from "node:crypto";
import type { RequestListener } from "node:http";
import { exportSPKI, type JWTPayload } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createIdentity, type IdentityOptions } from "./identity.ts";
import type { IdentityConfig } from "./identity-config.ts";
import type { IdentityResult } from "./resolver.ts";
import { type TestIssuer, testIssuer, testKey } from "./testing/issuer.ts";

const AUDIENCE = "https://tickets.example/mcp";
const MINUTE = 60;

let idp: TestIssuer;

beforeEach(async () => {
  idp = await testIssuer();
});

afterEach(() => idp.close());

function config(more: Partial<IdentityConfig["issuers"][number]> = {}): IdentityConfig {
  return {
    minimum: "bearer",
    issuers: [{ issuer: idp.issuer, audience: AUDIENCE, algorithms: ["ES256", "EdDSA"], ...more }],
  };
}

function claims(more: JWTPayload = {}): JWTPayload {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: idp.issuer,
    sub: "auth0|5f7c",
    aud: AUDIENCE,
    iat: now,
    exp: now + 5 * MINUTE,
    client_id: "tickets-agent",
    ...more,
  };
}

async function resolve(
  bearer: string,
  options: IdentityOptions = {},
  given: IdentityConfig = config(),
): Promise<IdentityResult> {
  const identity = createIdentity(given, { env: {}, ...options });
  return identity.resolve({ transport: "http", bearer }, new AbortController().signal);
}

const INVALID = { kind: "denied", reason: "identity_invalid" };
const NOT_HUMAN = { kind: "denied", reason: "identity_not_human" };
const UNAVAILABLE = { kind: "error", reason: "identity_unavailable" };

describe("a good token", () => {
  test("names the human, the client, and who acts", async () => {
    const token = await idp.sign(
      claims({
        auth_time: 1_795_337_472,
        act: { sub: "outer", act: { sub: "inner", iss: "https://other.example" } },
      }),
      { header: { typ: "at+jwt" } },
    );
    expect(await resolve(token)).toEqual({
      kind: "human",
      human: {
        issuer: idp.issuer,
        subject: "auth0|5f7c",
        assurance: "bearer",
        method: "bearer",
        authTime: "2026-11-22T08:51:12.000Z",
      },
      agent: {
        id: "tickets-agent",
        actors: [
          { issuer: idp.issuer, subject: "outer" },
          { issuer: "https://other.example", subject: "inner" },
        ],
      },
      subject: expect.objectContaining({ kind: "access_token" }) as object,
    });
  });

  test.each(["ES256", "EdDSA", "RS256", "PS256"])(
    "signed with %s, where the policy believes it",
    async (algorithm) => {
      idp.keys = [await testKey("k", algorithm)];
      expect(
        await resolve(await idp.sign(claims()), {}, config({ algorithms: [algorithm] })),
      ).toMatchObject({ kind: "human" });
      expect(
        await resolve(await idp.sign(claims()), {}, config({ algorithms: ["ES384"] })),
      ).toEqual(INVALID);
    },
  );

  test("one of several audiences, and a clock that is a little off", async () => {
    const now = Math.floor(Date.now() / 1000);
    expect(
      await resolve(await idp.sign(claims({ aud: ["x", AUDIENCE], exp: now - 50 }))),
    ).toMatchObject({ kind: "human" });
  });

  test("keys where the policy says, without discovery", async () => {
    const asked: string[] = [];
    const spy: typeof fetch = (input, init) => {
      asked.push(input as string);
      return fetch(input, init);
    };
    const jwksUri = `${idp.issuer}/keys`;
    expect(
      await resolve(await idp.sign(claims()), { fetch: spy }, config({ jwksUri })),
    ).toMatchObject({ kind: "human" });
    expect(asked).toEqual([jwksUri]);
  });
});

describe("present but invalid denies", () => {
  const now = Math.floor(Date.now() / 1000);

  test.each<readonly [string, JWTPayload]>([
    ["for another audience", { aud: "https://other.example" }],
    ["for no audience", { aud: undefined as unknown as string }],
    ["of another issuer", { iss: "https://evil.example" }],
    ["of no issuer", { iss: undefined as unknown as string }],
    ["expired", { exp: now - 70 }],
    ["without an expiry", { exp: undefined as unknown as number }],
    ["not valid yet", { nbf: now + 70 }],
    ["without a subject", { sub: undefined as unknown as string }],
    ["with an empty subject", { sub: "" }],
    ["with a subject over 256 bytes", { sub: "x".repeat(257) }],
    ["with an expiry that is no number", { exp: "soon" as unknown as number }],
    ["sender-constrained, with nobody having checked the proof", { cnf: { jkt: "x" } }],
    ["with more than eight actors", { act: nested(9) }],
    ["with an actor without a name", { act: { act: { sub: "x" } } }],
    ["with an actor that is a string", { act: "x" }],
  ])("%s", async (_, more) => {
    expect(await resolve(await idp.sign(claims(more)))).toEqual(INVALID);
  });

  test.each([
    ["at_hash", { at_hash: "x" }],
    ["c_hash", { c_hash: "x" }],
    ["a nonce", { nonce: "x" }],
    ["Keycloak's type", { typ: "ID" }],
  ])("an ID token of a client that is called like the audience: %s", async (_by, more) => {
    expect(await resolve(await idp.sign(claims(more)))).toEqual(INVALID);
  });

  test("an access token that repeats the nonce of its login is none (older Keycloak)", async () => {
    const token = await idp.sign(claims({ typ: "Bearer", nonce: "x" }));
    expect(await resolve(token)).toMatchObject({ kind: "human" });
  });

  test.each([["id_token+jwt"], ["dpop+jwt"], ["logout+jwt"]])("of type %s", async (typ) => {
    expect(await resolve(await idp.sign(claims(), { header: { typ } }))).toEqual(INVALID);
  });

  test("alg none", async () => {
    const payload = encode(claims());
    expect(await resolve(`${encode({ alg: "none" })}.${payload}.`)).toEqual(INVALID);
    expect(await resolve(`${encode({ alg: "None", kid: "k1" })}.${payload}.`)).toEqual(INVALID);
  });

  test("HS256 with the RSA public key as the secret", async () => {
    const key = await testKey("k1", "RS256");
    idp.keys = [key];
    const signed = `${encode({ alg: "HS256", kid: "k1", typ: "JWT" })}.${encode(claims())}`;
    const mac = createHmac("sha256", await exportSPKI(key.publicKey))
      .update(signed)
      .digest("base64url");
    expect(await resolve(`${signed}.${mac}`, {}, config({ algorithms: ["RS256"] }))).toEqual(
      INVALID,
    );
  });

  test("signed with a key that only says it is the issuer's", async () => {
    expect(await resolve(await idp.sign(claims(), { key: await testKey("k1") }))).toEqual(INVALID);
  });

  test("a key in the token's own header", async () => {
    const own = await testKey("own");
    const token = await idp.sign(claims(), {
      key: own,
      header: { jwk: own.jwk as unknown as string },
    });
    expect(await resolve(token)).toEqual(INVALID);
  });

  test.each([["opaque"], [""], ["a.b.c"], ["é".repeat(10)], [randomBytes(40).toString("base64")]])(
    "no token at all: %j",
    async (token) => {
      expect(await resolve(token)).toEqual(INVALID);
    },
  );

  test("over 16 KiB, however good", async () => {
    const token = await idp.sign(claims({ padding: "x".repeat(16 * 1024) }));
    expect(await resolve(token)).toEqual(INVALID);
    expect(idp.fetched()).toBe(0);
  });

  test("an issuer without an audience accepts no bearer token", async () => {
    const given = {
      minimum: "bearer",
      issuers: [{ issuer: idp.issuer, algorithms: ["ES256"], clients: ["x"] }],
    } as const;
    expect(await resolve(await idp.sign(claims()), {}, given)).toEqual(INVALID);
  });

  test("two tokens that differ are a conflict", async () => {
    const identity = createIdentity(config(), { env: {} });
    const evidence = {
      transport: "http",
      bearer: await idp.sign(claims()),
      conflictingBearer: true,
    } as const;
    expect(await identity.resolve(evidence, new AbortController().signal)).toEqual({
      kind: "denied",
      reason: "identity_conflict",
    });
  });

  test("a bad token never falls through to a weaker identity", async () => {
    const identity = createIdentity(
      { ...config(), minimum: "asserted" },
      { env: { COUNTERSIGN_ASSERTED_HUMAN: "ada" } },
    );
    const signal = new AbortController().signal;
    expect(await identity.resolve({ transport: "stdio", bearer: "bad" }, signal)).toEqual(INVALID);
    expect(await identity.resolve({ transport: "stdio" }, signal)).toMatchObject({
      human: { subject: "ada" },
    });
  });
});

describe("a client's own token is no human", () => {
  test.each<readonly [string, JWTPayload]>([
    ["sub is the client_id", { sub: "svc", client_id: "svc" }],
    ["sub is azp", { sub: "svc", client_id: undefined, azp: "svc" }],
    ["sub is azp, and there is a client_id too", { sub: "svc", azp: "svc" }],
    ["Okta", { sub: "svc", client_id: undefined, cid: "svc" }],
    ["Auth0", { sub: "tickets-agent@clients" }],
    ["Auth0's grant type", { gty: "client-credentials" }],
    ["Entra ID", { idtyp: "app" }],
    ["Keycloak", { preferred_username: "service-account-tickets" }],
    ["Keycloak, without the scope profile", { clientHost: "127.0.0.1" }],
    ["Keycloak, without the scope service_account", { jti: "trrtcc:658c49fc-47d1-7e1d" }],
  ])("%s", async (_, more) => {
    expect(await resolve(await idp.sign(claims(more)))).toEqual(NOT_HUMAN);
  });
});

describe("keys", () => {
  test("are fetched once for many calls, and not before the first token", async () => {
    const identity = createIdentity(config(), { env: {} });
    const token = await idp.sign(claims());
    expect(idp.fetched()).toBe(0);
    const signal = new AbortController().signal;
    await Promise.all(
      Array.from({ length: 10 }, () =>
        identity.resolve({ transport: "http", bearer: token }, signal),
      ),
    );
    expect(idp.fetched()).toBe(1);
  });

  test("a rotated key is found by asking once more; a forged kid cannot ask often", async () => {
    let nowMs = Date.now();
    const identity = createIdentity(config(), { env: {}, clock: () => nowMs });
    const signal = new AbortController().signal;
    const ask = async (bearer: string): Promise<IdentityResult> =>
      identity.resolve({ transport: "http", bearer }, signal);
    expect(await ask(await idp.sign(claims()))).toMatchObject({ kind: "human" });
    idp.keys = [await testKey("k2")];
    const rotated = await idp.sign(claims());
    expect(await ask(rotated)).toEqual(INVALID);
    expect(idp.fetched()).toBe(1);
    nowMs += 31_000;
    expect(await ask(rotated)).toMatchObject({ kind: "human" });
    const forged = await idp.sign(claims(), { key: await testKey("k9") });
    for (let attempt = 0; attempt < 5; attempt += 1) expect(await ask(forged)).toEqual(INVALID);
    expect(idp.fetched()).toBe(2);
  });

  test("a withdrawn key stops to count within ten minutes", async () => {
    let nowMs = Date.now();
    const identity = createIdentity(config(), { env: {}, clock: () => nowMs });
    const token = await idp.sign(claims({ exp: Math.floor(nowMs / 1000) + 3600 }));
    const signal = new AbortController().signal;
    expect(await identity.resolve({ transport: "http", bearer: token }, signal)).toMatchObject({
      kind: "human",
    });
    idp.keys = [await testKey("k2")];
    nowMs += 10 * 60_000 + 1;
    expect(await identity.resolve({ transport: "http", bearer: token }, signal)).toEqual(INVALID);
  });

  test("while the issuer is away the keys serve on for an hour, and no longer", async () => {
    let nowMs = Date.now();
    const identity = createIdentity(config(), { env: {}, clock: () => nowMs });
    const token = await idp.sign(claims({ exp: Math.floor(nowMs / 1000) + 3 * 3600 }));
    const signal = new AbortController().signal;
    await identity.resolve({ transport: "http", bearer: token }, signal);
    idp.broken = (_, response) => response.destroy();
    nowMs += 30 * 60_000;
    expect(await identity.resolve({ transport: "http", bearer: token }, signal)).toMatchObject({
      kind: "human",
    });
    nowMs += 40 * 60_000;
    expect(await identity.resolve({ transport: "http", bearer: token }, signal)).toEqual(
      UNAVAILABLE,
    );
  });
});

describe("an issuer that cannot be asked makes identity unavailable, which is no denial", () => {
  test("it is down", async () => {
    const token = await idp.sign(claims());
    idp.broken = (_, response) => response.destroy();
    expect(await resolve(token)).toEqual(UNAVAILABLE);
  });

  test.each<readonly [string, RequestListener]>([
    ["500", (_, response) => void response.writeHead(500).end()],
    ["a page", (_, response) => void response.end("<html>")],
    [
      "a redirect, even to what would do",
      (request, response) => {
        const document = {
          issuer: idp.issuer,
          jwks_uri: `${idp.issuer}/keys`,
          keys: idp.keys.map(({ jwk }) => jwk),
        };
        if (request.url === "/elsewhere") response.end(JSON.stringify(document));
        else response.writeHead(302, { location: "/elsewhere" }).end();
      },
    ],
    ["null", (_, response) => void response.end("null")],
    [
      "a discovery document of another issuer",
      (_, response) =>
        void response.end(
          '{"issuer":"https://evil.example","jwks_uri":"https://evil.example/keys"}',
        ),
    ],
    [
      "10 MB",
      (_, response) => {
        const document = {
          issuer: idp.issuer,
          jwks_uri: `${idp.issuer}/keys`,
          keys: idp.keys.map(({ jwk }) => jwk),
        };
        response.end(JSON.stringify({ ...document, padding: "x".repeat(10 * 1024 * 1024) }));
      },
    ],
  ])("it answers with %s", async (_, broken) => {
    const token = await idp.sign(claims());
    idp.broken = broken;
    expect(await resolve(token)).toEqual(UNAVAILABLE);
  });

  test("a keys address that would leave this machine in the clear is not followed", async () => {
    const token = await idp.sign(claims());
    idp.broken = (_, response) =>
      void response.end(
        JSON.stringify({ issuer: idp.issuer, jwks_uri: "http://evil.example/keys" }),
      );
    expect(await resolve(token)).toEqual(UNAVAILABLE);
  });

  test("it hangs, and the caller goes away", async () => {
    const token = await idp.sign(claims());
    idp.broken = () => undefined;
    const caller = new AbortController();
    const waiting = createIdentity(config(), { env: {} }).resolve(
      { transport: "http", bearer: token },
      caller.signal,
    );
    caller.abort();
    await expect(waiting).rejects.toThrow("aborted");
  });
});

function nested(depth: number): JWTPayload {
  return depth === 1 ? { sub: "a" } : { sub: "a", act: nested(depth - 1) };
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
