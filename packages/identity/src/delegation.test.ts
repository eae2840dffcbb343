import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createDelegation } from "./delegation.ts";
import type { IdentityResult } from "./resolver.ts";
import {
  type Changes,
  forge,
  nowSeconds,
  proofClaims,
  SERVER,
  sha256,
  type TestLogin,
  testLogin,
  type TestPair,
  testPair,
  URL_AUDIENCE,
} from "./testing/login.ts";

const INVALID = { kind: "denied", reason: "identity_invalid" };

const now = nowSeconds();

let ada: TestLogin;
let thief: TestPair;

beforeAll(async () => {
  ada = await testLogin();
  thief = await testPair();
});

afterAll(() => ada.close());

/** Asks with a delegated proof. */
async function delegated(
  changes: Changes,
  header: Changes = {},
  spoil: (text: string) => string = (text) => text,
): Promise<IdentityResult> {
  const token = await ada.token("id_token_cnf");
  const delegation = spoil(ada.delegation(token, changes, header));
  return ada.ask({ token, delegation, proof: ada.proof(token, {}, {}, ada.callKey) });
}

describe("a delegation", () => {
  test("lets the call key sign", async () => {
    expect(await delegated({})).toMatchObject({ human: { binding: { jkt: ada.loginKey.jkt } } });
  });

  test.each<readonly [string, Changes | (() => Changes)]>([
    ["for another key", () => ({ cnf: { jkt: thief.jkt } })],
    ["for no key", { cnf: {} }],
    ["for a key and more", () => ({ cnf: { jkt: ada.callKey.jkt, x: 1 } })],
    ["for a key in full", () => ({ cnf: { jwk: ada.callKey.publicJwk } })],
    ["for another audience", { aud: "urn:mcp:billing" }],
    ["for several audiences", { aud: [SERVER] }],
    ["for the other name of this server", { aud: URL_AUDIENCE }],
    ["with another token", { ath: sha256("other") }],
    ["without a token", { ath: undefined }],
    ["that has expired", { iat: now - 300, exp: now - 70 }],
    ["that begins later", { iat: now + 90, exp: now + 120 }],
    ["for more than 600 s", { iat: now, exp: now + 601 }],
    ["for ever", { exp: undefined }],
    ["that ends before it begins", { iat: now + 10, exp: now }],
    ["from no time", { iat: undefined }],
    ["from half a second", { iat: now + 0.5, exp: now + 60.5 }],
    ["with a claim more", { sub: "x" }],
    ["with a claim named constructor", { constructor: 1 }],
  ])("%s", async (_, changes) => {
    expect(await delegated(typeof changes === "function" ? changes() : changes)).toEqual(INVALID);
  });

  test("by another key than the login's", async () => {
    const token = await ada.token("id_token_cnf");
    const claims = {
      aud: SERVER,
      iat: now,
      exp: now + 60,
      ath: sha256(token),
      cnf: { jkt: thief.jkt },
    };
    const delegation = forge(
      thief,
      { typ: "countersign-delegation+jwt", alg: "ES256", jwk: thief.publicJwk },
      claims,
    );
    expect(await ada.ask({ token, delegation, proof: ada.proof(token, {}, {}, thief) })).toEqual(
      INVALID,
    );
  });

  test("does not pass the login key's right to a third one", async () => {
    const token = await ada.token("id_token_cnf");
    const first = ada.delegation(token);
    expect(
      await ada.ask({ token, delegation: first, proof: ada.proof(token, {}, {}, thief) }),
    ).toEqual(INVALID);
    const claims = {
      aud: SERVER,
      iat: now,
      exp: now + 60,
      ath: sha256(token),
      cnf: { jkt: thief.jkt },
    };
    const second = forge(
      ada.callKey,
      { typ: "countersign-delegation+jwt", alg: "ES256", jwk: ada.callKey.publicJwk },
      claims,
    );
    expect(
      await ada.ask({ token, delegation: second, proof: ada.proof(token, {}, {}, thief) }),
    ).toEqual(INVALID);
  });

  test("is looked at every time, however often its signature was verified", async () => {
    let nowMs = Date.now();
    const identity = ada.identity({ clock: () => nowMs });
    const token = await ada.token("id_token_cnf", { exp: now + 3600 });
    const delegation = ada.delegation(token, { exp: now + 120 });
    const ask = (seconds: number): Promise<IdentityResult> => {
      nowMs = (now + seconds) * 1000;
      const proof = ada.proof(token, { iat: now + seconds }, {}, ada.callKey);
      return ada.ask({ token, delegation, proof }, { identity });
    };
    expect(await ask(0)).toMatchObject({ kind: "human" });
    expect(await ask(170)).toMatchObject({ kind: "human" });
    expect(await ask(181)).toEqual(INVALID);
  });

  test("is not made for longer than 600 s, nor for a key that is none", async () => {
    const terms = {
      audience: SERVER,
      token: "token-secret",
      callKeyThumbprint: ada.callKey.jkt,
      nowMs: Date.now(),
      lifetimeMs: 600_000,
    };
    const { privateJwk } = ada.loginKey;
    expect(await createDelegation(privateJwk, terms)).toMatch(/^[\w-]+\.[\w-]+\.[\w-]{86}$/);
    for (const wrong of [
      { lifetimeMs: 601_000 },
      { lifetimeMs: 0 },
      { lifetimeMs: Number.NaN },
      { callKeyThumbprint: "x" },
    ]) {
      const error: unknown = await createDelegation(privateJwk, { ...terms, ...wrong }).catch(
        (failure: unknown) => failure,
      );
      expect(error).toMatchObject({ code: "INPUT_INVALID" });
      expect(String(error)).not.toContain("token-secret");
    }
  });

  test("is not a proof, and a proof is not a delegation", async () => {
    const token = await ada.token("id_token_cnf");
    expect(await ada.ask({ token, proof: ada.delegation(token) })).toEqual(INVALID);
    expect(await ada.ask({ token, delegation: ada.proof(token), proof: ada.proof(token) })).toEqual(
      INVALID,
    );
  });
});

describe.each(["proof", "delegation"] as const)("the header of a %s", (part) => {
  test.each<readonly [string, Changes | (() => Changes)]>([
    ["alg none", { alg: "none" }],
    ["alg HS256", { alg: "HS256" }],
    ["alg RS256", { alg: "RS256" }],
    ["alg of another kind of key", { alg: "EdDSA" }],
    ["no alg", { alg: undefined }],
    ["kid", { kid: "k1" }],
    ["jku", { jku: "http://127.0.0.1:1/keys" }],
    ["x5u", { x5u: "http://127.0.0.1:1/cert" }],
    ["x5c", { x5c: ["AAAA"] }],
    ["x5t", { x5t: "AAAA" }],
    ["crit", { crit: ["exp"], exp: 1 }],
    ["b64", { b64: false, crit: ["b64"] }],
    ["cty", { cty: "JWT" }],
    ["zip", { zip: "DEF" }],
    ["another typ", { typ: "dpop+jwt" }],
    ["typ in capitals", { typ: "MCP-CALL-PROOF+JWT" }],
    ["typ with application/", { typ: "application/mcp-call-proof+jwt" }],
    ["no typ", { typ: undefined }],
    ["no jwk", { jwk: undefined }],
    ["jwk null", { jwk: null }],
    ["a private jwk", () => ({ jwk: (part === "proof" ? ada.callKey : ada.loginKey).privateJwk })],
    ["a jwk with kid", () => ({ jwk: { ...mine(part).publicJwk, kid: "x" } })],
    ["a jwk with alg", () => ({ jwk: { ...mine(part).publicJwk, alg: "ES256" } })],
    ["a jwk with x5u", () => ({ jwk: { ...mine(part).publicJwk, x5u: "http://127.0.0.1:1" } })],
    ["another's jwk", () => ({ jwk: thief.publicJwk })],
    ["a jwk of another curve", () => ({ jwk: { ...mine(part).publicJwk, crv: "P-384" } })],
    ["a jwk that is a secret", { jwk: { kty: "oct", k: "AAAA" } }],
    [
      "a point that is on no curve",
      () => ({ jwk: { ...mine(part).publicJwk, y: "A".repeat(43) } }),
    ],
    [
      "a coordinate with a letter more",
      () => ({ jwk: { ...mine(part).publicJwk, x: `${mine(part).publicJwk.x as string}A` } }),
    ],
    ["a member named constructor", { constructor: 1 }],
  ])("%s", async (_, changes) => {
    const header = typeof changes === "function" ? changes() : changes;
    const token = await ada.token("id_token_cnf");
    const proof = ada.proof(token, {}, part === "proof" ? header : {}, ada.callKey);
    const delegation = ada.delegation(token, {}, part === "delegation" ? header : {});
    expect(await ada.ask({ token, delegation, proof })).toEqual(INVALID);
  });

  test("with __proto__ in it", async () => {
    const token = await ada.token("id_token_cnf");
    const text = JSON.stringify({
      typ: "mcp-call-proof+jwt",
      alg: "ES256",
      jwk: ada.loginKey.publicJwk,
    });
    const good = forge(ada.loginKey, JSON.parse(text) as Changes, proofClaims(token));
    expect(await ada.ask({ token, proof: good })).toMatchObject({ kind: "human" });
    const spoilt = JSON.parse(text.replace("{", '{"__proto__":{"kid":"x"},')) as Changes;
    expect(
      await ada.ask({ token, proof: forge(ada.loginKey, spoilt, proofClaims(token)) }),
    ).toEqual(INVALID);
  });
});

function mine(part: "proof" | "delegation"): TestPair {
  return part === "proof" ? ada.callKey : ada.loginKey;
}
