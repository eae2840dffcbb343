import { chmod, mkdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { base64url, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { testKey } from "../testing/issuer.ts";
import { CANARY, type LoginProvider, raw, redirecting } from "../testing/login-provider.ts";
import { browse, LoginScene, never } from "../testing/login-scene.ts";
import { currentLogin } from "./index.ts";

let scene: LoginScene;
let provider: LoginProvider;
let state: string;
const logIn: LoginScene["logIn"] = (...args) => scene.logIn(...args);
const failure: LoginScene["failure"] = (work) => scene.failure(work);
beforeEach(async () => {
  scene = await LoginScene.set();
  ({ provider, state } = scene);
});
afterEach(() => scene.clear());

test("a login by browser is kept, bound by DPoP and by nonce", async () => {
  const summary = await logIn({ audiences: ["urn:mcp:a", "urn:mcp:b"] });
  expect(summary).toMatchObject({
    issuer: provider.issuer,
    subject: "alice",
    binding: "dpop",
    audiences: ["urn:mcp:a", "urn:mcp:b"],
    renewable: true,
    ended: false,
    key: { place: "file" },
  });
  expect(await currentLogin({ stateDirectory: state })).toEqual(summary);
  const [asked] = provider.asked;
  expect(asked?.hasDpop).toBe(true);
  expect(asked?.form.get("resource")).toBe("urn:mcp:a");
  expect(asked?.form.get("code_verifier")).toMatch(/^[\w-]{43}$/);
  expect((await stat(join(state, "login"))).mode & 0o777).toBe(0o700);
  expect((await stat(join(state, "login", "login.json"))).mode & 0o777).toBe(0o600);
});

test("the authorization request asks for no more than who it is, with PKCE, state, and a commitment", async () => {
  let asked = new URLSearchParams();
  provider.odd = { metadata: { scopes_supported: ["openid", "email", "offline_access"] } };
  await logIn({ audiences: ["urn:mcp:a"] }, (url) => {
    asked = new URL(url).searchParams;
    return browse(url);
  });
  expect(Object.fromEntries(asked)).toMatchObject({
    response_type: "code",
    scope: "openid offline_access",
    prompt: "consent",
    code_challenge_method: "S256",
    resource: "urn:mcp:a",
    redirect_uri: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/callback$/) as string,
    nonce: expect.stringMatching(/^[\w-]{43}$/) as string,
    dpop_jkt: expect.stringMatching(/^[\w-]{43}$/) as string,
  });
});

test("without DPoP the nonce is the binding", async () => {
  provider.odd = { metadata: { dpop_signing_alg_values_supported: undefined } };
  expect(await logIn()).toMatchObject({ binding: "nonce" });
  expect(provider.asked[0]?.hasDpop).toBe(false);
});

test("a provider that announces offline_access and then refuses it is asked again without", async () => {
  const metadata = { scopes_supported: ["openid", "offline_access"] };
  const scopes: (string | null)[] = [];
  for (const odd of [
    { error: { status: 400, error: "not_allowed" } },
    { redirect: { code: undefined, error: "invalid_scope" } },
  ]) {
    scopes.length = 0;
    provider.odd = { metadata };
    const { subject } = await logIn({}, (url) => {
      const scope = new URL(url).searchParams.get("scope");
      scopes.push(scope);
      provider.odd = scope === "openid" ? { metadata } : { metadata, ...odd };
      return browse(url);
    });
    expect(subject).toBe("alice");
    expect(scopes).toEqual(["openid offline_access", "openid"]);
  }
});

describe("an answer that is not to be believed", () => {
  test.each([
    ["another nonce", { nonce: "other" }, /nonce/],
    ["no nonce", { nonce: undefined }, /verify/],
    ["another audience", { aud: "other-app" }, /aud/],
    ["another audience beside ours", { aud: ["cli", "other-app"], azp: "other-app" }, /azp/],
    ["another issuer", { iss: "https://evil.example" }, /iss/],
    ["no subject", { sub: undefined }, /verify/],
    ["an expiry long ago", { exp: 1_000_000_000 }, /expired/],
    ["the client as its subject", { sub: "cli" }, /not of a human/],
    ["another key in cnf and no other binding", { cnf: { jkt: "x" } }, /ties no token/],
  ])("an ID token with %s", async (_name, idToken, why) => {
    provider.odd = { idToken, metadata: { dpop_signing_alg_values_supported: undefined } };
    const { code, message } = await failure(logIn());
    expect(code).toBe("REJECTED");
    expect(message).toMatch(why);
  });

  test("an ID token signed with another key, with HMAC, or not at all", async () => {
    const stranger = await testKey("login", "ES256");
    const forgers: NonNullable<LoginProvider["odd"]["sign"]>[] = [
      (claims) =>
        new SignJWT(claims)
          .setProtectedHeader({ alg: "ES256", kid: "login" })
          .sign(stranger.privateKey),
      (claims) =>
        new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new Uint8Array(32).fill(7)),
      (claims) =>
        Promise.resolve(
          `${base64url.encode('{"alg":"none"}')}.${base64url.encode(JSON.stringify(claims))}.`,
        ),
    ];
    for (const sign of forgers) {
      provider.odd = { sign };
      expect((await failure(logIn())).code).toBe("REJECTED");
    }
  });

  test.each([
    ["another iss in the redirect", { redirect: { iss: "https://evil.example" } }, "REJECTED"],
    ["no iss, though announced", { redirect: { iss: undefined } }, "REJECTED"],
    ["no code", { redirect: { code: undefined } }, "REJECTED"],
    ["a refusal", { redirect: { code: undefined, error: "access_denied" } }, "REJECTED"],
    ["a refusal in its own words", { redirect: { error: `${CANARY}_error` } }, "REJECTED"],
    ["a token that is no DPoP token of ours", { answer: { token_type: "N_A" } }, "REJECTED"],
    ["no ID token", { answer: { id_token: undefined } }, "REJECTED"],
    [
      "an error at the token endpoint",
      { error: { status: 400, error: "invalid_grant" } },
      "REJECTED",
    ],
    ["an error of its own there", { error: { status: 400, error: CANARY } }, "REJECTED"],
    ["overload", { error: { status: 503, error: "invalid_grant" } }, "UNAVAILABLE"],
    ["too many requests", { error: { status: 429, error: "invalid_grant" } }, "UNAVAILABLE"],
    [
      "another issuer in discovery",
      { metadata: { issuer: "https://evil.example" } },
      "CONFIG_INVALID",
    ],
    [
      "a token endpoint in clear text",
      { metadata: { token_endpoint: "http://idp.example/" } },
      "UNAVAILABLE",
    ],
    ["no keys", { metadata: { jwks_uri: undefined } }, "UNAVAILABLE"],
  ])("%s", async (_name, odd, code) => {
    provider.odd = odd;
    expect((await failure(logIn())).code).toBe(code);
  });

  test.each(["/.well-known/openid-configuration", "/token", "/keys"])(
    "HTML, 10 MB, a redirect or silence at %s",
    async (path) => {
      const html = raw(`<html>${CANARY}</html>`, "text/html");
      const huge = raw(Buffer.alloc(10_000_000, 0x20));
      provider.odd = { paths: { [path]: html } };
      expect((await failure(logIn())).code).toMatch(/UNAVAILABLE|REJECTED/);
      provider.odd = { paths: { [path]: huge } };
      expect((await failure(logIn())).message).toContain("larger than");
      provider.odd = { paths: { [path]: redirecting(`${provider.issuer}/${CANARY}`) } };
      expect((await failure(logIn())).code).toBe("UNAVAILABLE");
      provider.odd = { paths: { [path]: () => {} } };
      expect((await failure(logIn({ timeoutMs: 300 }))).code).toBe("CANCELLED");
    },
  );
});

test("a provider that is not there is named, and nothing else of what was asked", async () => {
  await provider.stop();
  const { code, message } = await failure(logIn({}, never));
  expect([code, message]).toEqual([
    "UNAVAILABLE",
    `identity/login: the identity provider cannot be asked: no answer from ${new URL(provider.issuer).origin}`,
  ]);
});

test.each([
  ["token_endpoint", "http://idp.example/token"],
  ["jwks_uri", "http://idp.example/keys"],
  ["authorization_endpoint", "javascript:alert(1)"],
  ["revocation_endpoint", "https://user:password@idp.example/"],
  ["device_authorization_endpoint", 7],
])("a discovery document whose %s is %s is refused as a whole", async (name, url) => {
  provider.odd = { metadata: { [name]: url } };
  const { code, message } = await failure(logIn({}, never));
  expect([code, message]).toEqual(["UNAVAILABLE", expect.stringContaining(`usable ${name}`)]);
});

test.each(["?", "?tenant=a", "#", "#a", "/?a=b#c"])(
  "an issuer that ends in %s is refused before anybody is asked, with what to give",
  async (end) => {
    const issuer = provider.issuer + end;
    const fetched: unknown[] = [];
    const asking: typeof fetch = (...args) => {
      fetched.push(args[0]);
      return fetch(...args);
    };
    expect(await failure(logIn({ issuer, fetch: asking }, never))).toEqual({
      code: "CONFIG_INVALID",
      message: expect.stringMatching(/query or a fragment.*only the part before/) as string,
    });
    expect(fetched).toEqual([]);
  },
);

test("issuers in clear text are refused unless they are this machine", async () => {
  const issuer = "http://idp.example";
  expect((await failure(logIn({ issuer }))).code).toBe("CONFIG_INVALID");
  expect((await failure(logIn({ audiences: ["not a uri"] }))).code).toBe("INPUT_INVALID");
  expect((await failure(logIn({ audiences: ["urn:a#b"] }))).code).toBe("INPUT_INVALID");
});

/** A GET with headers of one's own. */
function knock(url: string, host: string, method = "GET"): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest(url, { method, headers: { host } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    });
    sent.on("error", reject).end();
  });
}

test("strangers at the callback change nothing, and see nothing", async () => {
  const summary = await logIn({}, async (url) => {
    const { searchParams } = new URL(url);
    const callback = searchParams.get("redirect_uri") ?? "";
    const { host } = new URL(callback);
    const right = `${callback}?code=x&state=${searchParams.get("state")}`;
    const wrong = await fetch(`${callback}?code=${CANARY}&state=wrong&error=x`);
    expect(wrong.status).toBe(404);
    expect(await wrong.text()).not.toContain(CANARY);
    expect(wrong.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect((await fetch(`${callback}?code=x`)).status).toBe(404);
    expect((await fetch(`${callback}?state=a&state=${searchParams.get("state")}`)).status).toBe(
      404,
    );
    expect(await knock(right, host, "POST")).toBe(404);
    expect(await knock(right, "evil.example")).toBe(404); // DNS rebinding
    expect(await knock(right.replace("/callback", "/"), host)).toBe(404);
    await browse(url);
  });
  expect(summary.subject).toBe("alice");
});

test("the answer counts once, and its page shows nothing of it", async () => {
  const pages: Response[] = [];
  provider.odd = { paths: { "/token": () => {} } }; // so that the listener is still there for the second
  const timeout = new AbortController();
  const work = logIn(
    {},
    async (url) => {
      const callback = (await fetch(url, { redirect: "manual" })).headers.get("location") ?? "";
      // Both at once: the listener closes with the first.
      const all = await Promise.allSettled([fetch(callback), fetch(callback)]);
      for (const one of all) if (one.status === "fulfilled") pages.push(one.value);
      timeout.abort();
    },
    timeout.signal,
  );
  expect((await failure(work)).code).toBe("CANCELLED");
  const [page] = pages.filter(({ status }) => status === 200);
  expect(pages.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(await page?.text()).not.toContain(CANARY);
  expect(page?.headers.get("content-security-policy")).toMatch(
    /^default-src 'none'; style-src 'sha256-/,
  );
  expect(page?.headers.get("referrer-policy")).toBe("no-referrer");
});

test("a login that is interrupted or fails leaves the one before", async () => {
  const first = await logIn();
  const file = join(state, "login", "login.json");
  const before = await readFile(file, "utf8");
  const interrupt = new AbortController();
  await expect(logIn({}, () => interrupt.abort(), interrupt.signal)).rejects.toMatchObject({
    code: "CANCELLED",
  });
  provider.odd = { idToken: { nonce: "other" } };
  await expect(logIn()).rejects.toMatchObject({ code: "REJECTED" });
  expect(await readFile(file, "utf8")).toBe(before);
  expect(await currentLogin({ stateDirectory: state })).toEqual(first);
  provider.odd = {
    idToken: { sub: "bob" },
    metadata: { dpop_signing_alg_values_supported: undefined },
  };
  expect((await logIn()).subject).toBe("bob");
  expect((await currentLogin({ stateDirectory: state }))?.subject).toBe("bob");
});

test("a store that others could use is refused before anybody logs in", async () => {
  const directory = join(state, "login");
  const refused = { code: "CONFIG_INVALID" };
  await mkdir(directory, { mode: 0o755 });
  await chmod(directory, 0o755);
  await expect(logIn({}, never)).rejects.toMatchObject({
    ...refused,
    message: `identity/login: ${directory} is not used: others may use it; chmod 700 it, or remove it and log in again`,
  });
  await chmod(directory, 0o700);
  const file = join(directory, "login.json");
  await writeFile(file, "{}", { mode: 0o644 });
  await expect(logIn({}, never)).rejects.toMatchObject(refused);
  await rm(file);
  await writeFile(join(state, "elsewhere"), "{}", { mode: 0o600 });
  await symlink(join(state, "elsewhere"), file);
  await expect(logIn({}, never)).rejects.toMatchObject(refused);
  await rm(directory, { recursive: true });
  await mkdir(join(state, "real"), { mode: 0o700 });
  await symlink(join(state, "real"), directory);
  await expect(logIn({}, never)).rejects.toMatchObject(refused);
});

test("a token with personal claims is kept, and named", async () => {
  provider.odd = { idToken: { email: `${CANARY}@shop.example`, name: CANARY } };
  const summary = await logIn();
  expect(summary.personalClaims).toEqual(["email", "name"]);
  expect(JSON.stringify(summary)).not.toContain(CANARY);
});

test("signed calls are promised only where a token may travel with them", async () => {
  const personal = { email: `${CANARY}@shop.example` };
  provider.odd = { idToken: personal };
  const some = await logIn({ audiences: ["urn:mcp:a"] });
  expect(some).toMatchObject({ binding: "dpop", personalClaims: ["email"] });
  expect(some.assurance).toEqual({ process: "token_bound", agent: "call_bound" });
  provider.odd = { idToken: personal, accessToken: personal };
  const all = await logIn({ audiences: ["urn:mcp:a"] });
  expect(all.assurance).toEqual({ process: "token_bound" });
  expect((await currentLogin({ stateDirectory: state }))?.assurance).toEqual(all.assurance);
});
