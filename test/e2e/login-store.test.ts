// Where a login is kept, who else might look, and what is left when it does not end well.
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type RunningIdp, signIn, startIdp } from "@countersign/demo/idp";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { CANARY, LoginProvider } from "../../packages/identity/src/testing/login-provider.ts";
import { addressOf, StrictOpener } from "../../packages/identity/src/testing/strict-opener.ts";
import { browse, Machine } from "./fixtures/login/machine.ts";

const TICKETS = "urn:mcp:tickets";
const ASK = ["credential", "--audience", TICKETS];

let idp: RunningIdp;
let machine: Machine;
beforeAll(async () => {
  idp = await startIdp();
});
afterAll(() => idp.stop());
beforeEach(() => {
  machine = new Machine();
});
afterEach(() => machine.dispose());

/** A program on the machine's PATH. */
function install(name: string, script: string): void {
  const directory = join(machine.directory, "bin");
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), `#!${process.execPath}\n${script}`);
  chmodSync(join(directory, name), 0o755);
  machine.env["PATH"] = directory;
}

test("a login that others could read or replace is refused by every command: 78", async () => {
  await machine.login(idp.issuer, ["--audience", TICKETS]);
  expect(statSync(machine.file).mode & 0o777).toBe(0o600);
  expect(statSync(machine.store).mode & 0o777).toBe(0o700);
  const refused = async (): Promise<void> => {
    for (const args of [ASK, ["whoami"], ["logout"]]) {
      const ran = await machine.run(args);
      expect(ran).toMatchObject({ status: 78, stdout: "" });
      expect(ran.stderr).toContain("is not used:");
    }
  };
  chmodSync(machine.file, 0o640);
  await refused();
  chmodSync(machine.file, 0o600);
  chmodSync(machine.store, 0o750);
  await refused();
  chmodSync(machine.store, 0o700);
  const elsewhere = join(machine.directory, "elsewhere.json");
  renameSync(machine.file, elsewhere);
  symlinkSync(elsewhere, machine.file);
  await refused();
  expect((await machine.login(idp.issuer)).status).toBe(78);
  renameSync(elsewhere, machine.file);
  expect((await machine.run(ASK)).status).toBe(0);
});

test("an interrupted login says so with 2, and the one before stays", async () => {
  await machine.login(idp.issuer);
  const before = readFileSync(machine.file, "utf8");
  const ran = await machine.login(idp.issuer, [], (_url, child) => child.kill("SIGINT"));
  expect(ran.status).toBe(2);
  const killed = await machine.login(idp.issuer, [], (_url, child) => child.kill("SIGKILL"));
  expect(killed.status).toBeNull();
  expect(readFileSync(machine.file, "utf8")).toBe(before);
  expect(readdirSync(machine.store)).toEqual(["login.json"]);
  expect((await machine.run(ASK)).status).toBe(0);
});

test("a lock that a killed process has left stops nobody", async () => {
  await machine.login(idp.issuer);
  const child = machine.start(["whoami"]);
  const dead = await new Promise<number>((resolve) =>
    child.on("close", () => resolve(child.pid ?? 0)),
  );
  writeFileSync(join(machine.store, "login.lock"), JSON.stringify({ pid: dead, id: "x" }));
  expect((await machine.run(ASK)).status).toBe(0);
  expect(readdirSync(machine.store)).toEqual(["login.json"]);
});

test("a keychain keeps the key, and no argument or environment ever has it", async () => {
  // Strict: it writes down all that a stranger could see of it, and takes a secret from stdin only.
  install(
    "secret-tool",
    `const fs = require("node:fs");
fs.appendFileSync(process.env.HOME + "/seen", JSON.stringify([process.argv, process.env]) + "\\n");
const args = process.argv.slice(2).filter((one) => !one.startsWith("--label="));
if (args.length !== 5 || args[1] !== "service" || args[3] !== "login") process.exit(1);
const file = process.env.HOME + "/kept-" + args[4];
if (args[0] === "store") fs.writeFileSync(file, fs.readFileSync(0));
if (args[0] === "lookup") process.stdout.write(fs.readFileSync(file));
if (args[0] === "clear") fs.rmSync(file);
`,
  );
  machine.env["CI_TOKEN"] = CANARY;
  const kept = (): string[] =>
    readdirSync(machine.directory).filter((name) => name.startsWith("kept-"));
  const ran = await machine.login(idp.issuer);
  expect(ran.stdout).toContain("in the keychain (secret-tool)");
  expect(machine.read().key).toEqual({
    kind: "keychain",
    tool: "secret-tool",
    id: expect.any(String),
  });
  const [first = ""] = kept();
  expect((await machine.run(ASK)).status).toBe(0);
  const secret = readFileSync(join(machine.directory, first), "utf8");
  const { d } = JSON.parse(Buffer.from(secret, "base64url").toString()) as { d: string };
  expect(d).toMatch(/^[\w-]{43}$/);
  const { refreshToken } = machine.read();
  await machine.login(idp.issuer);
  expect(kept()).toHaveLength(1);
  expect(kept()).not.toContain(first);
  expect((await machine.login(idp.issuer, ["--no-keychain"])).status).toBe(0);
  expect(kept()).toEqual([]);
  await machine.login(idp.issuer);
  expect((await machine.run(["logout"])).status).toBe(0);
  expect(kept()).toEqual([]);
  const seen = readFileSync(join(machine.directory, "seen"), "utf8");
  for (const hidden of [d, secret, refreshToken, CANARY]) expect(seen.includes(hidden)).toBe(false);
});

test("a keychain that is locked later: 69, and nothing is lost", async () => {
  install(
    "secret-tool",
    `const fs = require("node:fs");
const file = process.env.HOME + "/kept";
if (process.argv[2] === "store") fs.writeFileSync(file, fs.readFileSync(0));
if (process.argv[2] === "lookup") process.stdout.write(fs.readFileSync(file));
`,
  );
  await machine.login(idp.issuer);
  const hidden = join(machine.directory, "away");
  renameSync(join(machine.directory, "kept"), hidden);
  const ran = await machine.run(ASK);
  expect(ran).toMatchObject({ status: 69, stdout: "" });
  expect(ran.stderr).toContain("unlock");
  renameSync(hidden, join(machine.directory, "kept"));
  expect((await machine.run(ASK)).status).toBe(0);
});

/** What every user of the machine may read: the arguments of all processes. */
function processArguments(): string {
  const list: string[] = [];
  for (const name of readdirSync("/proc").filter((one) => /^\d+$/.test(one))) {
    try {
      list.push(readFileSync(join("/proc", name, "cmdline"), "utf8"));
    } catch {
      // It has ended.
    }
  }
  return list.join("\n");
}

test("the browser is opened without a shell; no process argument has the address, and no environment a token", async () => {
  const opener = new StrictOpener(join(machine.directory, "bin"));
  Object.assign(machine.env, { PATH: opener.directory, DISPLAY: ":99", CI_TOKEN: CANARY });
  const running = machine.run(["login", "--issuer", idp.issuer, "--client-id", "countersign-cli"]);
  await expect.poll(() => opener.opened, { timeout: 20_000 }).toBeDefined();
  const { env, page, modes } = opener.opened ?? { page: "" };
  expect(modes).toEqual([0o600, 0o700]);
  expect(JSON.stringify(env)).not.toContain(CANARY);
  const url = addressOf(page);
  const { searchParams } = new URL(url);
  const said = process.platform === "linux" ? processArguments() : "";
  for (const name of ["state", "nonce", "code_challenge"]) {
    expect(searchParams.get(name)).toMatch(/^[\w-]{43}$/);
    expect(said.includes(searchParams.get(name) ?? "")).toBe(false);
  }
  await signIn({ issuer: idp.issuer, authorizationUrl: url, user: "alice" });
  expect((await running).status).toBe(0);
  expect(readdirSync(machine.store)).toEqual(["login.json"]);
});

test.each(["SIGINT", "SIGTERM"] as const)("%s takes the page of a login away", async (signal) => {
  const opener = new StrictOpener(join(machine.directory, "bin"));
  Object.assign(machine.env, { PATH: opener.directory, DISPLAY: ":99" });
  const child = machine.start(["login", "--issuer", idp.issuer, "--client-id", "countersign-cli"]);
  const ended = once(child, "close");
  await expect.poll(() => opener.opened, { timeout: 20_000 }).toBeDefined();
  expect(readdirSync(machine.store)).toHaveLength(1);
  child.kill(signal);
  expect(await ended).toEqual([2, null]);
  expect(readdirSync(machine.store)).toEqual([]);
});

test("whatever a provider answers, none of it is repeated, not even with debugging on", async () => {
  const provider = await LoginProvider.start();
  machine.env["COUNTERSIGN_DEBUG"] = "1";
  const odds: LoginProvider["odd"][] = [
    { redirect: { error: `${CANARY}_error`, error_description: CANARY } },
    { redirect: { iss: `https://${CANARY}.example` } },
    { idToken: { nonce: CANARY } },
    { idToken: { iss: `https://${CANARY}.example` } },
    { error: { status: 400, error: CANARY } },
    { answer: { id_token: `${CANARY}.x.y` } },
    { answer: { access_token: 7, id_token: CANARY } },
    { metadata: { issuer: `https://${CANARY}.example` } },
  ];
  for (const odd of odds) {
    provider.odd = odd;
    const ran = await machine.login(provider.issuer, [], browse);
    expect(ran.status).toBeGreaterThan(0);
    expect(ran.stdout).toBe("");
  }
  expect(machine.said).toMatch(/nonce/);
  expect(machine.said.includes(CANARY)).toBe(false);
  expect(existsSync(machine.file)).toBe(false);
  await provider.stop();
});
