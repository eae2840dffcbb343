import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type SealedEvent, unseal } from "@countersign/model";
import { expect, test } from "vitest";
import { FORMAT_NAMES, FORMATS, type FormatName } from "./formats.ts";

const golden = join(import.meta.dirname, "..", "..", "..", "..", "test", "golden", "formats");

/** The contract's chain: one epoch with every kind that an emitter seals. */
const CHAIN = join(
  import.meta.dirname,
  "..",
  "..",
  "..",
  "model",
  "src",
  "testdata",
  "chain.jsonl",
);

function chain(): SealedEvent[] {
  return readFileSync(CHAIN, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => unseal(Buffer.from(line)));
}

function lineOf(name: FormatName, event: SealedEvent): string {
  return Buffer.from(FORMATS[name].line(event) ?? []).toString("utf8");
}

test.each(["ecs", "cef", "leef"] as const)("%s of one epoch: golden", async (name) => {
  const lines = chain().map((event) => lineOf(name, event));
  await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(join(golden, `chain.${name}`));
});

test.each([...FORMAT_NAMES])("%s: the same event gives the same line", (name) => {
  const [event] = chain() as [SealedEvent];
  expect(FORMATS[name].line(event)).toEqual(FORMATS[name].line(event));
  expect(FORMATS[name].version).toMatch(/^[a-z]+@/);
});

test.each(["ecs", "cef", "leef"] as const)(
  "%s: another major is no event of this build",
  (name) => {
    const [event] = chain() as [SealedEvent];
    const later = { ...event, event: { ...event.event, type: "dev.countersign.decision.v2" } };
    expect(() => FORMATS[name].line(later as never)).toThrow(/upgrade/);
  },
);
