import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findTool } from "./found-tool.ts";

const root = join(import.meta.dirname, "..", "..");
const scripts = [join(root, ".ci", "run"), join(root, ".ci", "services.sh")];
const shellcheck = findTool("shellcheck");

test.each(scripts)("%s parses", (script) => {
  expect(spawnSync("bash", ["-n", script], { encoding: "utf8" })).toMatchObject({
    status: 0,
    stderr: "",
  });
});

test.skipIf(shellcheck === undefined).each(scripts)(
  "shellcheck has nothing to say about %s",
  (script) => {
    const { status, stdout } = spawnSync(shellcheck as string, [script], { encoding: "utf8" });
    expect(stdout).toBe("");
    expect(status).toBe(0);
  },
);
