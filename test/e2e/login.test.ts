// `countersign login`, `credential`, `whoami` and `logout` as a person and a program run them, at a real identity provider.
import { readdirSync } from "node:fs";
import {
  createCallProver,
  createIdentity,
  createReplayGuard,
  execCredentialSource,
} from "@countersign/identity";
import { type RunningIdp, type IdpOptions, startIdp } from "@countersign/demo/idp";
import { decodeJwt, importJWK, type CryptoKey, type JWK } from "jose";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LoginProvider } from "../../packages/identity/src/testing/login-provider.ts";
import { requestToken } from "./fixtures/idp/oauth-client.ts";
import { browse, COUNTERSIGN, Machine, type Ran } from "./fixtures/login/machine.ts";

const TICKETS = "urn:mcp:tickets";
const ASK = ["credential", "--audience", TICKETS];

let idp: RunningIdp;
let machine: Machine;
const idps: { stop(): Promise<void> }[] = [];
beforeEach(async () => {
  machine = new Machine();
  idp = await start();
});
afterEach(async () => {
  machine.dispose();
  await Promise.all(idps.splice(0).map((one) => one.stop()));
});

async function start(options: IdpOptions = {}): Promise<RunningIdp> {
  const started = await startIdp(options);
  idps.push(started);
  return started;
}

interface Issued {
  readonly status: {
    readonly token: string;
    readonly salt?: string;
    readonly delegation: string;
    readonly key: JWK;
    readonly expirationTimestamp: string;
  };
}

function issued(ran: Ran): Issued["status"] {
  expect(ran).toMatchObject({ status: 0 });
  return (JSON.parse(ran.stdout) as Issued).status;
}

/** No secret of the login, and none of what came out of it, was ever shown to a person. */
function expectDiscreet(...tokens: (string | undefined)[]): void {
  for (const token of tokens) {
    expect(token).toBeDefined();
    expect(machine.said.includes(token as string)).toBe(false);
  }
}

/** What a server makes of a call that is signed with what `credential` prints. */
async function whoCalls(config: { audience?: string; clients?: readonly string[] }) {
  const command = [process.execPath, COUNTERSIGN, "credential"];
  const source = execCredentialSource(command, { env: machine.env });
  const prover = createCallProver(source);
  const call = { method: "tools/call", params: { name: "read_ticket", arguments: { id: 42 } } };
  const proof = await prover.prove({ ...call, audience: TICKETS }, new AbortController().signal);
  const identity = createIdentity(
    {
      minimum: "call_bound",
      server: TICKETS,
      issuers: [{ issuer: idp.issuer, algorithms: ["ES256"], ...config }],
    },
    { env: machine.env, replay: createReplayGuard({}) },
  );
  const evidence = { transport: "stdio", proof, request: call } as const;
  return identity.resolve(evidence, new AbortController().signal);
}

test("log in by browser, be known, act, log out", async () => {
  const ran = await machine.login(idp.issuer, ["--audience", TICKETS, "--json"]);
  expect(ran).toMatchObject({ status: 0 });
  const lines = ran.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string });
  expect(lines.map(({ kind }) => kind)).toEqual(["address", "login"]);
  const known = {
    issuer: idp.issuer,
    subject: "alice",
    clientId: "countersign-cli",
    assurance: { process: "token_bound", agent: "call_bound" },
    binding: "dpop",
    audiences: [TICKETS],
    renewable: true,
    ended: false,
    key: { place: "file", thumbprint: machine.read().jkt },
    personalClaims: [],
  };
  expect(lines[1]).toMatchObject(known);
  const { stdout } = await machine.run(["whoami", "--json"]);
  expect(JSON.parse(stdout)).toMatchObject(known);
  expect((await machine.run(["whoami"])).stdout).toMatch(/^human +alice of http:/);

  const credential = issued(await machine.run(ASK));
  const lifeMs = Date.parse(credential.expirationTimestamp) - Date.now();
  expect(lifeMs).toBeLessThanOrEqual(600_000);
  expect(await whoCalls({ audience: "https://tickets.example/mcp" })).toMatchObject({
    kind: "human",
    human: {
      issuer: idp.issuer,
      subject: "alice",
      assurance: "call_bound",
      binding: { jkt: known.key.thumbprint },
    },
    agent: { id: "countersign-cli" },
  });

  const { refreshToken, key } = machine.read();
  const loginKey = {
    privateKey: (await importJWK(key.jwk as JWK, "ES256")) as CryptoKey,
    jwk: publicHalf(key.jwk as JWK),
  };
  const fields = {
    grant_type: "refresh_token",
    client_id: "countersign-cli",
    refresh_token: refreshToken,
  };
  expect((await requestToken(idp.issuer, fields, { key: loginKey })).status).toBe(200);
  const out = await machine.run(["logout", "--json"]);
  expect(out.status).toBe(0);
  expect(JSON.parse(out.stdout)).toMatchObject({ loggedOut: true, revoked: true });
  expect(await requestToken(idp.issuer, fields, { key: loginKey })).toMatchObject({
    error: "invalid_grant",
  });
  expect(readdirSync(machine.store)).toEqual([]);
  expect(await machine.run(ASK)).toMatchObject({ status: 1, stdout: "" });
  expect((await machine.run(["whoami"])).status).toBe(1);
  expect((await machine.run(["logout"])).status).toBe(0);
  expectDiscreet(refreshToken, key.jwk?.["d"], credential.token, credential.key.d);
});

function publicHalf({ kty, crv, x, y }: JWK): JWK {
  return { kty, crv, x, y } as JWK;
}

test("log in by device flow: no nonce there, so access tokens alone", async () => {
  const ran = await machine.login(idp.issuer, ["--device"]);
  expect(ran).toMatchObject({ status: 0 });
  expect(ran.stderr).toMatch(/confirm the code [A-Z]{4}-[A-Z]{4}\n/);
  expect(machine.read().idToken).toBeUndefined();
  expect(await whoCalls({ audience: "https://tickets.example/mcp" })).toMatchObject({
    human: { subject: "alice", assurance: "call_bound" },
  });
  // Nothing of this login is for something that is no resource.
  const none = await machine.run(["credential", "--audience", "tickets"]);
  expect(none).toMatchObject({ status: 1, stdout: "" });
});

test("an ID token is believed by its nonce, or by the key that it names", async () => {
  await machine.login(idp.issuer);
  const tickets = "tickets";
  const nonce = issued(await machine.run(["credential", "--audience", tickets]));
  expect(nonce.salt).toMatch(/^[\w-]{43}$/);
  idp = await start({ confirmIdTokens: true });
  await machine.login(idp.issuer);
  expect(JSON.parse((await machine.run(["whoami", "--json"])).stdout)).toMatchObject({
    binding: "id_token_cnf",
  });
  const named = issued(await machine.run(["credential", "--audience", tickets]));
  expect(named.salt).toBeUndefined();
});

test("a provider that demands its own nonce in DPoP proofs gets it", async () => {
  idp = await start({ requireDpopNonce: true });
  const ran = await machine.login(idp.issuer);
  expect(ran).toMatchObject({ status: 0 });
  issued(await machine.run(ASK));
});

function info(spec: object): Record<string, string> {
  const request = { apiVersion: "dev.countersign/v1", kind: "ExecCredential", spec };
  return { COUNTERSIGN_EXEC_INFO: JSON.stringify(request) };
}

test("what a guard asks through the environment; options win", async () => {
  await machine.login(idp.issuer);
  const url = "https://tickets.example/mcp";
  const asked = info({ audience: TICKETS, resources: [url] });
  expect(decodeJwt(issued(await machine.run(["credential"], asked)).token).aud).toBe(url);
  const own = ["credential", "--audience", "urn:mcp:own", "--resource", "urn:mcp:own"];
  const credential = issued(await machine.run(own, asked));
  expect(decodeJwt(credential.token).aud).toBe("urn:mcp:own");
  expect(decodeJwt(credential.delegation).aud).toBe("urn:mcp:own");
  for (const wrong of [{}, { audience: 7 }, { audience: "a", resources: "b" }]) {
    expect(await machine.run(["credential"], info(wrong))).toMatchObject({
      status: 64,
      stdout: "",
    });
  }
  const garbage = { COUNTERSIGN_EXEC_INFO: "{" };
  expect((await machine.run(["credential"], garbage)).status).toBe(64);
  expect((await machine.run(["credential"])).status).toBe(64);
});

test("parallel helpers redeem a rotating refresh token once", async () => {
  const provider = await LoginProvider.start(); // its refresh tokens are good once
  idps.push(provider);
  provider.odd = { idToken: { aud: "countersign-cli" } };
  const ran = await machine.login(provider.issuer, [], browse);
  expect(ran).toMatchObject({ status: 0 });
  for (let round = 0; round < 2; round += 1) {
    machine.expire();
    provider.asked.length = 0;
    const all = await Promise.all(Array.from({ length: 4 }, () => machine.run(ASK)));
    const tokens = new Set(all.map((one) => issued(one).token));
    expect(tokens.size).toBe(1);
    expect(provider.asked).toHaveLength(1);
  }
});

test("a login has an end: 1. A provider has bad days: 69", async () => {
  await machine.login(idp.issuer, ["--audience", TICKETS]);
  await idp.stop();
  idps.length = 0;
  issued(await machine.run(ASK)); // what is still good needs nobody
  machine.expire();
  expect(await machine.run(ASK)).toMatchObject({ status: 69, stdout: "" });
  const out = await machine.run(["logout"]);
  expect(out.status).toBe(69);
  expect(out.stderr).toMatch(/removed here, but not revoked/);
  expect(readdirSync(machine.store)).toEqual([]);
  expect((await machine.login(idp.issuer)).status).toBe(69);

  idp = await start();
  await machine.login(idp.issuer);
  machine.expire();
  machine.change({ refreshToken: "of-another-day" });
  const ended = await machine.run(ASK);
  expect(ended).toMatchObject({ status: 1, stdout: "" });
  expect(ended.stderr).toMatch(/countersign login/);
  expect((await machine.run(["whoami"])).status).toBe(1);
});
