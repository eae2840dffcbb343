import { expect, test } from "vitest";
import { fuzzProofs } from "./testing/proof-fuzz.ts";

test("of 3,000 changed proofs none is accepted", async () => {
  const { tried, byKind, reachedGuard } = await fuzzProofs(3000, Date.now() % 1_000_000);
  expect(tried).toBeGreaterThanOrEqual(3000);
  expect(reachedGuard).toBe(0);
  const kinds = ["bytes", "call", "delegation", "envelope", "params", "proof", "swap", "token"];
  expect(Object.keys(byKind).toSorted()).toEqual(kinds);
});
