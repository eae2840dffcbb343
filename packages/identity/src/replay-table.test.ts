import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { KEY_WORDS, KeyTable } from "./replay-table.ts";

const MIB = 1024 * 1024;

/** Keys that no two indexes share; spread like hashes, by a generator that costs nothing. */
function keyOf(index: number, key: Uint32Array): Uint32Array {
  let state = Math.imul(index + 1, 0x9e_37_79_b1) >>> 0;
  for (let word = 0; word < KEY_WORDS; word += 1) {
    state = Math.imul(state ^ (state >>> 15), 0x2c_1b_3c_6d) >>> 0;
    key[word] = state;
  }
  key[1] = index;
  key[0] = (key[0] as number) || 1;
  return key;
}

test("a million keys are all found, nothing else is, in 43 MB at the worst moment", () => {
  const table = new KeyTable();
  const key = new Uint32Array(KEY_WORDS);
  let worst = 0;
  for (let index = 0; index < 1_000_000; index += 1) {
    table.add(keyOf(index, key), 0);
    if (index % 1024 === 0) worst = Math.max(worst, table.bytes);
  }
  expect(table.size).toBe(1_000_000);
  expect(Math.max(worst, table.bytes)).toBeLessThanOrEqual(43 * MIB);
  let found = 0;
  let invented = 0;
  for (let index = 0; index < 1_000_000; index += 1) {
    if (table.has(keyOf(index, key), 0)) found += 1;
    if (table.has(keyOf(index + 1_000_000, key), 0)) invented += 1;
  }
  expect([found, invented]).toEqual([1_000_000, 0]);
});

test("however a million keys lie in the buckets of four minutes, they take less than 64 MB", () => {
  const key = new Uint32Array(KEY_WORDS);
  // The worst sizes: one more than fits in 1, 2, 3, … shelves.
  const sizes = [24_577, 73_729, 172_033, 368_641, 761_857];
  const bytesOf = new Map(
    sizes.map((size) => {
      const table = new KeyTable();
      for (let index = 0; index < size; index += 1) table.add(keyOf(index, key), 0);
      return [size, table.bytes];
    }),
  );
  for (const [size, bytes] of bytesOf) expect(bytes / size).toBeLessThan(64);
  const pairs = [368_641, 368_641, 172_033, 73_729];
  expect(pairs.reduce((sum, size) => sum + (bytesOf.get(size) ?? 0), 0)).toBeLessThan(64 * MIB);
});

test("keys that begin in the same place do not hide each other", () => {
  const table = new KeyTable();
  const keys = Array.from({ length: 3000 }, (_, index) => {
    const digest = createHash("sha256").update(`${index}`).digest();
    return new Uint32Array([4096 * (index % 7) + 5, digest.readUInt32LE(0), index, 0]);
  });
  for (const key of keys) {
    expect(table.has(key, 0)).toBe(false);
    table.add(key, 0);
  }
  expect(keys.every((key) => table.has(key, 0))).toBe(true);
  expect(table.has(new Uint32Array([5, 0, 3001, 1]), 0)).toBe(false);
});

test("a key is read where the caller says", () => {
  const table = new KeyTable();
  const words = new Uint32Array([9, 9, 1, 2, 3, 4]);
  table.add(words, 2);
  expect(table.has(new Uint32Array([1, 2, 3, 4]), 0)).toBe(true);
  expect(table.has(words, 0)).toBe(false);
});
