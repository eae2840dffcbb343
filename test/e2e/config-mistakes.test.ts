// What `countersign validate` says to typical mistakes, word for word: what is wrong, where, and what to do.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { run } from "../../packages/cli/src/program.ts";

const folder = join(import.meta.dirname, "..", "golden", "config", "mistakes");
const mistakes = readdirSync(folder).filter((file) => file.endsWith(".yaml"));
/** They run, so they are warnings; every other mistake is a problem. */
const RUNS = ["16-unused.yaml", "17-inline-secret.yaml"];

interface Said {
  readonly status: number;
  readonly out: readonly string[];
  readonly err: readonly string[];
}

async function validate(file: string, ...flags: readonly string[]): Promise<Said> {
  const out: string[] = [];
  const err: string[] = [];
  const status = await run(["validate", "--config", join(folder, file), ...flags], {
    out: (line) => void out.push(line.replaceAll(join(folder, "/"), "")),
    err: (line) => void err.push(line.replaceAll(join(folder, "/"), "")),
    interactive: false,
    columns: 100,
  });
  return { status, out, err };
}

test.each(mistakes)("%s: what, where, what to do", async (file) => {
  const { status, out, err } = await validate(file);
  const text = [
    `$ countersign validate --config ${file}`,
    ...out,
    ...err.map((line) => `(stderr) ${line}`),
    `(exit ${status})`,
    "",
  ].join("\n");
  await expect(text).toMatchFileSnapshot(join(folder, file.replace(".yaml", ".txt")));
  expect(status).toBe(RUNS.includes(file) ? 0 : 78);
  const findings = out.filter((line) => !line.endsWith(": valid"));
  expect(findings.length).toBeGreaterThan(0);
  for (const line of findings) {
    // Where it is, what is wrong, and another sentence that says what to do.
    expect(line).toMatch(/^\d\d-[a-z-]+\.yaml:\d+:\d+: .+\. .+[.?]( .+\.)?$/);
  }
});

test("as JSON the same findings, for scripts", async () => {
  for (const file of ["05-unknown-component.yaml", "17-inline-secret.yaml"]) {
    const lines = (await validate(file)).out.filter((line) => !line.endsWith(": valid"));
    const { status, out, err } = await validate(file, "--json");
    const found = JSON.parse(out.join("\n")) as {
      ok: boolean;
      problems: { line: number; column: number; path: string; message: string; fix: string }[];
      warnings: { line: number }[];
    };
    expect(err).toEqual([]);
    expect(found.ok).toBe(status === 0);
    expect(found.problems.length + found.warnings.length).toBe(lines.length);
    for (const one of [...found.problems, ...found.warnings]) {
      expect(one).toEqual({
        file,
        line: expect.any(Number) as number,
        column: expect.any(Number) as number,
        path: expect.any(String) as string,
        message: expect.any(String) as string,
        fix: expect.any(String) as string,
      });
    }
  }
});

test("no message holds a value: it may be a secret", async () => {
  const { out } = await validate("17-inline-secret.yaml");
  expect(out.join("\n")).not.toMatch(/correct-horse|dXNlcjpwYXNz/);
});
