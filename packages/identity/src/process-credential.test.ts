import { rmSync } from "node:fs";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Credential } from "./credential.ts";
import { createDelegation } from "./delegation.ts";
import type { IdentityOptions } from "./identity.ts";
import type { IdentityConfig } from "./identity-config.ts";
import type { IdentityResult } from "./resolver.ts";
import { type TestHelper, testHelper } from "./testing/credential-helper.ts";
import {
  type Binding,
  BINDINGS,
  CLIENT,
  nowSeconds,
  SALT,
  SERVER,
  sha256,
  type TestLogin,
  testLogin,
  testPair,
  URL_AUDIENCE,
} from "./testing/login.ts";

let login: TestLogin;
let helper: TestHelper;

beforeEach(async () => {
  login = await testLogin();
  helper = testHelper();
});

afterEach(async () => {
  helper.remove();
  await login.close();
});

const never = new AbortController().signal;

function resolver(
  options: IdentityOptions = {},
  config: Partial<IdentityConfig> = {},
): (evidence?: object, signal?: AbortSignal) => Promise<IdentityResult> {
  const made = login.identity(
    { env: { PATH: process.env["PATH"] }, ...options },
    { minimum: "token_bound", process: { exec: helper.command }, ...config },
  );
  return (evidence = {}, signal = never) =>
    made.resolve({ transport: "stdio", ...evidence }, signal);
}

const INVALID = { kind: "denied", reason: "identity_invalid" };
const UNAVAILABLE = { kind: "error", reason: "identity_unavailable" };
const ABSENT = { kind: "absent" };

describe("the login of the process", () => {
  test.each(
    BINDINGS.flatMap((binding) => [false, true].map((direct) => [binding, direct] as const)),
  )("bound by %s (direct: %s) is a human, token-bound", async (binding, direct) => {
    const credential = await login.credential(binding, direct);
    helper.gives(credential);
    const result = await resolver()();
    expect(result).toMatchObject({
      kind: "human",
      human: {
        issuer: login.idp.issuer,
        subject: "auth0|5f7c",
        assurance: "token_bound",
        method: "process_token",
        binding: {
          jkt: login.loginKey.jkt,
          tokenSha256: Buffer.from(sha256(credential.token), "base64url").toString("hex"),
        },
      },
      agent: { id: CLIENT },
    });
    if (result.kind !== "human") throw new Error("no human");
    expect(result.human.binding).not.toHaveProperty("jti");
    expect(result.subject?.kind).toBe(binding === "dpop" ? "access_token" : "id_token");
    expect(result.subject?.reveal()).toBe(credential.token);
    expect(JSON.stringify(result) + inspect(result, { depth: 9 })).not.toContain(credential.token);
  });

  test("carries the token's own jti and the time of the login", async () => {
    const credential = await login.credential("id_token_cnf", true);
    const token = await login.token("id_token_cnf", { jti: "token-1", auth_time: 1_790_000_000 });
    helper.gives({ ...credential, token });
    expect(await resolver()()).toMatchObject({
      human: { binding: { jti: "token-1" }, authTime: "2026-09-21T14:13:20.000Z" },
    });
  });

  test("the helper is asked for this server, with the audiences of the issuers as resources, once", async () => {
    helper.gives(await login.credential("dpop"));
    const ask = resolver();
    expect(await ask()).toMatchObject({ kind: "human" });
    expect(await ask()).toMatchObject({ kind: "human" });
    expect(helper.asked()).toEqual([{ audience: SERVER, resources: [URL_AUDIENCE] }]);
  });

  test("nobody is logged in: absent, and the next step is asked", async () => {
    expect(await resolver()()).toEqual(ABSENT);
    const account = { account: () => ({ uid: 1000, shell: "/bin/sh" }) };
    expect(await resolver(account)()).toMatchObject({ human: { assurance: "os_user" } });
  });

  test("stands before what is asserted and the account, and does not fall through to them", async () => {
    const env = { PATH: process.env["PATH"], COUNTERSIGN_ASSERTED_HUMAN: "ada" };
    const others = { env, account: () => ({ uid: 1000, shell: "/bin/sh" }) };
    const config = { minimum: "asserted" as const };
    helper.gives(await login.credential("dpop"));
    expect(await resolver(others, config)()).toMatchObject({
      human: { assurance: "token_bound" },
    });
    helper.does("exit 3");
    expect(await resolver(others, config)()).toEqual(UNAVAILABLE);
    helper.gives({ ...(await login.credential("dpop")), token: "not.a.token" });
    expect(await resolver(others, config)()).toEqual(INVALID);
  });

  test("says nothing over HTTP, and is not asked where the message has evidence of its own", async () => {
    helper.gives(await login.credential("dpop"));
    const ask = resolver();
    expect(await ask({ transport: "http" })).toEqual(ABSENT);
    expect(await ask({ bearer: "not.a.token" })).toEqual(INVALID);
    expect(await ask({ conflictingBearer: true })).toMatchObject({ reason: "identity_conflict" });
    const request = { method: "ping", params: undefined };
    expect(await ask({ proof: null, request })).toEqual(INVALID);
    expect(helper.asked()).toEqual([]);
  });

  test("an abort is the caller's", async () => {
    helper.does("exec sleep 5");
    const leaving = new AbortController();
    const asked = resolver()({}, leaving.signal);
    await vi.waitFor(() => expect(helper.asked()).toHaveLength(1), { timeout: 5000 });
    leaving.abort(new Error("the caller left"));
    await expect(asked).rejects.toThrow("the caller left");
  });
});

test("whoever runs this is told when nobody is logged in or the helper fails, once for each change, and no token", async () => {
  const lines: string[] = [];
  const say =
    (level: string) =>
    (message: string, fields = {}): void =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields)}`);
  const log = { debug: say("debug"), info: say("info"), warn: say("warn"), error: say("error") };
  let nowMs = Date.now();
  const ask = resolver({ log, clock: () => nowMs });
  const later = async (): Promise<void> => {
    for (let call = 0; call < 3; call += 1) {
      nowMs += 1000; // each time the helper is asked again
      await ask();
    }
  };
  await later();
  helper.does("echo eyJ-secret; echo eyJ-secret >&2; exit 3");
  await later();
  rmSync(helper.command[0] as string);
  await later();
  expect(lines).toEqual([
    "warn nobody is logged in: run countersign login {}",
    expect.stringMatching(/^warn the login of this process cannot be had .*exit code 3/) as string,
    expect.stringContaining(`${helper.command[0]} cannot be run (ENOENT)`) as string,
  ]);
  const credential = await login.credential("dpop");
  let broken = false;
  const processSource = {
    current: () =>
      broken ? Promise.reject(new Error(credential.token)) : Promise.resolve(credential),
  };
  const other = resolver({ log, processSource });
  lines.length = 0;
  await other();
  expect(lines).toEqual([]);
  broken = true;
  await other();
  broken = false;
  await other();
  await other();
  expect(lines).toEqual([
    'warn the login of this process cannot be had {"because":"it failed"}',
    "info somebody is logged in {}",
  ]);
});

async function wrong(
  changes: Partial<Credential>,
  binding: Binding = "id_token_cnf",
): Promise<IdentityResult> {
  helper.gives({ ...(await login.credential(binding)), ...changes });
  return resolver()();
}

async function directly(
  claims: object,
  binding: Binding = "id_token_cnf",
): Promise<IdentityResult> {
  const { key, expiresAtMs, salt } = await login.credential(binding, true);
  const token = await login.token(binding, claims as never);
  helper.gives({ key, expiresAtMs, token, ...(salt === undefined ? {} : { salt }) });
  return resolver()();
}

describe("a login that does not hold", () => {
  test("a stolen token without its key", async () => {
    const thief = await testPair();
    expect(await wrong({ key: thief.privateJwk })).toEqual(INVALID);
    const { token, expiresAtMs } = await login.credential("dpop", true);
    helper.gives({ token, expiresAtMs, key: thief.privateJwk });
    expect(await resolver()()).toEqual(INVALID);
  });

  test("the public half of one key with the private half of another", async () => {
    const { privateJwk: other } = await testPair();
    const { key } = await login.credential("dpop", true);
    helper.gives({
      ...(await login.credential("dpop", true)),
      key: { ...key, d: other.d as string },
    });
    expect(await resolver()()).toEqual(INVALID);
    expect(await wrong({ key: { ...login.callKey.privateJwk, d: other.d as string } })).toEqual(
      INVALID,
    );
  });

  test("a delegation for another server, another token, another key, by another key, or over", async () => {
    const { token } = await login.credential("id_token_cnf");
    const terms = {
      audience: SERVER,
      token,
      callKeyThumbprint: login.callKey.jkt,
      nowMs: Date.now(),
      lifetimeMs: 600_000,
    };
    const thief = await testPair();
    const made = (changes: Partial<typeof terms>, key = login.loginKey) =>
      createDelegation(key.privateJwk, { ...terms, ...changes });
    expect(await wrong({ token, delegation: await made({}) })).toMatchObject({ kind: "human" });
    for (const delegation of [
      await made({ audience: "urn:mcp:other" }),
      await made({ token: "other" }),
      await made({ callKeyThumbprint: thief.jkt }),
      await made({}, thief),
      await made({ nowMs: Date.now() - 700_000 }),
      "not.a.jws",
    ]) {
      expect(await wrong({ token, delegation })).toEqual(INVALID);
    }
    helper.gives({ token, key: login.callKey.privateJwk, expiresAtMs: Date.now() + 60_000 });
    expect(await resolver()()).toEqual(INVALID);
  });

  test.each([
    ["expired", () => ({ exp: nowSeconds() - 120 })],
    ["for another client", () => ({ aud: "other-app" })],
    ["for another client as well", () => ({ aud: [CLIENT, "other-app"] })],
    ["of another issuer", () => ({ iss: "https://elsewhere.example" })],
    ["bound to another key", () => ({ cnf: { jkt: sha256("another") } })],
    ["not bound at all", () => ({ cnf: undefined })],
  ])("a token that is %s", async (_, claims) => {
    expect(await directly(claims())).toEqual(INVALID);
  });

  test("a nonce that commits to something else, and a salt that is not ours", async () => {
    expect(await directly({ nonce: "other" }, "nonce")).toEqual(INVALID);
    expect(await wrong({ salt: SALT.toUpperCase() }, "nonce")).toEqual(INVALID);
  });

  test("a machine is no human", async () => {
    expect(await directly({ sub: CLIENT })).toEqual({
      kind: "denied",
      reason: "identity_not_human",
    });
  });

  test("the issuer cannot be asked: an error, not a denial", async () => {
    helper.gives(await login.credential("dpop"));
    login.idp.broken = (_, response) => response.writeHead(503).end();
    expect(await resolver()()).toEqual(UNAVAILABLE);
  });

  test.each(["exit 3", "kill -9 $$", "echo '{}'", "head -c 70000 /dev/zero"])(
    "a helper that does: %s",
    async (script) => {
      helper.does(script);
      expect(await resolver()()).toEqual(UNAVAILABLE);
    },
  );
});

describe("as time passes", () => {
  test("a credential is over when it says so, and so is a token, whatever was good before", async () => {
    const credential = await login.credential("id_token_cnf");
    let nowMs = Date.now();
    const ask = resolver({
      clock: () => nowMs,
      processSource: { current: () => Promise.resolve(credential) },
    });
    expect(await ask()).toMatchObject({ kind: "human" });
    nowMs = credential.expiresAtMs;
    expect(await ask()).toEqual(INVALID);
    const long = { ...credential, expiresAtMs: nowMs + 3_600_000 };
    const askLong = resolver({
      clock: () => nowMs,
      processSource: { current: () => Promise.resolve(long) },
    });
    nowMs = Date.now();
    expect(await askLong()).toMatchObject({ kind: "human" });
    nowMs += 400_000;
    expect(await askLong()).toEqual(INVALID);
  });

  test("the key is proven once for a credential, and again for the next", async () => {
    const first = await login.credential("dpop");
    let given: Credential = first;
    const ask = resolver({ processSource: { current: () => Promise.resolve(given) } });
    expect(await ask()).toMatchObject({ kind: "human" });
    given = { ...first, key: (await testPair()).privateJwk };
    expect(await ask()).toEqual(INVALID);
    given = first;
    expect(await ask()).toMatchObject({ kind: "human" });
  });

  test("a source that rejects with anything at all is unavailable", async () => {
    const ask = resolver({ processSource: { current: () => Promise.reject(new Error("boom")) } });
    expect(await ask()).toEqual(UNAVAILABLE);
  });
});
