import { afterEach, beforeEach, expect, test } from "vitest";
import { createKeySet, type KeySet } from "./key-set.ts";
import { type TestIssuer, testIssuer, testKey } from "./testing/issuer.ts";

const YEAR_MS = 365 * 86_400_000;

let idp: TestIssuer;
let nowMs: number;
let keySet: KeySet;
beforeEach(async () => {
  idp = await testIssuer();
  nowMs = 1_800_000_000_000;
  keySet = createKeySet({ issuer: idp.issuer, algorithms: ["ES256"] }, { clock: () => nowMs });
});
afterEach(() => idp.close());

test("keys that were fetched by a clock that was ahead are fetched again", async () => {
  nowMs += YEAR_MS;
  const ahead = await keySet.current();
  nowMs -= YEAR_MS;
  idp.keys = [await testKey("k2")];
  const now = await keySet.current();
  expect(now).not.toBe(ahead);
  expect(await keySet.current()).toBe(now);
  expect(idp.fetched()).toBe(2);
});

test("a failure that a clock that was ahead remembers stops nobody", async () => {
  idp.broken = (_request, response) => void response.writeHead(503).end();
  nowMs += YEAR_MS;
  await expect(keySet.current()).rejects.toMatchObject({ code: "UNAVAILABLE" });
  nowMs -= YEAR_MS;
  idp.broken = undefined;
  expect(await keySet.current()).toBeDefined();
});
