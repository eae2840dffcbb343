// A test runner for Stryker: seeds of the simulated machine (packages/journal/src/testing/simulation.ts) and the unit tests of journal
// and seal, all in one process, so that a mutant costs milliseconds.
import { enableCompileCache, flushCompileCache, registerHooks } from "node:module";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { declareFactoryPlugin, declareValuePlugin, PluginKind } from "@stryker-mutator/api/plugin";
import {
  determineHitLimitReached,
  type DryRunResult,
  DryRunStatus,
  type MutantRunOptions,
  type MutantRunResult,
  type TestResult,
  type TestRunner,
  TestStatus,
  toMutantRunResult,
} from "@stryker-mutator/api/test-runner";
import { type Judge, loadJudges } from "./judges.ts";
import { wordsForPeople } from "./words-for-people.ts";

const REPOSITORY = new URL("../../", import.meta.url).href;
const VITEST = new URL("vitest-in-process.ts", import.meta.url).href;
/**
 * Longest time for one test; many times what the slowest needs, also on a busy machine. Stryker's own limit is for loops that never
 * yield: it is for all tests together and knows nothing of the load, so a short one would call slow mutants killed.
 */
const MAX_TEST_MS = 20_000;
const TOO_LONG = "takes too long";
const LEFT_BEHIND_MS = 20;

/** What the changed sources share with whoever runs them (Stryker, "mutant switching"). */
interface Switch {
  activeMutant?: string | undefined;
  currentTestId?: string | undefined;
  hitCount?: number | undefined;
  hitLimit?: number | undefined;
  mutantCoverage?: NonNullable<(DryRunResult & { status: "complete" })["mutantCoverage"]>;
}

/** Where Stryker puts it. */
const SHARED = "__stryker__";
const shared = globalThis as unknown as { [SHARED]?: Switch };

class InProcessRunner implements TestRunner {
  readonly #switch: Switch = (shared[SHARED] ??= {});
  #judges: readonly Judge[] | undefined;
  /** A test that did not come to an end is still running. */
  #spoiled = false;

  capabilities(): { reloadEnvironment: boolean } {
    return { reloadEnvironment: false };
  }

  init(): Promise<void> {
    const sandbox = pathToFileURL(join(process.cwd(), "/")).href;
    // Most of what a new process costs is the compilation of what the last one compiled.
    enableCompileCache(join(process.cwd(), ".compiled"));
    registerHooks({
      resolve: (specifier, context, next) => {
        if (specifier === "vitest" && context.parentURL?.startsWith(sandbox) === true) {
          return { url: VITEST, shortCircuit: true };
        }
        const found = next(specifier, context);
        // Packages find each other through links that lead out of the sandbox.
        const outside =
          found.url.startsWith(`${REPOSITORY}packages/`) && !found.url.startsWith(sandbox);
        return outside ? { ...found, url: sandbox + found.url.slice(REPOSITORY.length) } : found;
      },
    });
    return Promise.resolve();
  }

  async dryRun(): Promise<DryRunResult> {
    const tests = await this.#run(undefined);
    const { mutantCoverage } = this.#switch;
    return {
      status: DryRunStatus.Complete,
      tests,
      ...(mutantCoverage === undefined ? {} : { mutantCoverage }),
    };
  }

  async mutantRun(options: MutantRunOptions): Promise<MutantRunResult> {
    // Stryker tries once more, in a new process.
    if (this.#spoiled) throw new Error("this process is not to be used again");
    const { activeMutant, hitLimit, mutantActivation, testFilter } = options;
    Object.assign(this.#switch, { hitCount: hitLimit === undefined ? undefined : 0, hitLimit });
    if (mutantActivation === "static") this.#switch.activeMutant = activeMutant.id;
    await this.#load();
    this.#switch.activeMutant = activeMutant.id;
    const tests = await this.#run(testFilter);
    const timeout = determineHitLimitReached(this.#switch.hitCount, hitLimit);
    this.#spoiled ||= timeout !== undefined;
    return toMutantRunResult(timeout ?? { status: DryRunStatus.Complete, tests });
  }

  async #load(): Promise<readonly Judge[]> {
    if (this.#judges === undefined) {
      this.#judges = await loadJudges(process.cwd());
      flushCompileCache();
    }
    return this.#judges;
  }

  /** Until the first test that fails. */
  async #run(only: readonly string[] | undefined): Promise<TestResult[]> {
    const results: TestResult[] = [];
    for (const { id, run } of await this.#load()) {
      if (only !== undefined && !only.includes(id)) continue;
      const startedMs = performance.now();
      this.#switch.currentTestId = id;
      const problem = await problemOf(run);
      const test = { id, name: id, timeSpentMs: performance.now() - startedMs };
      if (problem !== undefined) {
        this.#spoiled = problem === TOO_LONG;
        // What it left behind ends now, and not in the test of another mutant.
        await pause(LEFT_BEHIND_MS);
        results.push({ ...test, status: TestStatus.Failed, failureMessage: problem });
        return results;
      }
      results.push({ ...test, status: TestStatus.Success });
    }
    return results;
  }
}

async function problemOf(run: Judge["run"]): Promise<string | undefined> {
  let stray: string | undefined;
  const onStray = (error: unknown): void => {
    stray ??= `nobody handles: ${String(error)}`;
  };
  const over = Promise.withResolvers<never>();
  const timer = setTimeout(() => over.reject(TOO_LONG), MAX_TEST_MS);
  process.on("unhandledRejection", onStray);
  try {
    await Promise.race([run(), over.promise]);
    // What nobody handles is said a turn later.
    await new Promise((resolve) => setImmediate(resolve));
    return stray;
  } catch (error) {
    return String(error);
  } finally {
    clearTimeout(timer);
    process.off("unhandledRejection", onStray);
  }
}

function createRunner(): TestRunner {
  return new InProcessRunner();
}
createRunner.inject = [] as const;

/** Found by Stryker under this name. */
export const strykerPlugins = [
  declareFactoryPlugin(PluginKind.TestRunner, "in-process", createRunner),
  declareValuePlugin(PluginKind.Ignore, "words-for-people", wordsForPeople),
];
