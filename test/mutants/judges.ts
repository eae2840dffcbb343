// Who judges a mutant, the cheapest first: tests of pure functions, seeds of the simulated machine, tests with a disk, tests with a
// receiver. Each is a test in the sense of Stryker, which runs only those that reach the mutant.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Declared, declared, finish } from "./vitest-in-process.ts";

const SEEDS = Number(process.env["COUNTERSIGN_SEEDS"] ?? 24);

/** Of all these only some, and no seeds: to look at one test, or at the runner. */
const ONLY = process.env["COUNTERSIGN_JUDGES"]?.split(",");

const PURE = [
  "journal/src/frames.test.ts",
  "journal/src/batch.test.ts",
  "journal/src/acknowledgements.test.ts",
  "journal/src/ship/otlp-logs.test.ts",
  "journal/src/ship/sender.test.ts",
  "model/src/seal.test.ts",
  "model/src/intake.test.ts",
];
const DISK = [
  "segment-windows",
  "epoch-reader",
  "reserve",
  "disk-budget",
  "segment",
  "settle",
  "epoch-clerk",
  "opening",
  "emission",
  "claim",
  "ship/cursor",
  "ship/shipment",
  "ship/shipper-turns",
  "ship/drain",
  "lease",
  "relaxed",
  "durability",
  "journal",
  "epoch-writer",
  "recovery",
  "verify",
  "inspect",
  "faults",
  "hostile-directory",
].map((name) => `journal/src/${name}.test.ts`);
const WIRE = ["old-orphan", "ship-all", "in-process", "shipper"].map(
  (name) => `journal/src/ship/${name}.test.ts`,
);

/** What fails there fails in the simulation as well, in a hundredth of the time. */
const TOO_DEAR: ReadonlySet<string> = new Set([
  "one operation fails",
  "a sync that fails after it wrote, at every sync",
  "the disk dies at any moment and stays dead",
]);

/** One test. */
export interface Judge {
  readonly id: string;
  /** Rejects if something is wrong. */
  readonly run: () => Promise<unknown>;
}

type Simulate = (seed: number) => Promise<{ readonly problems: readonly string[] }>;

/** Loads everything from the copy of the sources in `root`. */
export async function loadJudges(root: string): Promise<readonly Judge[]> {
  const load = (file: string): Promise<unknown> =>
    import(pathToFileURL(join(root, "packages", file)).href);
  const tests = async (files: readonly string[]): Promise<Judge[]> => {
    const judges: Judge[] = [];
    for (const file of files.filter((each) => ONLY?.includes(each) ?? true)) {
      declared.length = 0;
      await load(file);
      const cheap = declared.filter(({ name }) => !TOO_DEAR.has(name));
      judges.push(...cheap.map((test) => judgeOf(file, test)));
    }
    return judges;
  };
  const { simulate } = (await load("journal/src/testing/simulation.ts")) as { simulate: Simulate };
  const seeds = Array.from({ length: ONLY === undefined ? SEEDS : 0 }, (_, index) =>
    seedJudge(simulate, index + 1),
  );
  return [...(await tests(PURE)), ...seeds, ...(await tests(DISK)), ...(await tests(WIRE))];
}

function judgeOf(file: string, { name, run }: Declared): Judge {
  return {
    id: `${file} ${name}`,
    run: async () => {
      try {
        await run();
      } finally {
        await finish();
      }
    },
  };
}

function seedJudge(simulate: Simulate, seed: number): Judge {
  return {
    id: `seed ${seed}`,
    run: async () => {
      const { problems } = await simulate(seed);
      if (problems[0] !== undefined) throw new Error(problems[0]);
    },
  };
}
