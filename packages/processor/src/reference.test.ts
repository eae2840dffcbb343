import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "@countersign/model/document";
import type { JsonSchema } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { componentReference } from "../scripts/reference.ts";
import { settingsOf } from "../scripts/settings.ts";
import { COMPONENTS } from "./components.ts";
import { validateConfig } from "./configuration.ts";

const file = join(import.meta.dirname, "..", "..", "..", "docs", "reference", "components.md");
const page = readFileSync(file, "utf8");

test("docs/reference/components.md is what the schemas say; else run: pnpm generate", () => {
  expect(page).toBe(componentReference(COMPONENTS));
});

test("every setting says what it means", () => {
  for (const { kind, type, config } of COMPONENTS) {
    const unexplained = settingsOf(config).filter(({ meaning }) => meaning === "");
    expect([kind, type, unexplained.map(({ name }) => name)]).toEqual([kind, type, []]);
  }
});

const examples = [...page.matchAll(/### (\w+) `(\w+)`\n[^]*?```yaml\n([^]*?)```/g)];

test("every component has an example", () => {
  const names = examples.map(([, kind, type]) => `${kind} ${type}`);
  expect(new Set(names)).toEqual(new Set(COMPONENTS.map(({ kind, type }) => `${kind} ${type}`)));
});

test.each(examples.map(([, kind = "", type = "", yaml = ""]) => ({ kind, type, yaml })))(
  "the example of $kind $type is accepted",
  ({ yaml }) => {
    expect(parseDocument(yaml, "example").problems).toEqual([]);
    // What an example names (files, other components, pipelines) is not there: settings alone are looked at.
    const { problems } = validateConfig(`${yaml}service: { pipelines: {} }\n`, "example", {
      KAFKA_PASSWORD: "secret",
      SPLUNK_HEC_TOKEN: "secret",
      WEBHOOK_SECRET: "a-secret-of-at-least-32-characters",
    });
    const ofSettings = problems.filter(
      ({ path, message }) =>
        !path.startsWith("service") && !/^(cannot read|no \w+ is called)/.test(message),
    );
    expect(ofSettings).toEqual([]);
  },
);

test("the words come from the schema", () => {
  const schema: JsonSchema = {
    type: "object",
    required: ["a"],
    properties: {
      a: { type: "string", format: "duration", description: "A." },
      b: { type: "integer", minimum: 1, maximum: 1024, default: 32, description: "B." },
      c: {
        anyOf: [
          { type: "boolean" },
          { type: "object", properties: { d: { type: "string", writeOnly: true, maxLength: 64 } } },
        ],
        default: false,
      },
      e: { type: "array", maxItems: 3, items: { enum: ["x", "y"] }, default: [] },
    },
  };
  expect(settingsOf(schema).map((one) => Object.values(one).join("; "))).toEqual([
    "a; duration; *required*; ; A.",
    "b; whole number; `32`; 1 to 1,024; B.",
    "c; true or false, or map; `false`; ; ",
    "c.d; text, *secret*; ; at most 64 characters; ",
    "e; list: `x` or `y`; `[]`; at most 3 items; ",
  ]);
});
