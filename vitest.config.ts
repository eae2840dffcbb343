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
          testTimeout: 60_000,
          hookTimeout: 120_000,
          maxWorkers: 2,
          // after the unit tests
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
