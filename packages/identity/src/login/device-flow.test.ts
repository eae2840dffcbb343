import { afterEach, beforeEach, expect, test } from "vitest";
import type { LoginProvider } from "../testing/login-provider.ts";
import { LoginScene } from "../testing/login-scene.ts";
import type { LoginStep, LoginSummary } from "./index.ts";

let scene: LoginScene;
let provider: LoginProvider;
let steps: LoginStep[];
const logIn: LoginScene["logIn"] = (...args) => scene.logIn(...args);
const failure: LoginScene["failure"] = (work) => scene.failure(work);
beforeEach(async () => {
  scene = await LoginScene.set();
  ({ provider } = scene);
  steps = [];
});
afterEach(() => scene.clear());

function byDevice(): Promise<LoginSummary> {
  steps.length = 0;
  return logIn({ by: "device", tell: (step) => steps.push(step) });
}

test("the code is shown, and asked for until it is confirmed", async () => {
  provider.odd = { pending: ["authorization_pending", "authorization_pending"] };
  expect(await byDevice()).toMatchObject({ subject: "alice", binding: "dpop" });
  expect(steps).toEqual([
    { kind: "device", url: `${provider.issuer}/activate`, code: "WDJB-MJHT" },
  ]);
  expect(provider.asked).toHaveLength(3);
});

test.each(["access_denied", "expired_token"])("%s ends it", async (error) => {
  provider.odd = { pending: [error] };
  expect(await failure(byDevice())).toEqual({
    code: "REJECTED",
    message: `identity/login: the identity provider refused: ${error}`,
  });
});

test("a code page that is no address, or in clear text, is not shown", async () => {
  for (const verification_uri of ["javascript:alert(1)", "http://evil.example/", "x"]) {
    provider.odd = { answer: { verification_uri } };
    expect((await failure(byDevice())).code).toBe("REJECTED");
    expect(steps).toEqual([]);
  }
});

test("a login that nothing ties to the key is not kept", async () => {
  const metadata = { dpop_signing_alg_values_supported: undefined };
  provider.odd = { metadata, idToken: { nonce: undefined } };
  expect((await failure(byDevice())).message).toMatch(/log in by browser/);
});

test("it takes over where no browser can be opened", async () => {
  for (const env of [{}, { DISPLAY: ":0", PATH: scene.state }]) {
    steps.length = 0;
    const summary = await logIn({
      by: "browser",
      platform: "linux",
      env,
      tell: (step) => steps.push(step),
    });
    expect(summary.subject).toBe("alice");
    const kinds = steps.map(({ kind }) => kind);
    expect(kinds.slice(-2)).toEqual(["no_browser", "device"]);
  }
});

test("without it, the address on the screen has to do", async () => {
  provider.odd = { metadata: { device_authorization_endpoint: undefined } };
  expect(await logIn({ by: "browser", platform: "linux", env: {} })).toMatchObject({
    subject: "alice",
  });
});

test("a provider without it says so", async () => {
  provider.odd = { metadata: { device_authorization_endpoint: undefined } };
  expect((await failure(byDevice())).message).toMatch(/no device flow/);
});
