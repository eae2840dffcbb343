import { createHmac } from "node:crypto";
import { createServer } from "node:http";
import { once } from "node:events";
import { calculateJwkThumbprint, exportSPKI, type JWTPayload } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { nonceCommitment } from "./login-token.ts";
import { type TestKey, testKey } from "./testing/issuer.ts";
import {
  type Binding,
  CLIENT,
  encode,
  forge,
  nowSeconds,
  SALT,
  SERVER,
  type TestLogin,
  testLogin,
  type TestPair,
  testPair,
  URL_AUDIENCE,
} from "./testing/login.ts";
import type { IdentityConfig } from "./identity-config.ts";
import type { IdentityResult } from "./resolver.ts";

const INVALID = { kind: "denied", reason: "identity_invalid" };
const NOT_HUMAN = { kind: "denied", reason: "identity_not_human" };

let ada: TestLogin;
let thief: TestPair;
let firstKeys: readonly TestKey[];

beforeAll(async () => {
  ada = await testLogin();
  thief = await testPair();
  firstKeys = ada.idp.keys;
});

afterEach(() => {
  ada.idp.keys = firstKeys;
  ada.idp.broken = undefined;
});

afterAll(() => ada.close());

/** A token with these claims, and a proof by the login key. */
async function asked(
  binding: Binding,
  more: JWTPayload = {},
  config: Partial<IdentityConfig> = {},
): Promise<IdentityResult> {
  const token = await ada.token(binding, more);
  return ask(token, binding === "nonce" ? SALT : undefined, config);
}

function ask(
  token: string,
  salt?: string,
  config: Partial<IdentityConfig> = {},
): Promise<IdentityResult> {
  const proof = { token, ...(salt === undefined ? {} : { salt }), proof: ada.proof(token) };
  return ada.ask(proof, { identity: ada.identity({}, config) });
}

describe("the binding of a token to the login key", () => {
  test.each<readonly [string, Binding, JWTPayload]>([
    ["cnf.jwk in an ID token", "id_token_cnf", {}],
    ["cnf.jkt with members of the issuer's own", "dpop", {}],
    ["an access token for the server's name", "dpop", { aud: SERVER }],
    ["an access token for us and others", "dpop", { aud: ["https://other.example", URL_AUDIENCE] }],
    ["an ID token whose azp is our client", "id_token_cnf", { azp: CLIENT }],
    ["an ID token for a list of our client", "id_token_cnf", { aud: [CLIENT] }],
  ])("%s", async (name, binding, more) => {
    const cnf = name.includes("jwk")
      ? { jwk: { ...ada.loginKey.publicJwk, kid: "x", use: "sig" } }
      : { jkt: ada.loginKey.jkt, "kc-jkt-type": 0 };
    expect(await asked(binding, { ...more, cnf })).toMatchObject({ kind: "human" });
  });

  test.each<readonly [string, Binding, JWTPayload | (() => JWTPayload)]>([
    ["another key's thumbprint", "dpop", () => ({ cnf: { jkt: thief.jkt } })],
    ["another key", "id_token_cnf", () => ({ cnf: { jwk: thief.publicJwk } })],
    [
      "two keys that differ",
      "id_token_cnf",
      () => ({ cnf: { jkt: ada.loginKey.jkt, jwk: thief.publicJwk } }),
    ],
    [
      "the right key, and another one's thumbprint",
      "id_token_cnf",
      () => ({ cnf: { jkt: thief.jkt, jwk: ada.loginKey.publicJwk } }),
    ],
    ["no key", "dpop", { cnf: undefined }],
    ["an empty cnf", "dpop", { cnf: {} }],
    ["a cnf that is null", "dpop", { cnf: null }],
    ["a cnf that is a list", "dpop", () => ({ cnf: [{ jkt: ada.loginKey.jkt }] })],
    ["a certificate's thumbprint", "dpop", () => ({ cnf: { "x5t#S256": ada.loginKey.jkt } })],
    ["a jkt that is a list", "dpop", () => ({ cnf: { jkt: [ada.loginKey.jkt] } })],
    ["a jwk that is no key", "id_token_cnf", { cnf: { jwk: { kty: "EC" } } }],
    ["a jwk that is a text", "id_token_cnf", { cnf: { jwk: "x" } }],
    ["a nonce for another key", "nonce", () => ({ nonce: nonceCommitment(thief.jkt, SALT) })],
    [
      "a nonce with another salt",
      "nonce",
      () => ({ nonce: nonceCommitment(ada.loginKey.jkt, `${SALT}x`) }),
    ],
    ["no nonce (a refreshed ID token)", "nonce", { nonce: undefined }],
    ["a nonce and a cnf for another key", "nonce", () => ({ cnf: { jkt: thief.jkt } })],
    [
      "a nonce that is a list",
      "nonce",
      () => ({ nonce: [nonceCommitment(ada.loginKey.jkt, SALT)] }),
    ],
  ])("%s does not bind", async (_, binding, more) => {
    expect(await asked(binding, typeof more === "function" ? more() : more)).toEqual(INVALID);
  });

  test("a key under another spelling of it does not bind", async () => {
    const { x, ...rest } = ada.loginKey.publicJwk as { x: string };
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const jwk = { ...rest, x: x.slice(0, -1) + letters[letters.indexOf(x.slice(-1)) + 1] };
    expect(Buffer.from(jwk.x, "base64url")).toEqual(Buffer.from(x, "base64url"));
    const token = await ada.token("dpop", { cnf: { jkt: await calculateJwkThumbprint(jwk) } });
    expect(await ada.ask({ token, proof: ada.proof(token, {}, { jwk }) })).toEqual(INVALID);
  });

  test("a nonce in an access token does not bind", async () => {
    const nonce = nonceCommitment(ada.loginKey.jkt, SALT);
    expect(await ask(await ada.token("dpop", { cnf: undefined, nonce }), SALT)).toEqual(INVALID);
  });

  test.each([[undefined], [""], ["short"], ["s".repeat(129)], ["ä".repeat(20)]])(
    "the salt %j",
    async (salt) => {
      const nonce = nonceCommitment(ada.loginKey.jkt, salt ?? "");
      expect(await ask(await ada.token("nonce", { nonce }), salt)).toEqual(INVALID);
    },
  );
});

describe("a stolen token", () => {
  test("without its key is worth nothing", async () => {
    for (const binding of ["dpop", "id_token_cnf", "nonce"] as const) {
      const token = await ada.token(binding);
      const salt = binding === "nonce" ? { salt: SALT } : {};
      const proof = ada.proof(token, {}, {}, thief);
      expect(await ada.ask({ token, ...salt, proof })).toEqual(INVALID);
      const claimed = ada.proof(token, {}, { jwk: ada.loginKey.publicJwk }, thief);
      expect(await ada.ask({ token, ...salt, proof: claimed })).toEqual(INVALID);
    }
  });

  test("is no bearer token, neither over HTTP nor in a proof", async () => {
    const token = await ada.token("dpop");
    const identity = ada.identity();
    const signal = new AbortController().signal;
    expect(await identity.resolve({ transport: "http", bearer: token }, signal)).toEqual(INVALID);
    const bearer = await ada.token("dpop", { cnf: undefined });
    expect(await identity.resolve({ transport: "http", bearer }, signal)).toMatchObject({
      kind: "human",
    });
    expect(await ask(bearer)).toEqual(INVALID);
  });
});

describe("a token that is not for this", () => {
  const now = nowSeconds();
  test.each<readonly [string, Binding, JWTPayload]>([
    ["another server's access token", "dpop", { aud: "https://other.example/mcp" }],
    ["an access token for nobody", "dpop", { aud: undefined as unknown as string }],
    ["an audience that is an object", "dpop", { aud: {} as string }],
    ["an empty list of audiences", "dpop", { aud: [] }],
    [
      "a list with something that is no audience",
      "dpop",
      { aud: [URL_AUDIENCE, 1 as unknown as string] },
    ],
    ["33 audiences", "dpop", { aud: Array.from({ length: 33 }, () => URL_AUDIENCE) }],
    ["an ID token of another relying party", "id_token_cnf", { aud: "other-app" }],
    [
      "an ID token for us and another relying party",
      "id_token_cnf",
      { aud: [CLIENT, "other-app"], azp: CLIENT },
    ],
    ["an ID token that was issued to another one (azp)", "id_token_cnf", { azp: "other-app" }],
    ["an azp that is a list", "id_token_cnf", { azp: [CLIENT] }],
    ["expired", "id_token_cnf", { exp: now - 70 }],
    ["without an expiry", "id_token_cnf", { exp: undefined as unknown as number }],
    ["not valid yet", "id_token_cnf", { nbf: now + 90 }],
    ["of an unknown issuer", "id_token_cnf", { iss: "https://evil.example" }],
    ["of an issuer that is spelt otherwise", "id_token_cnf", { iss: "HTTP://127.0.0.1" }],
    ["of no issuer", "id_token_cnf", { iss: undefined as unknown as string }],
    ["of an issuer named __proto__", "id_token_cnf", { iss: "__proto__" }],
    [
      "a logout token",
      "id_token_cnf",
      { events: { "http://schemas.openid.net/event/backchannel-logout": {} } },
    ],
    ["without a subject", "id_token_cnf", { sub: undefined as unknown as string }],
    ["with a subject that is a list", "id_token_cnf", { sub: ["auth0|5f7c"] as unknown as string }],
    ["with a subject over 256 bytes", "id_token_cnf", { sub: "ä".repeat(129) }],
    ["with nine actors", "dpop", { act: actors(9) }],
  ])("%s", async (_, binding, more) => {
    expect(await asked(binding, more)).toEqual(INVALID);
  });

  test("of a client that the policy does not list, or of an issuer that lists none", async () => {
    const [issuer] = ada.config.issuers;
    const { clients: _, ...without } = issuer as {
      clients: unknown;
    } & IdentityConfig["issuers"][number];
    expect(await asked("id_token_cnf", {}, { issuers: [without] })).toEqual(INVALID);
    expect(await asked("id_token_cnf", {}, { issuers: [{ ...without, clients: ["x"] }] })).toEqual(
      INVALID,
    );
    expect(await asked("id_token_cnf", {}, { issuers: [] })).toEqual(INVALID);
  });

  test.each([
    ["at+jwt", "id_token_cnf"],
    ["logout+jwt", "id_token_cnf"],
    ["dpop+jwt", "dpop"],
    ["dpop+id_token", "dpop"],
    ["mcp-call-proof+jwt", "dpop"],
  ] as const)("type %s as %s", async (typ, binding) => {
    expect(await ask(await ada.token(binding, {}, { header: { typ } }))).toEqual(INVALID);
  });

  test.each([
    ["dpop+id_token", "id_token_cnf"],
    ["application/at+jwt", "dpop"],
    ["JWT", "dpop"],
  ] as const)("but type %s is %s", async (typ, binding) => {
    expect(await ask(await ada.token(binding, {}, { header: { typ } }))).toMatchObject({
      kind: "human",
    });
  });
});

describe("a token whose signature is a trick", () => {
  test("alg none", async () => {
    const payload = encode(ada.claims("id_token_cnf"));
    for (const alg of ["none", "None", "NONE", ""]) {
      expect(await ask(`${encode({ alg })}.${payload}.`)).toEqual(INVALID);
      expect(await ask(`${encode({ alg, kid: "k1" })}.${payload}.AAAA`)).toEqual(INVALID);
    }
  });

  test("HS256 with the RSA public key as the secret", async () => {
    const key = await testKey("k1", "RS256");
    ada.idp.keys = [key];
    const signed = `${encode({ alg: "HS256", kid: "k1", typ: "JWT" })}.${encode(ada.claims("id_token_cnf"))}`;
    for (const secret of [
      await exportSPKI(key.publicKey),
      JSON.stringify(key.jwk),
      key.jwk.n as string,
    ]) {
      const mac = createHmac("sha256", secret).update(signed).digest("base64url");
      expect(await ask(`${signed}.${mac}`)).toEqual(INVALID);
      const proof = ada.proof(`${signed}.${mac}`);
      const believing = ada.identity(
        {},
        {
          issuers: [
            {
              ...(ada.config.issuers[0] as IdentityConfig["issuers"][number]),
              algorithms: ["RS256", "HS256"],
            },
          ],
        },
      );
      expect(await ada.ask({ token: `${signed}.${mac}`, proof }, { identity: believing })).toEqual(
        INVALID,
      );
    }
  });

  test("an algorithm that the policy does not list", async () => {
    ada.idp.keys = [await testKey("k1", "ES384")];
    expect(await asked("id_token_cnf")).toEqual(INVALID);
  });

  test("a key in its own header, or at an address in it: never used, never asked", async () => {
    let fetched = 0;
    const evil = createServer((_, response) => {
      fetched += 1;
      response.end(JSON.stringify({ keys: [thief.publicJwk] }));
    }).listen(0, "127.0.0.1");
    await once(evil, "listening");
    const url = `http://127.0.0.1:${(evil.address() as { port: number }).port}/keys`;
    for (const header of [
      { jwk: thief.publicJwk },
      { jku: url },
      { x5u: url },
      { x5c: [encode("certificate")] },
      { kid: url },
      { kid: "../../../../etc/passwd" },
      { kid: "k1' OR '1'='1" },
      { crit: ["jku"], jku: url },
      { b64: false, crit: ["b64"] },
    ]) {
      const token = forge(
        thief,
        { alg: "ES256", kid: "k1", ...header },
        ada.claims("id_token_cnf"),
      );
      expect(await ask(token)).toEqual(INVALID);
    }
    expect(fetched).toBe(0);
    evil.close();
  });

  test("a critical member that nobody here understands, however well signed", async () => {
    const { privateKey } = ada.idp.keys[0] as TestKey;
    const { exportJWK } = await import("jose");
    const issuer: TestPair = { ...thief, privateJwk: await exportJWK(privateKey) };
    const plain = forge(issuer, { alg: "ES256", kid: "k1" }, ada.claims("id_token_cnf"));
    expect(await ask(plain)).toMatchObject({ kind: "human" });
    const critical = forge(
      issuer,
      { alg: "ES256", kid: "k1", crit: ["x"], x: 1 },
      ada.claims("id_token_cnf"),
    );
    expect(await ask(critical)).toEqual(INVALID);
  });
});

describe("the subject", () => {
  test.each([
    ["is the client that asked", "dpop", { sub: CLIENT }],
    ["is the client of the ID token", "id_token_cnf", { sub: CLIENT }],
    ["is azp", "id_token_cnf", { sub: CLIENT, azp: CLIENT }],
    ["is marked as an app", "dpop", { idtyp: "app" }],
    ["is of a client_credentials grant", "dpop", { gty: "client-credentials" }],
    ["is Keycloak's service account", "dpop", { preferred_username: "service-account-x" }],
  ] as const)("%s: no human", async (_, binding, more) => {
    expect(await asked(binding, more)).toEqual(NOT_HUMAN);
  });

  test.each([
    "*",
    "user:alice#member",
    "alice@example.com",
    "a/b|c=d",
    "alice\u0000",
    "'; DROP",
    "𝛼".repeat(64),
  ])("%j passes as it is: encoding it is the gate's", async (sub) => {
    expect(await asked("dpop", { sub })).toMatchObject({ human: { subject: sub } });
  });

  test("is never folded: what looks the same is somebody else", async () => {
    const alike = [
      "paypal",
      "раураl",
      "PAYPAL",
      "pay\u200bpal",
      "ｐaypal",
      "caf\u00e9",
      "cafe\u0301",
      "ﬁ",
      "fi",
    ];
    const results = await Promise.all(alike.map((sub) => asked("dpop", { sub })));
    const subjects = results.map((result) => (result.kind === "human" ? result.human.subject : ""));
    expect(subjects).toEqual(alike);
    expect(new Set(subjects).size).toBe(alike.length);
  });

  test("comes with those who act for it, the outermost first", async () => {
    expect(await asked("dpop", { act: actors(8) })).toMatchObject({
      agent: {
        id: CLIENT,
        actors: [8, 7, 6, 5, 4, 3, 2, 1].map((depth) => ({
          issuer: ada.idp.issuer,
          subject: `actor-${depth}`,
        })),
      },
    });
  });
});

function actors(depth: number): JWTPayload {
  return depth === 1 ? { sub: "actor-1" } : { sub: `actor-${depth}`, act: actors(depth - 1) };
}
