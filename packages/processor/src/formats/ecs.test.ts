import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { SealedEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { ECS_VERSION, ecsProblems } from "../testing/ecs-official.ts";
import { KINDS } from "../testing/kinds.ts";
import { ecsFormat } from "./ecs.ts";

const golden = join(import.meta.dirname, "..", "..", "..", "..", "test", "golden", "ecs");

type Bag = Record<string, unknown>;

function documentOf(name: string): Bag {
  const line = ecsFormat.line(KINDS[name] as SealedEvent) ?? new Uint8Array();
  return JSON.parse(Buffer.from(line).toString("utf8")) as Bag;
}

test("the fields are those of the version that the documents name", () => {
  expect(ECS_VERSION).toBe("9.4.0");
  expect(documentOf("allow")["ecs"]).toEqual({ version: ECS_VERSION });
});

test.each(Object.keys(KINDS))("%s: golden, and every field is one of ECS", async (name) => {
  const document = documentOf(name);
  expect(ecsProblems(document, "countersign")).toEqual([]);
  await expect(`${JSON.stringify(document, undefined, 2)}\n`).toMatchFileSnapshot(
    join(golden, `${name}.json`),
  );
});

test("every golden has its event", () => {
  expect(readdirSync(golden).toSorted()).toEqual(
    Object.keys(KINDS)
      .map((name) => `${name}.json`)
      .toSorted(),
  );
});

// The check itself must be able to fail.
const SPOILERS: Readonly<Record<string, (document: Bag) => void>> = {
  "a field that is none": (document) => void (document["mcp"] = { tool: "x" }),
  "a list that must be none": (document) => void (document["message"] = ["x"]),
  "no list where one must be": (document) => set(document, "category", "api"),
  "a value that is not expected": (document) => set(document, "kind", "decision"),
  "a type of another category": (document) => set(document, "type", ["connection"]),
  "a number as text": (document) => set(document, "severity", "1"),
  "a text too long for the index": (document) => set(document, "id", "x".repeat(1025)),
  "a time that is none": (document) => void (document["@timestamp"] = "2026-02-30T00:00:00.000Z"),
};

test.each(Object.keys(SPOILERS))("%s is a problem", (what) => {
  const document = documentOf("allow");
  SPOILERS[what]?.(document);
  expect(ecsProblems(document, "countersign")).not.toEqual([]);
});

function set(document: Bag, member: string, value: unknown): void {
  (document["event"] as Bag)[member] = value;
}
