/** The demonstration's identity provider does what the product's tests rely on, seen by a client that knows only the RFCs. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { DEMO_USERS, type RunningIdp, signIn, startIdp } from "@countersign/demo/idp";
import {
  calculateJwkThumbprint,
  createRemoteJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  type JWTPayload,
  jwtVerify,
} from "jose";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  authorizationRequest,
  makeProofKey,
  type ProofKey,
  REDIRECT_URI,
  requestToken,
  type TokenAnswer,
} from "./fixtures/idp/oauth-client.ts";

const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";
const TYPES = "urn:ietf:params:oauth:token-type:";
const TICKETS = "urn:mcp:tickets";

let idp: RunningIdp;
let key: ProofKey;

beforeAll(async () => {
  idp = await startIdp();
  key = await makeProofKey();
});
afterAll(() => idp.stop());

interface Login {
  readonly answer: TokenAnswer;
  readonly redirect: URL;
}

/** The whole code flow for one human, with DPoP. */
async function logIn(
  user: string,
  parameters: Record<string, string | readonly string[]> = {},
  at: RunningIdp = idp,
): Promise<Login> {
  const { url, verifier } = authorizationRequest(at.issuer, parameters);
  const options = { issuer: at.issuer, authorizationUrl: url, user, follow: false };
  const { redirectUrl = "" } = await signIn(options);
  const redirect = new URL(redirectUrl);
  const fields = {
    grant_type: "authorization_code",
    client_id: "countersign-cli",
    redirect_uri: REDIRECT_URI,
    code: redirect.searchParams.get("code") ?? "",
    code_verifier: verifier,
  };
  return { answer: await requestToken(at.issuer, fields, { key }), redirect };
}

function refresh(token: string | undefined, more: Record<string, string> = {}, with_ = key) {
  const fields = { grant_type: "refresh_token", client_id: "countersign-cli", ...more };
  return requestToken(idp.issuer, { ...fields, refresh_token: token ?? "" }, { key: with_ });
}

/** Verifies by the published keys and returns the claims. */
async function verified(
  token: string | undefined,
  audience: string,
  at = idp,
): Promise<JWTPayload> {
  const keys = createRemoteJWKSet(new URL("/jwks", at.issuer));
  const { payload } = await jwtVerify(token ?? "", keys, { issuer: at.issuer, audience });
  return payload;
}

test("a code flow gives an ID token with the nonce, and names the issuer in the redirect", async () => {
  const { answer, redirect } = await logIn("alice", { nonce: "n-0S6_WzA2Mj" });
  expect(redirect.origin).toBe("http://127.0.0.1:45678");
  expect(redirect.searchParams.get("iss")).toBe(idp.issuer);
  expect(redirect.searchParams.get("state")).not.toBeNull();
  const claims = await verified(answer.id_token, "countersign-cli");
  expect(claims).toMatchObject({
    sub: "alice",
    nonce: "n-0S6_WzA2Mj",
    auth_time: expect.any(Number),
  });
  expect(Object.keys(claims)).not.toContain("email");
  expect(Object.keys(claims)).not.toContain("cnf");
});

test("scopes put names into the ID token, as with many a provider", async () => {
  const { answer } = await logIn("alice", { scope: "openid email profile" });
  const claims = await verified(answer.id_token, "countersign-cli");
  expect(claims).toMatchObject({ email: "alice@shop.example", name: "Alice Example" });
});

test.each([
  ["without a challenge", { code_challenge: "", code_challenge_method: "" }],
  ["with a plain challenge", { code_challenge_method: "plain" }],
])("a request %s is refused: PKCE is required", async (_name, parameters) => {
  const { url } = authorizationRequest(idp.issuer, parameters);
  const response = await fetch(url, { redirect: "manual" });
  const location = new URL(response.headers.get("location") ?? "about:blank");
  expect(location.searchParams.get("error")).toBe("invalid_request");
});

test("another verifier does not redeem the code", async () => {
  const { url } = authorizationRequest(idp.issuer);
  const options = { issuer: idp.issuer, authorizationUrl: url, user: "alice", follow: false };
  const { redirectUrl = "" } = await signIn(options);
  const fields = {
    grant_type: "authorization_code",
    client_id: "countersign-cli",
    redirect_uri: REDIRECT_URI,
    code: new URL(redirectUrl).searchParams.get("code") ?? "",
    code_verifier: "x".repeat(43),
  };
  expect(await requestToken(idp.issuer, fields)).toMatchObject({ error: "invalid_grant" });
});

test("a wrong password opens nothing", async () => {
  const { url } = authorizationRequest(idp.issuer);
  const user = { login: "alice", password: "guess" };
  await expect(
    signIn({ issuer: idp.issuer, authorizationUrl: url, user, follow: false }),
  ).rejects.toThrow("refused login and password");
});

test("the redirect goes to no other host and no other path", async () => {
  for (const redirect_uri of ["https://elsewhere.example/callback", "http://127.0.0.1:1/other"]) {
    const { url } = authorizationRequest(idp.issuer, { redirect_uri });
    const response = await fetch(url, { redirect: "manual" });
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toContain("text/html");
    expect(await response.text()).toContain("invalid_redirect_uri");
  }
});

test("a resource gives an access token for that audience, bound to the key of the proof", async () => {
  const { answer } = await logIn("bob", { resource: TICKETS });
  expect(answer).toMatchObject({ status: 200, token_type: "DPoP" });
  const claims = await verified(answer.access_token, TICKETS);
  expect(claims).toMatchObject({
    sub: "bob",
    client_id: "countersign-cli",
    auth_time: decodeJwt(answer.id_token ?? "")["auth_time"],
  });
  expect(claims["cnf"]).toEqual({ jkt: await calculateJwkThumbprint(key.jwk) });
  expect(decodeProtectedHeader(answer.access_token ?? "")).toMatchObject({
    typ: "at+jwt",
    alg: "ES256",
  });
});

test("of several resources none is chosen for the client; each can be had by refresh", async () => {
  const resources = [TICKETS, "urn:mcp:files"];
  const { answer } = await logIn("bob", { resource: resources });
  expect(answer.status).toBe(200);
  await verified(answer.id_token, "countersign-cli");
  for (const resource of resources) {
    const { access_token } = await refresh(answer.refresh_token, { resource });
    await verified(access_token, resource);
  }
});

test("refresh: another audience for the same key, nothing for another key", async () => {
  const { answer } = await logIn("alice");
  const resource = "http://127.0.0.1:8931/mcp";
  const refreshed = await refresh(answer.refresh_token, { resource });
  expect(await verified(refreshed.access_token, resource)).toMatchObject({
    sub: "alice",
    auth_time: expect.any(Number),
    cnf: { jkt: await calculateJwkThumbprint(key.jwk) },
  });
  const unknown = await refresh(answer.refresh_token, { resource: "https://bank.example/api" });
  expect(unknown).toMatchObject({ status: 400, error: "invalid_target" });
  const stolen = await refresh(answer.refresh_token, {}, await makeProofKey());
  expect(stolen).toMatchObject({ status: 400, error: "invalid_grant" });
});

test("a revoked refresh token refreshes nothing", async () => {
  const { answer } = await logIn("alice");
  const body = new URLSearchParams({
    client_id: "countersign-cli",
    token: answer.refresh_token ?? "",
  });
  const revoked = await fetch(`${idp.issuer}/token/revocation`, { method: "POST", body });
  expect(revoked.status).toBe(200);
  expect(await refresh(answer.refresh_token)).toMatchObject({ error: "invalid_grant" });
});

test("device flow: the human confirms the code, then the device has its tokens", async () => {
  const started = await fetch(`${idp.issuer}/device/auth`, {
    method: "POST",
    body: new URLSearchParams({ client_id: "countersign-cli", scope: "openid", nonce: "n-device" }),
  });
  const device = (await started.json()) as Record<string, string>;
  const poll = () =>
    requestToken(
      idp.issuer,
      {
        grant_type: "urn:ietf:params:oauth:grant-type:device_code",
        client_id: "countersign-cli",
        device_code: device["device_code"] ?? "",
      },
      { key },
    );
  expect(await poll()).toMatchObject({ error: "authorization_pending" });
  const authorizationUrl = device["verification_uri_complete"] ?? "";
  expect(await signIn({ issuer: idp.issuer, authorizationUrl, user: "bob" })).toEqual({});
  const claims = await verified((await poll()).id_token, "countersign-cli");
  expect(claims.sub).toBe("bob");
  expect(claims["nonce"]).toBeUndefined(); // oidc-provider keeps none in the device flow; Keycloak does
});

function exchange(subject: string | undefined, client: string, more: Record<string, string> = {}) {
  const fields = {
    grant_type: EXCHANGE,
    subject_token: subject ?? "",
    subject_token_type: `${TYPES}access_token`,
    ...more,
  };
  return (with_: ProofKey | undefined) =>
    requestToken(idp.issuer, fields, {
      basic: `${client}:${client}-secret`,
      ...(with_ === undefined ? {} : { key: with_ }),
    });
}

test("token exchange: the human stays, the actors nest, the key is the exchanging server's", async () => {
  const { answer } = await logIn("alice", { resource: TICKETS });
  const [first, second] = [await makeProofKey(), await makeProofKey()];
  const one = await exchange(answer.access_token, "tickets-server", {
    audience: "urn:mcp:billing",
  })(first);
  expect(one).toMatchObject({ token_type: "DPoP", issued_token_type: `${TYPES}access_token` });
  const claims = await verified(one.access_token, "urn:mcp:billing");
  expect(claims).toMatchObject({ sub: "alice", client_id: "tickets-server" });
  expect(claims["act"]).toEqual({ sub: "tickets-server" });
  expect(claims["auth_time"]).toBe(decodeJwt(answer.id_token ?? "")["auth_time"]);
  expect(claims["cnf"]).toEqual({ jkt: await calculateJwkThumbprint(first.jwk) });
  const two = await exchange(one.access_token, "billing-server", { resource: "urn:mcp:ledger" })(
    second,
  );
  const third = await verified(two.access_token, "urn:mcp:ledger");
  expect(third["sub"]).toBe("alice");
  expect(third["act"]).toEqual({ sub: "billing-server", act: { sub: "tickets-server" } });
  expect(third.exp).toBeLessThanOrEqual(decodeJwt(answer.access_token ?? "").exp ?? 0);
});

test("token exchange takes an ID token of the login too", async () => {
  const { answer } = await logIn("bob");
  const more = { audience: "urn:mcp:billing", subject_token_type: `${TYPES}id_token` };
  const got = await exchange(answer.id_token, "tickets-server", more)(key);
  expect(await verified(got.access_token, "urn:mcp:billing")).toMatchObject({ sub: "bob" });
});

test("token exchange refuses what it must", async () => {
  const { answer } = await logIn("alice", { resource: TICKETS });
  const token = answer.access_token;
  const to = { audience: "urn:mcp:billing" };
  const robot = await requestToken(
    idp.issuer,
    { grant_type: "client_credentials", resource: TICKETS },
    { basic: "nightly-job:nightly-job-secret" },
  );
  const refusals = [
    await exchange(`${token?.slice(0, -8)}AAAAAAAA`, "tickets-server", to)(key),
    await exchange(robot.access_token, "tickets-server", to)(key),
    await exchange(answer.id_token, "tickets-server", to)(key),
    await exchange(token, "tickets-server", { audience: "https://bank.example/api" })(key),
    await exchange(token, "tickets-server", { ...to, actor_token: token ?? "" })(key),
    await exchange(token, "tickets-server", to)(undefined),
    await exchange(token, "nightly-job", to)(key),
  ];
  expect(refusals.map(({ status, error }) => [status, error])).toEqual([
    [400, "invalid_grant"],
    [400, "invalid_grant"],
    [400, "invalid_grant"],
    [400, "invalid_target"],
    [400, "invalid_request"],
    [400, "invalid_request"],
    [400, "invalid_request"],
  ]);
});

test("a service account's token has the client as its subject", async () => {
  const answer = await requestToken(
    idp.issuer,
    { grant_type: "client_credentials", resource: TICKETS },
    { basic: "nightly-job:nightly-job-secret" },
  );
  const claims = await verified(answer.access_token, TICKETS);
  expect([claims.sub, claims["client_id"]]).toEqual(["nightly-job", "nightly-job"]);
});

test("keys rotate: new tokens by the new key, old ones verify until the old key retires", async () => {
  const rotating = await startIdp({ signingAlgorithm: "RS256" });
  try {
    const before = (await logIn("alice", {}, rotating)).answer.id_token ?? "";
    await rotating.rotateKeys();
    const after = (await logIn("alice", {}, rotating)).answer.id_token ?? "";
    expect(decodeProtectedHeader(before).alg).toBe("RS256");
    expect(decodeProtectedHeader(after).kid).not.toBe(decodeProtectedHeader(before).kid);
    await verified(before, "countersign-cli", rotating);
    await rotating.rotateKeys({ retire: true });
    await expect(verified(before, "countersign-cli", rotating)).rejects.toThrow(
      "no applicable key",
    );
  } finally {
    await rotating.stop();
  }
});

test("a demanded DPoP nonce, a key in the ID token, own users and clients", async () => {
  const strict = await startIdp({
    requireDpopNonce: true,
    confirmIdTokens: true,
    users: [{ login: "carol", password: "p", subject: "idp|0042" }],
  });
  try {
    const { url, verifier } = authorizationRequest(strict.issuer);
    const user = { login: "carol", password: "p" };
    const options = { issuer: strict.issuer, authorizationUrl: url, user, follow: false };
    const { redirectUrl = "" } = await signIn(options);
    const fields = {
      grant_type: "authorization_code",
      client_id: "countersign-cli",
      redirect_uri: REDIRECT_URI,
      code: new URL(redirectUrl).searchParams.get("code") ?? "",
      code_verifier: verifier,
    };
    const refused = await requestToken(strict.issuer, fields, { key });
    expect(refused).toMatchObject({ error: "use_dpop_nonce" });
    const nonce = refused.dpopNonce ?? "";
    const answer = await requestToken(strict.issuer, fields, { key, nonce });
    const claims = await verified(answer.id_token, "countersign-cli", strict);
    expect(claims).toMatchObject({ sub: "idp|0042" });
    expect(claims["cnf"]).toEqual({ jkt: await calculateJwkThumbprint(key.jwk) });
  } finally {
    await strict.stop();
  }
});

test("as a program it says one line, on loopback, and ends with its input", async () => {
  const script = join(import.meta.dirname, "..", "..", "deploy", "demo", "idp.ts");
  const child = spawn(process.execPath, [script], { stdio: ["pipe", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  const [first] = (await once(child.stdout.setEncoding("utf8"), "data")) as [string];
  child.stdout.on("data", (text: string) => (stdout += text));
  const { issuer } = JSON.parse(first) as { issuer: string };
  const discovery = await fetch(`${issuer}/.well-known/openid-configuration`);
  expect(await discovery.json()).toMatchObject({
    issuer,
    code_challenge_methods_supported: ["S256"],
    authorization_response_iss_parameter_supported: true,
    dpop_signing_alg_values_supported: expect.arrayContaining(["ES256"]),
    device_authorization_endpoint: `${issuer}/device/auth`,
    revocation_endpoint: `${issuer}/token/revocation`,
    grant_types_supported: expect.arrayContaining([EXCHANGE]),
  });
  const { url } = authorizationRequest(issuer);
  await signIn({ issuer, authorizationUrl: url, user: "alice", follow: false });
  child.stdin.end();
  expect(await once(child, "close")).toEqual([0, null]);
  expect([stdout, stderr]).toEqual(["", ""]);
});

test("no password is a login", () => {
  expect(DEMO_USERS.filter(({ login, password }) => login === password)).toEqual([]);
});
