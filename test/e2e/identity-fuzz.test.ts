// The long form of packages/identity/src/call-proof-fuzz.test.ts.
import { expect, test } from "vitest";
import { fuzzProofs } from "../../packages/identity/src/testing/proof-fuzz.ts";

test("of 100,000 changed proofs none is accepted", { timeout: 300_000 }, async () => {
  const { tried, reachedGuard } = await fuzzProofs(100_000, Date.now() % 1_000_000);
  expect(tried).toBeGreaterThanOrEqual(100_000);
  expect(reachedGuard).toBe(0);
});
