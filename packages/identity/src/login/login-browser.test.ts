// Logins whose address goes by way of the platform's opener.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { browse, LoginScene } from "../testing/login-scene.ts";
import { addressOf, StrictOpener } from "../testing/strict-opener.ts";
import type { LoginOptions, LoginStep } from "./index.ts";

let scene: LoginScene;
let opener: StrictOpener;
let steps: LoginStep[];
let options: Partial<LoginOptions>;
beforeEach(async () => {
  scene = await LoginScene.set();
  opener = new StrictOpener(join(scene.state, "bin"));
  steps = [];
  const env = { PATH: opener.directory, DISPLAY: ":99" };
  const tell = (step: LoginStep): void => void steps.push(step);
  options = { by: "browser", platform: "linux", env, tell };
});
afterEach(() => scene.clear());

const kept = (): Promise<string[]> => readdir(join(scene.state, "login"));
const opened = (): Promise<string> =>
  expect
    .poll(() => opener.opened, { timeout: 20_000 })
    .toBeDefined()
    .then(() => addressOf(opener.opened?.page ?? ""));

function visit(step: LoginStep): void {
  if (step.kind === "address") void browse(step.url);
}

test("the opener is given a private page, the page has the address, and it goes with the login", async () => {
  const running = scene.logIn(options);
  const address = await opened();
  expect(steps).toEqual([{ kind: "address", url: address, opened: true }]);
  expect(new URL(address).searchParams.get("state")).toMatch(/^[\w-]{43}$/);
  const { args, modes } = opener.opened ?? { args: [], modes: [] };
  expect(args).toEqual([
    expect.stringMatching(/^file:\/\/\/.*\/login\/\.start-\w{6}\/login\.html$/),
  ]);
  expect(modes).toEqual([0o600, 0o700]);
  expect(await kept()).toHaveLength(1);
  await browse(address);
  expect(await running).toMatchObject({ subject: "alice" });
  expect(await kept()).toEqual(["login.json"]);
});

test("a browser is opened also where there is no device flow to fall back on", async () => {
  scene.provider.odd = { metadata: { device_authorization_endpoint: undefined } };
  const running = scene.logIn(options);
  await browse(await opened());
  expect(await running).toMatchObject({ subject: "alice" });
});

test("an interrupted login takes its page with it", async () => {
  const stop = new AbortController();
  const running = scene.failure(scene.logIn(options, undefined, stop.signal));
  await opened();
  stop.abort();
  expect(await running).toMatchObject({ code: "CANCELLED" });
  expect(await kept()).toEqual([]);
});

test("so do one that nobody finished in time, and one that was refused", async () => {
  const late = await scene.failure(scene.logIn({ ...options, timeoutMs: 1000 }));
  expect(late).toMatchObject({ code: "CANCELLED" });
  expect(await kept()).toEqual([]);
  scene.provider.odd = { redirect: { code: undefined, error: "access_denied" } };
  const refused = await scene.failure(scene.logIn({ ...options, tell: visit }));
  expect(refused).toMatchObject({ code: "REJECTED" });
  expect(await kept()).toEqual([]);
});

test("where there is no opener it goes on by device flow, without the page", async () => {
  const env = { PATH: join(scene.state, "nothing"), DISPLAY: ":99" };
  const device = await scene.logIn({ ...options, env });
  expect(device).toMatchObject({ subject: "alice" });
  expect(steps.map(({ kind }) => kind)).toEqual(["address", "no_browser", "device"]);
  expect(await kept()).toEqual(["login.json"]);
});
