// That `pnpm mutants` can tell a change that a test notices from one that none does; what it says of the journal is in
// docs/reliability.md.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const ROOT = join(import.meta.dirname, "..", "..");
const RESERVE = "packages/journal/src/reserve.ts";
const CURSOR = "packages/journal/src/ship/cursor.ts";

interface Report {
  readonly files: Readonly<
    Record<string, { readonly mutants: readonly { readonly status: string }[] }>
  >;
}

test.runIf(process.env["COUNTERSIGN_LONG"] === "1")(
  "a mutant that a test notices is killed, and one that none does is not",
  async () => {
    const directory = mkdtempSync(join(tmpdir(), "countersign-mutants-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const config = JSON.parse(readFileSync(join(ROOT, "test", "mutants", "stryker.json"), "utf8"));
    const file = join(directory, "stryker.json");
    const fileName = join(directory, "mutants.json");
    const some = {
      ...config,
      mutate: [`${RESERVE}:20-40`, CURSOR],
      concurrency: 1,
      reporters: ["json"],
      jsonReporter: { fileName },
      tempDirName: `.stryker-tmp-${process.pid}`,
    };
    writeFileSync(file, JSON.stringify(some));
    const core = createRequire(join(ROOT, "package.json")).resolve(
      "@stryker-mutator/core/package.json",
    );
    const child = spawn(process.execPath, [join(dirname(core), "bin", "stryker.js"), "run", file], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      // The test of the reserve reaches no cursor.
      env: { ...process.env, COUNTERSIGN_JUDGES: "journal/src/reserve.test.ts" },
    });
    let said = "";
    child.stdout.on("data", (chunk) => (said += String(chunk)));
    child.stderr.on("data", (chunk) => (said += String(chunk)));
    await new Promise((resolve) => child.once("exit", resolve));
    expect([child.exitCode, child.exitCode === 0 ? "" : said]).toEqual([0, ""]);
    const { files } = JSON.parse(readFileSync(fileName, "utf8")) as Report;
    const statuses = (path: string): string[] =>
      files[path]?.mutants.map(({ status }) => status) ?? [];
    expect(statuses(RESERVE).filter((status) => status === "Killed").length).toBeGreaterThan(5);
    expect(new Set(statuses(CURSOR))).toEqual(new Set(["NoCoverage"]));
  },
);
