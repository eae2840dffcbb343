// Whether the simulation can see anything: each planted bug (fixtures/planted-bugs.ts) must be found by it within some seeds. The
// sources are changed as a child process loads them, so the product has no hooks for this.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { PLANTED_BUGS } from "./fixtures/planted-bugs.ts";

const CHILD = fileURLToPath(new URL("./fixtures/plant.ts", import.meta.url));
/** The rarest needs about 400. */
const MAX_SEEDS = 1_000;

interface Finding {
  readonly name: string;
  readonly planted: boolean;
  readonly seed?: number;
  readonly problem?: string;
}

test("every planted bug is found", { timeout: 600_000 }, async () => {
  const child = spawn(
    process.execPath,
    ["--conditions=@countersign/source", CHILD, String(MAX_SEEDS)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const findings: Finding[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const finding = JSON.parse(line) as Finding;
    findings.push(finding);
    const { name, seed, problem } = finding;
    console.log(`${seed === undefined ? "MISSED " : `seed ${seed}`.padEnd(9)} ${name}: ${problem}`);
  }
  expect(await ended).toBe(0);
  expect(findings.map(({ name }) => name)).toEqual(PLANTED_BUGS.map(({ name }) => name));
  expect(findings.filter(({ planted, seed }) => !planted || seed === undefined)).toEqual([]);
  expect(findings.length).toBeGreaterThanOrEqual(20);
});
