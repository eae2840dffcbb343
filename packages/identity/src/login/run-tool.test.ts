import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runTool } from "./run-tool.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "run-tool-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

test("what cannot even be started is a tool that is not there", async () => {
  const run = { args: [], env: {}, timeoutMs: 5000 };
  const file = join(directory, "file");
  await writeFile(file, "");
  expect(await runTool(join(file, "tool"), run)).toBeUndefined(); // ENOTDIR
  expect(await runTool("tool\0", run)).toBeUndefined();
  expect(await runTool(process.execPath, { ...run, args: ["a".repeat(3_000_000)] })).toBe(
    undefined,
  ); // E2BIG
  expect(await runTool(file, run)).toBeUndefined(); // EACCES
});
