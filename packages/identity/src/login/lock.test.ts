import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { withLock } from "./lock.ts";

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "lock-"));
  file = join(directory, "login.lock");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const forever = new AbortController().signal;

test("one at a time, and nothing is left", async () => {
  let inside = 0;
  let most = 0;
  const turns = Array.from({ length: 8 }, () =>
    withLock(file, forever, async () => {
      inside += 1;
      most = Math.max(most, inside);
      await readdir(directory);
      inside -= 1;
    }),
  );
  await Promise.all(turns);
  expect(most).toBe(1);
  expect(await readdir(directory)).toEqual([]);
});

test("a failure gives the lock back", async () => {
  const work = withLock(file, forever, () => Promise.reject(new Error("no")));
  await expect(work).rejects.toThrow("no");
  await expect(withLock(file, forever, () => Promise.resolve(1))).resolves.toBe(1);
});

test("who holds it is waited for, as long as the caller likes", async () => {
  const held = JSON.stringify({ pid: process.pid, id: "other" });
  await writeFile(file, held);
  const impatient = AbortSignal.timeout(200);
  await expect(withLock(file, impatient, () => Promise.resolve(1))).rejects.toMatchObject({
    code: "UNAVAILABLE",
  });
  expect(await readFile(file, "utf8")).toBe(held);
});

test.each([
  ["of a process that is gone", () => JSON.stringify({ pid: deadPid(), id: "x" })],
  ["that names nobody", () => "garbage"],
  ["that is empty", () => ""],
])("a lock %s is taken over", async (_name, content) => {
  await writeFile(file, content());
  await expect(withLock(file, forever, () => Promise.resolve(1))).resolves.toBe(1);
  expect(await readdir(directory)).toEqual([]);
});

test("a lock older than any holder may be is taken over, whoever has its number by now", async () => {
  await writeFile(file, JSON.stringify({ pid: process.pid, id: "old" }));
  const longAgo = new Date(Date.now() - 120_000);
  await utimes(file, longAgo, longAgo);
  await expect(withLock(file, forever, () => Promise.resolve(1))).resolves.toBe(1);
});

function deadPid(): number {
  return spawnSync(process.execPath, ["-e", ""]).pid;
}
