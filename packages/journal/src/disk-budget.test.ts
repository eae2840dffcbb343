import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createDiskBudget } from "./disk-budget.ts";
import { type JournalFs, nodeFs } from "./fs.ts";
import { deadEpoch, EMITTER } from "./testing/dead-epoch.ts";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { scratch } from "./testing/journal-fixture.ts";

function size(path: string, index: number): number {
  return statSync(join(path, `0000000${index}.wal`)).size;
}

test("what other epochs take is measured, all their segments, and ours is not among them", async () => {
  using s = scratch();
  const home = join(s.directory, EMITTER);
  const paths = [await deadEpoch(home, 3, 100), await deadEpoch(home, 1), await deadEpoch(home, 2)];
  const [first = "", , third = ""] = paths;
  const budget = createDiskBudget(nodeFs, 1_000, () => undefined);
  expect(budget.bytes(5)).toBe(5);
  await budget.measure(home, 2);
  const others = size(first, 0) + size(first, 1) + size(first, 2) + size(third, 0);
  expect(budget.bytes(5)).toBe(others + 5);
});

test("what cannot be measured leaves the last figure; a segment that goes meanwhile takes nothing", async () => {
  using s = scratch();
  const home = join(s.directory, EMITTER);
  await deadEpoch(home, 1);
  const fs = createFaultyFs();
  const budget = createDiskBudget(fs, 1_000, () => undefined);
  await budget.measure(home, 9);
  const before = budget.bytes(0);
  expect(before).toBeGreaterThan(0);
  fs.plan = () => ({ errno: "EIO" });
  await budget.measure(home, 9);
  expect(budget.bytes(0)).toBe(before);
  const gone: JournalFs = { ...nodeFs, info: () => Promise.resolve(undefined) };
  const other = createDiskBudget(gone, 1_000, () => undefined);
  await other.measure(home, 9);
  expect(other.bytes(0)).toBe(0);
});

test("at the limit it is exceeded; at four fifths it is said, once until there is room again", () => {
  const said: number[] = [];
  const budget = createDiskBudget(nodeFs, 1_000, (bytes, limit) => said.push(bytes, limit));
  const nowMs = 0;
  expect([799, 800, 999, 1_000, 1_001].map((own) => budget.exceeded(own, nowMs))).toEqual([
    false,
    false,
    false,
    true,
    true,
  ]);
  expect(said).toEqual([800, 1_000]);
  // A little less is not room.
  for (const own of [799, 700, 900]) budget.exceeded(own, nowMs);
  expect(said).toEqual([800, 1_000]);
  for (const own of [699, 900]) budget.exceeded(own, nowMs);
  expect(said).toEqual([800, 1_000, 900, 1_000]);
});

test("near the limit it is measured again, at most once a second, whichever way the clock goes", async () => {
  using s = scratch();
  const home = join(s.directory, EMITTER);
  const asked: string[] = [];
  const fs: JournalFs = {
    ...nodeFs,
    list: (path) => {
      asked.push(path);
      return Promise.resolve([]);
    },
  };
  const budget = createDiskBudget(fs, 1_000, () => undefined);
  const { now } = Date;
  try {
    Date.now = () => 50_000;
    await budget.measure(home, 1);
    budget.exceeded(900, 51_000);
    budget.exceeded(900, 49_000);
    budget.exceeded(700, 99_000);
    expect(asked).toHaveLength(1);
    budget.exceeded(900, 51_001);
    budget.exceeded(900, 48_999);
    expect(asked).toEqual([home, home, home]);
  } finally {
    Date.now = now;
  }
});
