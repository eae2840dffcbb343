import { readFile, writeFile } from "node:fs/promises";
import { inspect } from "node:util";
import { EXEC_API_VERSION } from "@countersign/model";
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CANARY, type LoginProvider, raw, refusing } from "../testing/login-provider.ts";
import { LoginScene } from "../testing/login-scene.ts";
import {
  currentLogin,
  type ExecCredential,
  issueCredential,
  type LoginOptions,
  logout,
} from "./index.ts";
import type { StoredLogin } from "./stored-login.ts";

const TICKETS = "urn:mcp:tickets";
const signal = new AbortController().signal;
let scene: LoginScene;
let provider: LoginProvider;
let state: string;
beforeEach(async () => {
  scene = await LoginScene.set();
  ({ provider, state } = scene);
});
afterEach(() => scene.clear());

async function logIn(options: Partial<LoginOptions> = {}): Promise<void> {
  await scene.logIn(options);
  provider.asked.length = 0;
}

function ask(audience = TICKETS, resources: readonly string[] = []) {
  return issueCredential({ audience, resources, stateDirectory: state, timeoutMs: 2000 }, signal);
}

const file = (): string => scene.file;
const stored = async (): Promise<StoredLogin> =>
  JSON.parse(await readFile(file(), "utf8")) as StoredLogin;
const change = async (members: Partial<StoredLogin>): Promise<void> =>
  writeFile(file(), JSON.stringify({ ...(await stored()), ...members }));

/** The claims of the token, and what is left of the login's secrets in the answer: nothing. */
async function tokenOf(credential: ExecCredential | undefined) {
  expect(credential).toBeDefined();
  const { key, refreshToken } = await stored();
  const text = JSON.stringify(credential);
  expect(text).not.toContain(key.kind === "file" ? key.jwk.d : "no key in the file");
  expect(text).not.toContain(refreshToken ?? "no refresh token");
  return decodeJwt(credential?.status.token ?? "");
}

const EXPIRED = { expiresAtMs: 1 };

test("nobody is logged in", async () => {
  expect(await ask()).toBeUndefined();
  expect(await currentLogin({ stateDirectory: state })).toBeUndefined();
  expect(await logout({ stateDirectory: state }, signal)).toBeUndefined();
});

test("an access token for the audience, a fresh call key, and the login key's word for it", async () => {
  await logIn({ audiences: [TICKETS] });
  const credential = await ask();
  expect(await tokenOf(credential)).toMatchObject({ aud: TICKETS, sub: "alice" });
  expect(provider.asked).toHaveLength(0);
  const { apiVersion, kind, status } = credential as ExecCredential;
  expect([apiVersion, kind]).toEqual([EXEC_API_VERSION, "ExecCredential"]);
  expect(Object.keys(status).toSorted()).toEqual([
    "delegation",
    "expirationTimestamp",
    "key",
    "token",
  ]);
  const terms = decodeJwt<{ cnf: { jkt: string } }>(status.delegation);
  expect(terms.aud).toBe(TICKETS);
  expect(terms.cnf.jkt).toBe(await calculateJwkThumbprint(status.key));
  expect((terms.exp ?? 0) - (terms.iat ?? 0)).toBeLessThanOrEqual(600);
  expect(Date.parse(status.expirationTimestamp)).toBe((terms.exp ?? 0) * 1000);
  const { jwk = {} } = decodeProtectedHeader(status.delegation);
  expect(await calculateJwkThumbprint(jwk)).toBe((await stored()).jkt);
  const again = await ask();
  expect(again?.status.key.d).not.toBe(status.key.d);
});

test("a call key signs for ten minutes at most, however long the token lives", async () => {
  provider.odd = { tokenSeconds: 86_400 };
  await logIn({ audiences: [TICKETS] });
  const { exp = 0, iat = 0 } = decodeJwt((await ask())?.status.delegation ?? "");
  expect(exp - iat).toBe(600);
});

test("a resource that the login did not name is asked for by a refresh, and kept", async () => {
  await logIn();
  const url = "https://tickets.example/mcp";
  expect(await tokenOf(await ask(TICKETS, [url]))).toMatchObject({ aud: url });
  expect(await tokenOf(await ask(TICKETS, [url]))).toMatchObject({ aud: url });
  expect(provider.asked.map(({ form }) => form.get("resource"))).toEqual([url]);
  expect(provider.asked[0]?.hasDpop).toBe(true);
});

test.each(["invalid_target", "invalid_request", "invalid_scope"])(
  "%s for a resource: the ID token with its salt, and the resource is not asked for again",
  async (error) => {
    await logIn();
    provider.odd = { errorFor: { [TICKETS]: error } };
    const credential = await ask();
    expect(await tokenOf(credential)).toMatchObject({ aud: "cli", sub: "alice" });
    expect(credential?.status.salt).toBe((await stored()).salt);
    await ask();
    expect(provider.asked).toHaveLength(1);
  },
);

test("a provider that knows no resources gives what it gives; what does not fit is not used", async () => {
  await logIn();
  provider.odd = { audience: "account" };
  expect(await tokenOf(await ask())).toMatchObject({ aud: "cli" });
  expect(await tokenOf(await ask("account"))).toMatchObject({ aud: "account" });
  expect(provider.asked).toHaveLength(1);
});

test.each([
  ["of another key", { cnf: { jkt: "x" } }],
  ["of no key", { cnf: undefined }],
  ["of another issuer", { iss: "https://evil.example" }],
  ["of somebody else", { sub: "bob" }],
  ["without an end", { exp: undefined }],
  ["too large to travel", { blob: "x".repeat(13_000) }],
])("an access token %s is not used", async (_name, accessToken) => {
  await logIn();
  provider.odd = { accessToken };
  expect(await tokenOf(await ask())).toMatchObject({ aud: "cli" });
  expect((await stored()).accessTokens).not.toContainEqual(
    expect.objectContaining({ audiences: [TICKETS] }),
  );
});

test("without DPoP: the ID token, and no refresh before it ends", async () => {
  provider.odd = { metadata: { dpop_signing_alg_values_supported: undefined } };
  await logIn();
  expect(await tokenOf(await ask())).toMatchObject({ aud: "cli" });
  expect(provider.asked).toHaveLength(0);
  const { idToken } = await stored();
  await change({ idToken: { ...(idToken as NonNullable<typeof idToken>), ...EXPIRED } });
  expect(await tokenOf(await ask())).toMatchObject({ aud: "cli" });
  expect(provider.asked).toHaveLength(1);
});

test("a key in the ID token counts before its nonce, and then there is no salt", async () => {
  provider.odd = { metadata: { dpop_signing_alg_values_supported: undefined } };
  await logIn();
  const { jkt } = await stored();
  provider.odd = { ...provider.odd, idToken: { cnf: { jkt } } };
  await change({ idToken: { token: "x", binding: "nonce", ...EXPIRED } });
  const credential = await ask();
  expect(await tokenOf(credential)).toMatchObject({ cnf: { jkt } });
  expect(credential?.status.salt).toBeUndefined();
  expect(await currentLogin({ stateDirectory: state })).toMatchObject({ binding: "id_token_cnf" });
});

test("tokens that live for less than a minute are renewed every time, once", async () => {
  provider.odd = { tokenSeconds: 20 };
  await logIn({ audiences: [TICKETS] });
  expect(await tokenOf(await ask())).toMatchObject({ aud: TICKETS });
  expect(provider.asked).toHaveLength(1);
  await ask();
  expect(provider.asked).toHaveLength(2);
});

test("two that renew at the same time redeem one refresh token", async () => {
  await logIn();
  const credentials = await Promise.all([ask(), ask(), ask(), ask()]);
  for (const one of credentials) expect(await tokenOf(one)).toMatchObject({ aud: TICKETS });
  expect(provider.asked).toHaveLength(1);
});

async function expire(): Promise<void> {
  const { idToken } = await stored();
  await change({
    accessTokens: [],
    idToken: { ...(idToken as NonNullable<typeof idToken>), ...EXPIRED },
  });
}

describe("when the login cannot be renewed", () => {
  test("a refused refresh token ends it, and is not tried again", async () => {
    await logIn();
    await expire();
    await change({ refreshToken: `${CANARY}-of-old` });
    expect(await ask()).toBeUndefined();
    expect(await ask()).toBeUndefined();
    expect(provider.asked).toHaveLength(1);
    expect(await currentLogin({ stateDirectory: state })).toMatchObject({
      ended: true,
      binding: "none",
    });
  });

  test.each([
    ["silence", { paths: { "/token": () => {} } }],
    ["overload", { error: { status: 503, error: "temporarily_unavailable" } }],
    ["an answer for somebody else", { idToken: { sub: "bob" } }],
    ["an answer to another request", { idToken: { nonce: "other" } }],
  ])("%s is not the end, and nothing is printed", async (_name, odd) => {
    await logIn();
    await expire();
    provider.odd = odd;
    const error: unknown = await ask().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: expect.stringMatching(/UNAVAILABLE|REJECTED/) as string });
    expect(inspect(error, { depth: 9 })).not.toContain(CANARY);
    expect(await currentLogin({ stateDirectory: state })).toMatchObject({ ended: false });
  });

  test("a provider that is away stops nobody whose token is still good", async () => {
    await logIn();
    provider.odd = { error: { status: 503, error: "x" } };
    expect(await tokenOf(await ask())).toMatchObject({ aud: "cli" });
  });

  test("a new ID token without nonce does not replace the bound one", async () => {
    await logIn();
    const { idToken } = await stored();
    provider.odd = { idToken: { nonce: undefined } };
    await ask();
    expect((await stored()).idToken).toEqual(idToken);
  });
});

describe("logout", () => {
  test("revokes what there is, and leaves nothing", async () => {
    await logIn({ audiences: [TICKETS] });
    const { refreshToken, accessTokens } = await stored();
    expect(await logout({ stateDirectory: state }, signal)).toMatchObject({
      revoked: true,
      subject: "alice",
      tokensEndAt: expect.any(String) as string,
    });
    expect(provider.revoked).toEqual([refreshToken, accessTokens[0]?.token]);
    await expect(readFile(file())).rejects.toMatchObject({ code: "ENOENT" });
    expect(await ask()).toBeUndefined();
  });

  test.each([
    ["no_revocation", { metadata: { revocation_endpoint: undefined } }],
    ["refused", { paths: { "/revoke": refusing(400, "invalid_client") } }],
    ["unavailable", { paths: { "/.well-known/openid-configuration": raw("<html>") } }],
  ])("%s: leaves nothing either", async (problem, odd) => {
    await logIn();
    provider.odd = odd as LoginProvider["odd"];
    const result = await logout({ stateDirectory: state }, signal);
    expect(result).toMatchObject({ revoked: false, problem });
    await expect(readFile(file())).rejects.toMatchObject({ code: "ENOENT" });
  });
});

test("a login file that is damaged is said to be, and none of it is quoted", async () => {
  await logIn();
  for (const text of ["", "[]", `{"version":1,"${CANARY}":1}`, `{"version":2}`]) {
    await writeFile(file(), text);
    const error: unknown = await ask().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "CONFIG_INVALID" });
    expect(inspect(error, { depth: 9 })).not.toContain(CANARY);
  }
});
