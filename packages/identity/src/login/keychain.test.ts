import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LoginScene } from "../testing/login-scene.ts";
import { logout } from "./index.ts";
import { platformKeychain } from "./keychain.ts";
import { createLoginKey } from "./login-key.ts";
import { createLoginStore } from "./login-store.ts";
import type { StoredLogin } from "./stored-login.ts";

/**
 * Keeps what it is given in files of a directory, by the command lines of the real tools, and writes down what a stranger could see: arguments and
 * environment.
 */
const TOOL = `#!${process.execPath}
const fs = require("node:fs");
const path = require("node:path");
const home = process.env.HOME;
const tool = path.basename(process.argv[1]);
let args = process.argv.slice(2);
fs.appendFileSync(path.join(home, "seen"), JSON.stringify({ tool, args, env: process.env }) + "\\n");
const input = () => fs.readFileSync(0, "utf8");
const at = (id) => path.join(home, "kept", id);
const fail = () => process.exit(1);
if (tool === "secret-tool") {
  const [verb, ...rest] = args[1]?.startsWith("--label=") ? [args[0], ...args.slice(2)] : args;
  if (rest.length !== 4 || rest[0] !== "service" || rest[2] !== "login") fail();
  if (verb === "store") fs.writeFileSync(at(rest[3]), input());
  else if (verb === "lookup") process.stdout.write(fs.readFileSync(at(rest[3])));
  else if (verb === "clear") fs.rmSync(at(rest[3]));
  else fail();
} else {
  if (args[0] === "-i") args = input().trim().split(" ");
  const value = (flag) => args[args.indexOf(flag) + 1];
  if (args[0] === "add-generic-password") fs.writeFileSync(at(value("-a")), value("-w"));
  else if (args[0] === "find-generic-password") console.log(fs.readFileSync(at(value("-a")), "utf8"));
  else if (args[0] === "delete-generic-password") fs.rmSync(at(value("-a")));
  else fail();
}
`;

let home: string;
let env: NodeJS.ProcessEnv;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "keychain-"));
  await mkdir(join(home, "bin"));
  await mkdir(join(home, "kept"));
  env = { PATH: join(home, "bin"), HOME: home, SECRET_TOKEN: "kanarienvogel" };
});
afterEach(() => rm(home, { recursive: true, force: true }));

async function install(tool: string, text: string = TOOL): Promise<void> {
  await writeFile(join(home, "bin", tool), text);
  await chmod(join(home, "bin", tool), 0o755);
}

test.each([
  ["linux", "secret-tool"],
  ["darwin", "security"],
] as const)(
  "on %s, %s keeps a secret that no argument and no environment shows",
  async (platform, tool) => {
    await install(tool);
    const keychain = platformKeychain(env, platform);
    const secret = JSON.stringify({ d: "geheim", text: 'with "quotes" and\nlines' });
    expect(keychain?.name).toBe(tool);
    expect(await keychain?.save("key-1", secret)).toBe(true);
    expect(await keychain?.load("key-1")).toBe(secret);
    const seen = await readFile(join(home, "seen"), "utf8");
    const encoded = Buffer.from(secret).toString("base64url");
    for (const hidden of ["geheim", encoded, "kanarienvogel"]) expect(seen).not.toContain(hidden);
    await keychain?.remove("key-1");
    expect(await keychain?.load("key-1")).toBeUndefined();
    expect(await kept()).toEqual([]);
  },
);

test.each([
  ["is not there", undefined],
  ["fails", "#!/bin/sh\nexit 1\n"],
  ["says that it kept it, and did not", "#!/bin/sh\nexit 0\n"],
  ["gives something else back", "#!/bin/sh\necho bm90aGluZw\n"],
])("a tool that %s: the key goes into the file", async (_name, text) => {
  if (text !== undefined) await install("secret-tool", text);
  const store = createLoginStore({ env, stateDirectory: home, platform: "linux" });
  const key = await createLoginKey();
  expect(await store.keepKey(key, true)).toEqual({ kind: "file", jwk: key.jwk });
});

test("the key comes back from where it is, and only if it is that of the login", async () => {
  await install("secret-tool");
  const store = createLoginStore({ env, stateDirectory: home, platform: "linux" });
  const [key, other] = [await createLoginKey(), await createLoginKey()];
  const place = await store.keepKey(key, true);
  expect(place).toEqual({ kind: "keychain", tool: "secret-tool", id: `key-${key.jkt}` });
  expect(await store.keepKey(key, false)).toEqual({ kind: "file", jwk: key.jwk });
  const login = { key: place, jkt: key.jkt } as StoredLogin;
  expect((await store.loadKey(login)).jwk).toEqual(key.jwk);
  await expect(store.loadKey({ ...login, jkt: other.jkt })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
  });
  await store.forgetKey(place);
  await expect(store.loadKey(login)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

const kept = (): Promise<string[]> => readdir(join(home, "kept"));

test("a new login takes the place of the old one's key, and logout leaves none", async () => {
  await install("secret-tool");
  const scene = await LoginScene.set();
  const place = { env, platform: "linux" } as const;
  await scene.logIn(place);
  const [first] = await kept();
  expect((await scene.logIn(place)).key).toMatchObject({ place: "keychain", tool: "secret-tool" });
  expect(await kept()).toHaveLength(1);
  expect(await kept()).not.toContain(first);
  const interrupt = new AbortController();
  const interrupted = scene.logIn(place, () => interrupt.abort(), interrupt.signal);
  await expect(interrupted).rejects.toMatchObject({ code: "CANCELLED" });
  expect(await kept()).toHaveLength(1);
  await logout({ ...place, stateDirectory: scene.state }, new AbortController().signal);
  expect(await kept()).toEqual([]);
  await scene.clear();
});

test("other platforms have none", () => {
  expect(platformKeychain({}, "win32")).toBeUndefined();
});
