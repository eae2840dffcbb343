// Every operation of the journal fails in turn: on a simulated disk over whole lives (append, roll, ship, stop, power cut, recovery)
// with every error at every operation; on the real disk over a small life, where the disk also dies and stays dead.
// COUNTERSIGN_LONG=1 takes every error at every operation there too, else one of them.
import { expect, test } from "vitest";
import { createFaultyFs, failNth } from "../../packages/journal/src/testing/faulty-fs.ts";
import { scratch } from "../../packages/journal/src/testing/journal-fixture.ts";
import {
  countCalls,
  ERRNOS,
  live,
  problemsAfter,
} from "../../packages/journal/src/testing/journal-life.ts";
import { simulate } from "../../packages/journal/src/testing/simulation.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";

test("every operation fails once", { timeout: LONG ? 600_000 : 120_000 }, async () => {
  const total = await countCalls();
  for (let nth = 1; nth <= total; nth++) {
    const errnos = LONG ? ERRNOS : [ERRNOS[nth % ERRNOS.length] as string];
    for (const errno of errnos) {
      using s = scratch();
      const life = await live(s, createFaultyFs(failNth(nth, errno)));
      expect([nth, errno, await problemsAfter(s, life)]).toEqual([nth, errno, []]);
    }
  }
});

test("the disk dies at every operation", { timeout: LONG ? 600_000 : 120_000 }, async () => {
  const total = await countCalls();
  for (let nth = 1; nth <= total; nth += LONG ? 1 : 5) {
    using s = scratch();
    const life = await live(s, createFaultyFs(failNth(nth, "EIO", true)));
    expect([nth, await problemsAfter(s, life)]).toEqual([nth, []]);
  }
});

const SIMULATED_ERRNOS = ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EMFILE"] as const;
/** Short lives, with several segments and an epoch that others left. */
const SEEDS = LONG ? [1, 68, 70, 92, 145] : [68];

test.each(SEEDS)(
  "every operation of seed %i fails once, with each of five errors",
  {
    timeout: LONG ? 1_800_000 : 900_000,
  },
  async (seed) => {
    let runs = 0;
    let told = 0;
    for (let nth = 1, last = 1; nth <= last; nth++) {
      for (const errno of SIMULATED_ERRNOS) {
        const { problems, ...result } = await simulate(seed, { nth, errno });
        expect([nth, errno, problems]).toEqual([nth, errno, []]);
        last = Math.max(last, result.operations);
        told += result.told;
        runs += 1;
      }
    }
    console.log(`journal faults, seed ${seed}: ${runs} runs, ${told} events told durable`);
    expect(told).toBeGreaterThan(runs);
  },
);
