import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join, relative } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { runTool } from "./run-tool.ts";
import { safeEnvironment } from "./safe-environment.ts";

let planted: string;
beforeEach(async () => {
  planted = await mkdtemp(join(tmpdir(), "planted-"));
  const tool = join(planted, "a-keychain-tool");
  await writeFile(tool, "#!/bin/sh\necho planted\n");
  await chmod(tool, 0o755);
});
afterEach(() => rm(planted, { recursive: true, force: true }));

function run(path: string): Promise<string | undefined> {
  return runTool("a-keychain-tool", { args: [], env: { PATH: path }, timeoutMs: 5000 });
}

test("a tool is started from an absolute place of PATH, and from no relative one", async () => {
  const here = relative(process.cwd(), planted);
  expect(await run(`${planted}${delimiter}/usr/bin`)).toBe("planted\n");
  expect(await run(here)).toBeUndefined();
  expect(await run(`${here}${delimiter}/usr/bin`)).toBeUndefined();
});

test.each([
  ["/usr/bin:.:/bin", "/usr/bin:/bin"],
  [":/usr/bin", "/usr/bin"],
  ["/usr/bin:", "/usr/bin"],
  ["node_modules/.bin:/usr/bin", "/usr/bin"],
  ["", "/nonexistent"],
  [".", "/nonexistent"],
])("PATH %j is %j", (path, safe) => {
  expect(safeEnvironment({ PATH: path })).toEqual({ PATH: safe });
});

test("variables that are not needed are left out", () => {
  const env = { HOME: "/h", Path: "/usr/bin", LC_ALL: "C", XDG_RUNTIME_DIR: "/r", TOKEN: "t" };
  const { TOKEN: _, ...kept } = env;
  expect(safeEnvironment(env)).toEqual(kept);
});
