import { exportJWK, generateKeyPair, importJWK, jwtVerify } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Credential } from "./credential.ts";
import { type ExchangeOptions, exchangedCredentialSource } from "./exchange.ts";
import { createSubjectToken, runWithSubject } from "./subject-token.ts";
import {
  ask,
  AUDIENCE,
  refusal,
  type TestTokenEndpoint,
  testTokenEndpoint,
} from "./testing/token-endpoint.ts";

const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

let service: TestTokenEndpoint;

beforeEach(async () => {
  service = await testTokenEndpoint();
});

afterEach(() => service.close());

describe("what is asked, and what comes back", () => {
  test("the human's token for this audience, bound to a key that this process made", async () => {
    const subject = await service.inbound();
    const credential = (await ask(service.source(), subject)) as Credential;
    expect(Object.fromEntries(service.asked[0]?.form ?? [])).toEqual({
      grant_type: EXCHANGE,
      subject_token: subject.reveal(),
      subject_token_type: "urn:ietf:params:oauth:token-type:access_token",
      requested_token_type: "urn:ietf:params:oauth:token-type:access_token",
      audience: AUDIENCE,
    });
    expect(credential.token).not.toBe(subject.reveal());
    expect(credential.key).toMatchObject({
      kty: "EC",
      crv: "P-256",
      d: expect.any(String) as string,
    });
    expect(credential.delegation).toBeUndefined();
    expect(credential.expiresAtMs).toBeGreaterThan(Date.now() + 200_000);
    const dpop = service.asked[0]?.dpop as string;
    const { d: _, ...publicKey } = credential.key;
    const { payload, protectedHeader } = await jwtVerify(dpop, await importJWK(publicKey, "ES256"));
    expect(protectedHeader).toMatchObject({ typ: "dpop+jwt", alg: "ES256" });
    expect(protectedHeader.jwk).not.toHaveProperty("d");
    expect(payload).toMatchObject({ htm: "POST", htu: `${service.issuer}/token` });
  });

  test("an ID token says that it is one", async () => {
    const token = (await service.inbound()).reveal();
    await ask(service.source(), createSubjectToken("id_token", token));
    expect(service.asked[0]?.form.get("subject_token_type")).toMatch(/:id_token$/);
  });

  test("two sources have two keys", async () => {
    const subject = await service.inbound();
    const [one, two] = await Promise.all([
      ask(service.source(), subject),
      ask(service.source(), subject),
    ]);
    expect(one?.key.x).not.toBe(two?.key.x);
  });

  test("the token service may demand a nonce of its own", async () => {
    service.mood.demandNonce = true;
    expect(await ask(service.source(), await service.inbound())).toBeDefined();
    expect(service.asked).toHaveLength(2);
    const payload = JSON.parse(
      Buffer.from(service.asked[1]?.dpop.split(".")[1] ?? "", "base64url").toString(),
    ) as unknown;
    expect(payload).toMatchObject({ nonce: "n-1" });
  });

  test("azp alone is enough to say who acts", async () => {
    service.mood.claims = { act: undefined, client_id: undefined, azp: "tickets-server" };
    expect(await ask(service.source(), await service.inbound())).toBeDefined();
  });
});

describe("how the client says who it is", () => {
  test("client_secret_basic, encoded as RFC 6749 says", async () => {
    await ask(service.source(), await service.inbound());
    const pair = Buffer.from(service.asked[0]?.authorization?.slice(6) ?? "", "base64").toString();
    expect(pair).toBe("tickets%2Dserver:s%26cret+%2F%2B");
    expect(service.asked[0]?.form.get("client_secret")).toBeNull();
  });

  test.each([
    ["when told", { secretMethod: "client_secret_post" } as const, {}],
    [
      "when the issuer knows no other",
      {},
      { token_endpoint_auth_methods_supported: ["client_secret_post"] },
    ],
  ])("client_secret_post %s", async (_, options, metadata) => {
    service.mood.metadata = metadata;
    await ask(service.source(options), await service.inbound());
    expect(service.asked[0]?.authorization).toBeUndefined();
    expect(service.asked[0]?.form.get("client_secret")).toBe("s&cret /+");
  });

  test("private_key_jwt", async () => {
    const { privateKey, publicKey } = await generateKeyPair("EdDSA", { extractable: true });
    const clientKey = { ...(await exportJWK(privateKey)), alg: "EdDSA", kid: "c1" };
    const from = exchangedCredentialSource({
      issuer: service.issuer,
      clientId: "tickets-server",
      clientKey,
    });
    expect(await ask(from, await service.inbound())).toBeDefined();
    const assertion = service.asked[0]?.form.get("client_assertion") as string;
    const { payload, protectedHeader } = await jwtVerify(assertion, publicKey);
    expect(protectedHeader).toMatchObject({ kid: "c1" });
    expect(payload).toMatchObject({ iss: "tickets-server", sub: "tickets-server" });
    expect([payload.aud].flat()).toContain(service.issuer);
  });

  test.each<readonly [string, Partial<ExchangeOptions>]>([
    ["an issuer over http beyond loopback", { issuer: "http://idp.example" }],
    ["no way to say who it is", { clientSecret: undefined as unknown as string }],
    ["two ways to say who it is", { clientKey: { kty: "OKP" } }],
  ])("CONFIG_INVALID: %s", (_, more) => {
    expect(() => service.source(more)).toThrowError(
      expect.objectContaining({ code: "CONFIG_INVALID" }) as Error,
    );
  });

  test("CONFIG_INVALID: a key that is none", async () => {
    const from = exchangedCredentialSource({
      issuer: service.issuer,
      clientId: "x",
      clientKey: { kty: "OKP", alg: "EdDSA" },
    });
    expect(await refusal(ask(from, await service.inbound()))).toMatchObject({
      code: "CONFIG_INVALID",
    });
  });
});

describe("nobody to speak for", () => {
  test("outside of a call", async () => {
    expect(await service.source().current(AUDIENCE, new AbortController().signal)).toBeUndefined();
    expect(service.asked).toHaveLength(0);
  });

  test("a human without a token, inside of one with", async () => {
    const from = service.source();
    const outer = await service.inbound();
    expect(await runWithSubject(outer, () => ask(from, undefined))).toBeUndefined();
    expect(service.asked).toHaveLength(0);
  });

  test("a human of another issuer: their token is not shown to this one", async () => {
    expect(
      await ask(service.source(), await service.inbound({ iss: "https://other.example" })),
    ).toBeUndefined();
    expect([service.discovered, service.asked.length]).toEqual([0, 0]);
  });

  test("an issuer that exchanges no tokens", async () => {
    service.mood.metadata = { grant_types_supported: ["authorization_code"] };
    expect(await ask(service.source(), await service.inbound())).toBeUndefined();
    expect(service.asked).toHaveLength(0);
  });

  test("an issuer that says so only when asked", async () => {
    service.mood.status = 400;
    service.mood.raw = JSON.stringify({ error: "unsupported_grant_type" });
    expect(await ask(service.source(), await service.inbound())).toBeUndefined();
  });
});

describe("one exchange for many calls", () => {
  test("kept for the same human and audience, and no other", async () => {
    const from = service.source();
    const ada = await service.inbound();
    const first = await ask(from, ada);
    expect(await ask(from, ada)).toBe(first);
    expect(service.asked).toHaveLength(1);
    expect(service.discovered).toBe(1);
    service.mood.claims = { sub: "bob" };
    expect(await ask(from, await service.inbound({ sub: "bob" }))).not.toBe(first);
    service.mood.claims = { aud: "urn:mcp:other" };
    expect(await ask(from, ada, "urn:mcp:other")).not.toBe(first);
    expect(service.asked).toHaveLength(3);
  });

  test("at the same time: one request, and one that gives up takes nobody with it", async () => {
    const from = service.source();
    const ada = await service.inbound();
    const hasty = new AbortController();
    const first = ask(from, ada, AUDIENCE, hasty.signal);
    const others = [ask(from, ada), ask(from, ada)];
    hasty.abort();
    expect(await refusal(first)).toMatchObject({ code: "CANCELLED" });
    const [one, two] = await Promise.all(others);
    expect(one).toBe(two);
    expect(service.asked).toHaveLength(1);
    expect(await refusal(ask(from, ada, AUDIENCE, AbortSignal.abort()))).toMatchObject({
      code: "CANCELLED",
    });
  });

  test("renewed a minute before it expires", async () => {
    let nowMs = Date.now();
    const from = service.source({ clock: () => nowMs });
    const ada = await service.inbound();
    const first = await ask(from, ada);
    nowMs += 235_000;
    expect(await ask(from, ada)).toBe(first);
    nowMs += 10_000;
    service.mood.claims = { exp: Math.floor(nowMs / 1000) + 300 };
    expect(await ask(from, ada)).not.toBe(first);
  });

  test("a failure is not kept", async () => {
    const from = service.source();
    const ada = await service.inbound();
    service.mood.status = 500;
    await refusal(ask(from, ada));
    service.mood = {};
    expect(await ask(from, ada)).toBeDefined();
  });

  test("the oldest goes when there are too many", async () => {
    const from = service.source({ maxEntries: 2 });
    const [a, b, c] = await Promise.all(["1", "2", "3"].map((jti) => service.inbound({ jti })));
    const first = await ask(from, a);
    await ask(from, b);
    expect(await ask(from, a)).toBe(first);
    await ask(from, c);
    expect(await ask(from, a)).toBe(first);
    expect(service.asked).toHaveLength(3);
    await ask(from, b);
    expect(service.asked).toHaveLength(4);
  });

  test("64 at a time, and the next is told when to come back", async () => {
    service.mood.never = true;
    const from = service.source();
    const subjects = await Promise.all(
      Array.from({ length: 65 }, (_, index) => service.inbound({ jti: String(index) })),
    );
    const gone = new AbortController();
    const waiting = subjects
      .slice(0, 64)
      .map((subject) => ask(from, subject, AUDIENCE, gone.signal));
    expect(await refusal(ask(from, subjects[64]))).toMatchObject({
      code: "UNAVAILABLE",
      retryAfterMs: 1000,
    });
    gone.abort();
    await Promise.allSettled(waiting);
  });
});
