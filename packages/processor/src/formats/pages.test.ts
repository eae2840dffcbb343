// What docs/reference/formats says is what the mappings do.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { SealedEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { textPage } from "../../scripts/text-pages.ts";
import { KINDS } from "../testing/kinds.ts";
import { FORMAT_NAMES, FORMATS } from "./formats.ts";

const pages = join(import.meta.dirname, "..", "..", "..", "..", "docs", "reference", "formats");

function page(name: string): string {
  return readFileSync(join(pages, `${name}.md`), "utf8");
}

test.each(["cef", "leef"] as const)(
  "%s.md is what the list says; else run: pnpm generate",
  (name) => {
    expect(page(name)).toBe(textPage(name));
  },
);

/** Paths of a document's members; of lists of objects, the members in parentheses as the pages write them. */
function paths(value: object, path = ""): string[] {
  return Object.entries(value).flatMap(([key, member]: [string, unknown]) => {
    const name = path === "" ? key : `${path}.${key}`;
    if (Array.isArray(member)) {
      const first: unknown = member[0];
      return typeof first === "object" && first !== null ? [name, ...paths(first)] : [name];
    }
    return typeof member === "object" && member !== null ? paths(member, name) : [name];
  });
}

test.each(["ecs", "ocsf"] as const)("%s.md names every field that is written", (name) => {
  const text = page(name);
  const written = new Set(
    Object.values(KINDS).flatMap((event: SealedEvent) =>
      paths(JSON.parse(Buffer.from(FORMATS[name].line(event) ?? []).toString("utf8")) as object),
    ),
  );
  const ours = name === "ecs" ? "countersign." : "unmapped.";
  const missing = [...written]
    .map((path) => (path.startsWith(ours) ? path.slice(ours.length) : path))
    .filter((path) => !text.includes(`\`${path}\``));
  expect(missing).toEqual([]);
});

test.each([...FORMAT_NAMES])("%s: its page and the overview name its version", (name) => {
  expect(page(name)).toContain(`\`${FORMATS[name].version}\``);
  expect(page("README")).toContain(`\`${FORMATS[name].version}\``);
});
