import { defineConfig } from "vitest/config";

// The scoped condition makes tests run from source: no build step, and it cannot misfire in a user's bundler.
const conditions = ["@countersign/source"];
const resolve = {
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
};

export default defineConfig({
  ...resolve,
  test: {
    projects: [
      {
        ...resolve,
        test: {
          name: "unit",
          include: ["packages/*/src/**/*.test.ts", "test/pins/**/*.test.ts"],
          // A machine that does other things as well may take its time; only a test that hangs takes this long.
          testTimeout: 60_000,
          hookTimeout: 60_000,
          isolate: false,
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        ...resolve,
        test: {
          name: "e2e",
          include: ["test/{e2e,services,chaos,deploy}/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 180_000,
          maxWorkers: 2,
          // after the unit tests
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
