// The mapping that we ship names every member that format ecs writes, with a type that takes it.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ecsFormat } from "../formats/ecs.ts";
import { KINDS } from "../testing/kinds.ts";

interface Field {
  readonly type?: string;
  readonly ignore_above?: number;
  readonly index?: boolean;
  readonly properties?: Readonly<Record<string, Field>>;
}

const folder = join(import.meta.dirname, "..", "..", "..", "..", "deploy", "elastic");
const { template } = JSON.parse(readFileSync(join(folder, "mappings.json"), "utf8")) as {
  template: { mappings: Field & { dynamic: unknown } };
};
const { mappings } = template;

/** Paths of a document that the mapping has not got, or has with another type. */
function strays(value: unknown, field: Field | undefined, path: string): readonly string[] {
  if (Array.isArray(value)) return value.flatMap((item) => strays(item, field, path));
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).flatMap(([key, item]) =>
      strays(item, field?.properties?.[key], `${path}.${key}`),
    );
  }
  const takes: Readonly<Record<string, readonly string[]>> = {
    string: ["keyword", "text", "date"],
    number: ["long"],
    boolean: ["boolean"],
  };
  return (takes[typeof value] ?? []).includes(field?.type ?? "") ? [] : [path];
}

function leaves(field: Field): readonly Field[] {
  return field.properties === undefined ? [field] : Object.values(field.properties).flatMap(leaves);
}

test.each(Object.entries(KINDS))("%s", (_name, event) => {
  const document: unknown = JSON.parse(Buffer.from(ecsFormat.line(event) ?? []).toString());
  expect(strays(document, mappings, "")).toEqual([]);
});

test("what it does not know is kept and not indexed, and no text is too long for a keyword", () => {
  expect(mappings.dynamic).toBe(false);
  // Lucene's longest term is 32,766 bytes, and a character has at most four. What is not indexed has none.
  const terms = leaves(mappings).filter(({ type, index }) => type === "keyword" && index !== false);
  expect(Math.max(...terms.map(({ ignore_above: longest = Infinity }) => longest))).toBeLessThan(
    32_766 / 4,
  );
});
