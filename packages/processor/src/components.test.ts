import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { COMPONENTS, describeComponents } from "./components.ts";

test("the README's table is the list of components", () => {
  const readme = readFileSync(join(import.meta.dirname, "..", "README.md"), "utf8");
  const rows = COMPONENTS.map(
    ({ kind, type, stability, summary }) => `| ${kind} | \`${type}\` | ${stability} | ${summary} |`,
  );
  const table = readme.slice(readme.indexOf("|---|---|---|---|\n")).split("\n").slice(1);
  expect(table.slice(0, rows.length)).toEqual(rows);
  expect(table[rows.length]).toBe("");
});

test("every component has one sentence, a closed schema, and a description for every setting without a default", () => {
  for (const { summary, config, type } of COMPONENTS) {
    expect(summary).toMatch(/^[A-Z].*\.$/);
    expect(config["additionalProperties"]).toBe(false);
    const properties = config["properties"] as Record<
      string,
      { description?: string; default?: unknown; properties?: unknown }
    >;
    for (const [name, schema] of Object.entries(properties)) {
      const explained = schema.description ?? schema.default ?? schema.properties;
      expect([type, name, explained]).not.toContain(undefined);
    }
  }
});

test("descriptions can be printed as JSON", () => {
  const described = JSON.parse(JSON.stringify(describeComponents())) as object[];
  expect(described).toHaveLength(COMPONENTS.length);
});
