// The journal on a simulated machine whose power goes at any operation (packages/journal/src/testing/simulation.ts). Seeds from 1;
// COUNTERSIGN_SEED=n runs that one alone, COUNTERSIGN_LONG=1 runs 100,000 of them, COUNTERSIGN_SEEDS=n that many.
import { expect, test } from "vitest";
import { simulate, type SimulationResult } from "../../packages/journal/src/testing/simulation.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";
const SEEDS = Number(process.env["COUNTERSIGN_SEEDS"] ?? (LONG ? 100_000 : 500));
const ONE = process.env["COUNTERSIGN_SEED"];

type Figure = Exclude<keyof SimulationResult, "problems" | "trace">;

async function runSeeds(first: number, last: number): Promise<Record<Figure, number>> {
  const sum = { operations: 0, faults: 0, powerCuts: 0, kills: 0, told: 0, cuts: 0, rotten: 0 };
  for (let seed = first; seed <= last; seed++) {
    const { problems, ...result } = await simulate(seed);
    expect(problems, `run it again with COUNTERSIGN_SEED=${seed}`).toEqual([]);
    for (const name of Object.keys(sum) as Figure[]) sum[name] += result[name];
  }
  return sum;
}

test(
  "whatever fails and whenever the power goes, what was told is there, once, and nothing else",
  {
    timeout: LONG ? 7_200_000 : 300_000,
  },
  async () => {
    const [first, last] = ONE === undefined ? [1, SEEDS] : [Number(ONE), Number(ONE)];
    const sum = await runSeeds(first, last);
    console.log(`journal simulation, seeds ${first} to ${last}: ${JSON.stringify(sum)}`);
    if (ONE !== undefined || SEEDS < 500) return;
    // Chance must have reached what this test is for.
    expect(Math.min(...Object.values(sum))).toBeGreaterThan(10);
  },
);

test("a seed is the same life each time", async () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    const [one, again] = [await simulate(seed), await simulate(seed)];
    expect(again).toEqual(one);
    expect(one.operations).toBeGreaterThan(50);
  }
});
