// What our unit tests import as `vitest` while they judge mutants: its own `expect`, and tests that are only put on a list, since a run
// of Vitest for each of thousands of mutants costs a hundred times as much. Knows what these tests use, and no more.
import { expect } from "vitest";

export { expect };

type Body = (...args: never[]) => unknown;

/** A test that was declared. */
export interface Declared {
  readonly name: string;
  readonly run: () => unknown;
}

export const declared: Declared[] = [];
const finished: (() => unknown)[] = [];

/** Runs when the current test is over. */
export function onTestFinished(done: () => unknown): void {
  finished.push(done);
}

/** To be called after each test. */
export async function finish(): Promise<void> {
  for (const done of finished.splice(0)) await done();
}

function declare(name: string, ...rest: readonly unknown[]): void {
  declared.push({ name, run: rest.find((one) => typeof one === "function") as () => unknown });
}

function each(cases: readonly unknown[]) {
  return (name: string, ...rest: readonly unknown[]): void => {
    const body = rest.find((one) => typeof one === "function") as Body;
    for (const [index, one] of cases.entries()) {
      const args = (Array.isArray(one) ? one : [one]) as never[];
      declared.push({ name: `${name} #${index}`, run: () => body(...args) });
    }
  };
}

const nothing = (): void => undefined;
const declaring = Object.assign(declare, { each });
const ignoring: typeof declaring = Object.assign(nothing, { each: () => nothing });
const runIf = (condition: boolean) => (condition ? declaring : ignoring);
const skipIf = (condition: boolean) => runIf(!condition);
const testOf = Object.assign(declare, { each, runIf, skipIf });
/** One after another, also what says that it may run beside others. */
export const test: typeof testOf & { concurrent: typeof testOf } = Object.assign(testOf, {
  concurrent: testOf,
});

/** Time limits are the runner's. */
export const vi = { setConfig: (): void => undefined };
