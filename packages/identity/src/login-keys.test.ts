import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { IdentityResolver, IdentityResult } from "./resolver.ts";
import { createRecentMap } from "./recent-map.ts";
import { type TestKey, testKey } from "./testing/issuer.ts";
import {
  CALL,
  type Changes,
  SERVER,
  nowSeconds,
  type TestLogin,
  testLogin,
} from "./testing/login.ts";

const INVALID = { kind: "denied", reason: "identity_invalid" };
const UNAVAILABLE = { kind: "error", reason: "identity_unavailable" };
const HUMAN = { kind: "human" };
const MINUTE = 60_000;

let ada: TestLogin;
let firstKeys: readonly TestKey[];

beforeAll(async () => {
  ada = await testLogin();
  firstKeys = ada.idp.keys;
});

afterEach(() => {
  ada.idp.keys = firstKeys;
  ada.idp.broken = undefined;
});

afterAll(() => ada.close());

/** A resolver at a time of its own, and a login of an hour that makes a new proof for each question. */
async function aWhile(life = 3600): Promise<{
  readonly identity: IdentityResolver;
  readonly later: (ms: number) => void;
  readonly ask: (changes?: Changes) => Promise<IdentityResult>;
  readonly token: string;
}> {
  let nowMs = nowSeconds() * 1000;
  const identity = ada.identity({ clock: () => nowMs });
  const token = await ada.token("id_token_cnf", { exp: nowMs / 1000 + life });
  return {
    identity,
    token,
    later: (ms) => {
      nowMs += ms;
    },
    ask: (changes = {}) =>
      ada.ask(
        { token, proof: ada.proof(token, { iat: Math.floor(nowMs / 1000), ...changes }) },
        { identity },
      ),
  };
}

describe("the keys of the issuer", () => {
  test("are asked for once for many calls, and never by a proof that is none", async () => {
    const before = ada.idp.fetched();
    const { ask, token, identity } = await aWhile();
    expect(await ada.ask({ token, proof: "a.b.c" }, { identity })).toEqual(INVALID);
    expect(await ask({ aud: "urn:mcp:other" })).toEqual(INVALID);
    expect(ada.idp.fetched()).toBe(before);
    for (let call = 0; call < 5; call += 1) expect(await ask()).toMatchObject(HUMAN);
    expect(ada.idp.fetched()).toBe(before + 1);
  });

  test("that were withdrawn stop to count, remembered token or not", async () => {
    const { ask, later } = await aWhile();
    later(9 * MINUTE);
    expect(await ask()).toMatchObject(HUMAN);
    // The token is remembered from now on, the key set is a minute from being asked for again.
    later(9 * MINUTE);
    expect(await ask()).toMatchObject(HUMAN);
    ada.idp.keys = [await testKey("k2")];
    later(MINUTE + 1);
    expect(await ask()).toEqual(INVALID);
  });

  test("that are new are found by asking once more", async () => {
    const { ask, later, identity } = await aWhile();
    expect(await ask()).toMatchObject(HUMAN);
    ada.idp.keys = [await testKey("k2"), ...firstKeys];
    later(31_000);
    const rotated = await ada.token("dpop");
    const proof = ada.proof(rotated, { iat: nowSeconds() + 31 });
    expect(await ada.ask({ token: rotated, proof }, { identity })).toMatchObject(HUMAN);
    expect(await ask()).toMatchObject(HUMAN);
  });

  test("that cannot be had are no denial, and no permission", async () => {
    ada.idp.broken = (_, response) => response.destroy();
    expect(await (await aWhile()).ask()).toEqual(UNAVAILABLE);
    ada.idp.broken = (_, response) =>
      void response.end(JSON.stringify({ keys: [], padding: "x".repeat(10 * 1024 * 1024) }));
    expect(await (await aWhile()).ask()).toEqual(UNAVAILABLE);
    ada.idp.broken = (_, response) => void response.writeHead(500).end();
    expect(await (await aWhile()).ask()).toEqual(UNAVAILABLE);
  });

  test("serve on for an hour while the issuer is away, for remembered tokens as for new ones", async () => {
    const { ask, later } = await aWhile(3 * 3600);
    expect(await ask()).toMatchObject(HUMAN);
    ada.idp.broken = (_, response) => response.destroy();
    later(50 * MINUTE);
    expect(await ask()).toMatchObject(HUMAN);
    later(4 * MINUTE);
    expect(await ask()).toMatchObject(HUMAN);
    later(7 * MINUTE);
    expect(await ask()).toEqual(UNAVAILABLE);
  });

  test("that answer too late do not hold a caller who went away", async () => {
    ada.idp.broken = () => undefined;
    const caller = new AbortController();
    const token = await ada.token("id_token_cnf");
    const waiting = ada
      .identity()
      .resolve(
        { transport: "stdio", proof: { token, proof: ada.proof(token) }, request: CALL },
        caller.signal,
      );
    caller.abort();
    await expect(waiting).rejects.toThrow("aborted");
  });
});

describe("a token that is remembered", () => {
  test("ends when it ends", async () => {
    const { ask, later } = await aWhile(120);
    expect(await ask()).toMatchObject(HUMAN);
    later(179_000);
    expect(await ask()).toMatchObject(HUMAN);
    later(2000);
    expect(await ask()).toEqual(INVALID);
  });

  test("is remembered with what it is bound to, not with who came first", async () => {
    const { ask, token, identity } = await aWhile();
    expect(await ask()).toMatchObject(HUMAN);
    const proof = ada.proof(token, {}, {}, ada.callKey);
    expect(await ada.ask({ token, proof }, { identity })).toEqual(INVALID);
    expect(
      await ada.ask({ token, salt: "s".repeat(20), proof: ada.proof(token) }, { identity }),
    ).toEqual(INVALID);
  });

  test("may be for another server than the proof", async () => {
    const { ask } = await aWhile();
    expect(await ask({ aud: SERVER })).toMatchObject(HUMAN);
    expect(await ask({ aud: "urn:mcp:other" })).toEqual(INVALID);
  });
});

test("a map of recent things forgets the one that was used longest ago", () => {
  const map = createRecentMap<number>(2);
  map.set("a", 1);
  map.set("b", 2);
  expect(map.get("a")).toBe(1);
  map.set("c", 3);
  expect([map.get("a"), map.get("b"), map.get("c"), map.size]).toEqual([1, undefined, 3, 2]);
  map.set("c", 4);
  expect([map.get("a"), map.get("c"), map.size]).toEqual([1, 4, 2]);
});
