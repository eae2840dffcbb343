import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { nodeFs } from "./fs.ts";
import { createReserve } from "./reserve.ts";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { scratch } from "./testing/journal-fixture.ts";

test("the reserve is made once, of bytes that no file system keeps for free, and given back", async () => {
  using s = scratch();
  const path = join(s.directory, "reserve");
  const fs = createFaultyFs();
  const reserve = createReserve(fs, 4_096);
  await reserve.fill(s.directory);
  const bytes = readFileSync(path);
  expect(bytes).toHaveLength(4_096);
  expect(new Set(bytes).size).toBeGreaterThan(100);
  expect(fs.calls.map(({ operation }) => operation)).toEqual([
    "info",
    "open",
    "append",
    "sync",
    "close",
  ]);
  await reserve.fill(s.directory);
  expect(readFileSync(path).equals(bytes)).toBe(true);
  await reserve.spend(s.directory);
  expect(existsSync(path)).toBe(false);
  await reserve.spend(s.directory);
});

test("a reserve that does not fit is no reserve", async () => {
  using s = scratch();
  const path = join(s.directory, "reserve");
  for (const failing of ["append", "sync"]) {
    const fs = createFaultyFs(({ operation }) =>
      operation === failing ? { errno: "ENOSPC" } : undefined,
    );
    await createReserve(fs, 4_096).fill(s.directory);
    expect(existsSync(path)).toBe(false);
    expect(fs.calls.map(({ operation }) => operation).slice(-2)).toEqual(["close", "remove"]);
  }
});

test("nothing is ever thrown, and of nothing nothing is made", async () => {
  using s = scratch();
  const broken = createReserve(
    createFaultyFs(() => ({ errno: "EIO" })),
    4_096,
  );
  await broken.fill(s.directory);
  await broken.spend(s.directory);
  await createReserve(nodeFs, 0).fill(s.directory);
  expect(existsSync(join(s.directory, "reserve"))).toBe(false);
});

test("a reserve that is there is not touched", async () => {
  using s = scratch();
  const path = join(s.directory, "reserve");
  writeFileSync(path, "of another process");
  await createReserve(nodeFs, 4_096).fill(s.directory);
  expect(readFileSync(path, "utf8")).toBe("of another process");
});
