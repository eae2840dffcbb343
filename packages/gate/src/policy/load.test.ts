import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadPolicy } from "./load.ts";

const text = readFileSync(join(import.meta.dirname, "testdata", "policy.yaml"), "utf8");
const env = { SPICEDB_TOKEN: "t0ken" };

test("the digest of the contract's policy is the one its events name", () => {
  const { policy } = loadPolicy(text, "policy.yaml", env);
  expect(policy.digest).toBe(
    "sha256:c9f7c38e45cb59e55c9ff1a03144739748c3ec49cd421c2a02a31e9591136888",
  );
});
