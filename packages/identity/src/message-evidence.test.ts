import { silentLogger } from "@countersign/model";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { IdentityResolver, IdentityResult } from "./resolver.ts";
import { createReplayGuard, type ProofUse, type ReplayGuard } from "./replay.ts";
import { CALL, type Changes, SALT, type TestLogin, testLogin, testPair } from "./testing/login.ts";

const INVALID = { kind: "denied", reason: "identity_invalid" };
const NOT_HUMAN = { kind: "denied", reason: "identity_not_human" };
const CONFLICT = { kind: "denied", reason: "identity_conflict" };
const REPLAYED = { kind: "denied", reason: "identity_replayed" };
const FULL = { kind: "error", reason: "replay_cache_full" };
const BOUND = { kind: "human", human: { assurance: "call_bound", method: "call_proof" } };
const never = new AbortController().signal;

let ada: TestLogin;
let eve: TestLogin;
let token: string;
let uses: ProofUse[];
let identity: IdentityResolver;

beforeAll(async () => {
  ada = await testLogin();
  eve = await testLogin();
  token = await ada.token("id_token_cnf");
});

beforeEach(() => {
  uses = [];
  identity = ada.identity({ replay: watched(createReplayGuard()) });
});

afterAll(async () => {
  await ada.close();
  await eve.close();
});

function watched(guard: ReplayGuard): ReplayGuard {
  return {
    use(proof, nowMs) {
      uses.push(proof);
      return guard.use(proof, nowMs);
    },
    close: () => guard.close(),
  };
}

function bearer(claims: Changes = {}): Promise<string> {
  return ada.token("dpop", { cnf: undefined, client_id: "the-host", ...claims });
}

function ask(withBearer?: string, proof = ada.proof(token)): Promise<IdentityResult> {
  const more = withBearer === undefined ? {} : { bearer: withBearer };
  return ada.ask({ token, proof }, { identity, transport: "http", ...more });
}

describe("a proof and a bearer token", () => {
  test("of one human: the proof counts, and its agent", async () => {
    const result = await ask(await bearer());
    expect(result).toMatchObject({ ...BOUND, agent: { id: "countersign-cli" } });
    // An exchange wants an access token where there is one.
    expect(result).toMatchObject({ subject: { kind: "access_token" } });
    expect(uses).toHaveLength(1);
  });

  test.each([
    ["another subject", { sub: "auth0|5f7d" }],
    ["a subject that only looks the same", { sub: "auth0|5f7\u0441" }],
    ["a subject in capitals", { sub: "AUTH0|5F7C" }],
  ])("of two humans: %s", async (_, claims) => {
    expect(await ask(await bearer(claims))).toEqual(CONFLICT);
    expect(uses).toEqual([]);
  });

  test("of two issuers, even with one subject", async () => {
    const [ours] = ada.config.issuers;
    const [theirs] = eve.config.issuers;
    identity = ada.identity({}, { issuers: [ours, theirs] as never });
    const other = await eve.token("dpop", { cnf: undefined });
    expect(await ask(other)).toEqual(CONFLICT);
  });

  test("that do not both hold", async () => {
    expect(await ask(await bearer({ exp: 1 }))).toEqual(INVALID);
    expect(await ask("opaque")).toEqual(INVALID);
    expect(await ask(await bearer({ sub: "the-host" }))).toEqual(NOT_HUMAN);
    expect(await ask(await bearer(), ada.proof(token, { aud: "urn:mcp:other" }))).toEqual(INVALID);
    expect(uses).toEqual([]);
  });

  test("two bearer tokens conflict, whatever the proof", async () => {
    const evidence = {
      transport: "http",
      proof: { token, proof: ada.proof(token) },
      request: CALL,
      bearer: await bearer(),
      conflictingBearer: true,
    } as const;
    expect(await identity.resolve(evidence, never)).toEqual(CONFLICT);
    expect(uses).toEqual([]);
  });

  test("that is bound: to the proof's login key only", async () => {
    expect(await ask(await bearer({ cnf: { jkt: ada.loginKey.jkt } }))).toMatchObject(BOUND);
    expect(await ask(await bearer({ cnf: { jkt: (await testPair()).jkt } }))).toEqual(INVALID);
    expect(await ask(await bearer({ cnf: { "x5t#S256": ada.loginKey.jkt } }))).toEqual(INVALID);
    expect(await ask(await bearer({ cnf: "x" }))).toEqual(INVALID);
    // A call key's thumbprint is not the login's.
    const delegation = ada.delegation(token);
    const proof = ada.proof(token, {}, {}, ada.callKey);
    const bound = await bearer({ cnf: { jkt: ada.callKey.jkt } });
    expect(
      await ada.ask({ token, delegation, proof }, { identity, transport: "http", bearer: bound }),
    ).toEqual(INVALID);
  });
});

describe("the order", () => {
  const ambient = {
    env: { COUNTERSIGN_ASSERTED_HUMAN: "mallory" },
    account: () => ({ uid: 1000 }),
  };

  test("a proof before everything; a bad one falls to nothing weaker", async () => {
    identity = ada.identity(ambient, { minimum: "asserted" });
    const bad = { token, proof: ada.proof(token, { aud: "x" }) };
    expect(await ada.ask({ token, proof: ada.proof(token) }, { identity })).toMatchObject(BOUND);
    expect(await ada.ask(bad, { identity })).toEqual(INVALID);
    expect(await ada.ask(bad, { identity, bearer: await bearer(), transport: "http" })).toEqual(
      INVALID,
    );
    expect(await ada.ask(null, { identity })).toEqual(INVALID);
    expect(await ada.ask(undefined, { identity })).toMatchObject({ human: { subject: "mallory" } });
  });

  test("a machine with a proof is no human either", async () => {
    const machine = await ada.token("dpop", { sub: "nightly", client_id: "nightly" });
    expect(await ada.ask({ token: machine, proof: ada.proof(machine) }, { identity })).toEqual(
      NOT_HUMAN,
    );
    expect(uses).toEqual([]);
  });
});

describe("the replay guard", () => {
  test("a proof counts once", async () => {
    const proof = ada.proof(token);
    expect(await ask(undefined, proof)).toMatchObject(BOUND);
    expect(await ask(undefined, proof)).toEqual(REPLAYED);
    expect(await ask(undefined, ada.proof(token))).toMatchObject(BOUND);
  });

  test("its number counts once, however it is signed anew: ES256 has two signatures for one", async () => {
    const jti = "n".repeat(22);
    expect(await ask(undefined, ada.proof(token, { jti }))).toMatchObject(BOUND);
    expect(await ask(undefined, ada.proof(token, { jti, txn: undefined }))).toEqual(REPLAYED);
    const proof = ada.proof(token);
    expect(await ask(undefined, negated(proof))).toMatchObject(BOUND);
    expect(await ask(undefined, proof)).toEqual(REPLAYED);
  });

  test("numbers of one login do not use up those of another", async () => {
    const jti = "n".repeat(22);
    identity = ada.identity({}, { issuers: [...ada.config.issuers, ...eve.config.issuers] });
    const hers = await eve.token("id_token_cnf");
    expect(await ask(undefined, ada.proof(token, { jti }))).toMatchObject(BOUND);
    expect(
      await ada.ask({ token: hers, proof: eve.proof(hers, { jti }) }, { identity }),
    ).toMatchObject(BOUND);
  });

  test("two at the same moment: one of them", async () => {
    const proof = ada.proof(token);
    const results = await Promise.all(Array.from({ length: 20 }, () => ask(undefined, proof)));
    expect(results.filter(({ kind }) => kind === "human")).toHaveLength(1);
    expect(results.filter(({ kind }) => kind === "denied")).toHaveLength(19);
  });

  test("is never asked about what does not hold", async () => {
    const thief = await testPair();
    const wrong: unknown[] = [
      null,
      { token, proof: "x" },
      { token, proof: ada.proof(token, {}, {}, thief) },
      { token, proof: ada.proof(token, { mcp: { method: "tools/call", digest: "x" } }) },
      { token, proof: ada.proof(token, { txn: "0".repeat(32) }) },
      { token, salt: SALT, proof: ada.proof(token) },
      {
        token,
        delegation: ada.delegation(token, { aud: "x" }),
        proof: ada.proof(token, {}, {}, ada.callKey),
      },
      { token: await eve.token("id_token_cnf"), proof: ada.proof(token) },
    ];
    for (const proof of wrong) expect(await ada.ask(proof, { identity })).toEqual(INVALID);
    expect(uses).toEqual([]);
    expect(await ask()).toMatchObject(BOUND);
    expect(uses).toMatchObject([{ jkt: ada.loginKey.jkt }]);
  });

  test("that is full stops the call, and is an error of ours", async () => {
    identity = ada.identity({ replay: createReplayGuard({ maxEntries: 1, log: silentLogger }) });
    expect(await ask()).toMatchObject(BOUND);
    expect(await ask()).toEqual(FULL);
  });

  test("is not asked for a caller who went while the issuer was asked", async () => {
    const issuer = Promise.withResolvers<void>();
    const slow: typeof fetch = async (input, init) => {
      await issuer.promise;
      return fetch(input, init);
    };
    identity = ada.identity({ fetch: slow, replay: watched(createReplayGuard()) });
    const caller = new AbortController();
    const evidence = {
      transport: "stdio",
      proof: { token, proof: ada.proof(token) },
      request: CALL,
    } as const;
    const gone = identity.resolve(evidence, caller.signal);
    // Behind it, on the same answer of the issuer: when this one is through, so is the first.
    const stayed = ask(undefined, ada.proof(token, { jti: "s".repeat(22) }));
    caller.abort();
    await expect(gone).rejects.toThrow("aborted");
    issuer.resolve();
    expect(await stayed).toMatchObject(BOUND);
    expect(uses).toMatchObject([{ jti: "s".repeat(22) }]);
  });

  test("is not asked for a caller who has gone", async () => {
    const caller = new AbortController();
    caller.abort();
    const evidence = {
      transport: "stdio",
      proof: { token, proof: ada.proof(token) },
      request: CALL,
    } as const;
    await expect(identity.resolve(evidence, caller.signal)).rejects.toThrow("aborted");
    expect(uses).toEqual([]);
  });
});

const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** (r, n − s) is as good as (r, s): anybody can make it, and it is still the same proof. */
function negated(jws: string): string {
  const cut = jws.lastIndexOf(".") + 1;
  const signature = Buffer.from(jws.slice(cut), "base64url");
  const s = ORDER - BigInt(`0x${signature.subarray(32).toString("hex")}`);
  const other = Buffer.from(s.toString(16).padStart(64, "0"), "hex");
  return (
    jws.slice(0, cut) + Buffer.concat([signature.subarray(0, 32), other]).toString("base64url")
  );
}
