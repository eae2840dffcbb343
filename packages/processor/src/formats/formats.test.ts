import { join } from "node:path";
import type { SealedEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { KINDS } from "../testing/kinds.ts";
import { FORMAT_NAMES, FORMATS, type FormatName } from "./formats.ts";

const golden = join(import.meta.dirname, "..", "..", "..", "..", "test", "golden");

function lineOf(name: FormatName, event: SealedEvent): string {
  return Buffer.from(FORMATS[name].line(event) ?? []).toString("utf8");
}

test.each(["cef", "leef"] as const)("%s of every kind: golden", async (name) => {
  const lines = Object.values(KINDS).map((event) => lineOf(name, event));
  await expect(`${lines.join("\n")}\n`).toMatchFileSnapshot(join(golden, name, "kinds.txt"));
});

test.each([...FORMAT_NAMES])("%s: every kind has a line, and the same event the same", (name) => {
  for (const event of Object.values(KINDS)) {
    const line = lineOf(name, event);
    expect(line).not.toBe("");
    expect(line).toBe(lineOf(name, event));
  }
  expect(FORMATS[name].version).toMatch(/^[a-z]+@\S+$/);
});

const MAPPED = FORMAT_NAMES.filter((name) => name !== "native");

function spoilt(change: object): SealedEvent {
  const allow = KINDS["allow"] as SealedEvent;
  return { ...allow, bytes: allow.bytes, event: { ...allow.event, ...change } as never };
}

test.each(MAPPED)("%s: another major is a dead letter, not skipped", (name) => {
  const later = spoilt({ type: "dev.countersign.decision.v2" });
  expect(() => FORMATS[name].line(later)).toThrow(/upgrade/);
  expect(() => FORMATS[name].line(spoilt({ type: "dev.countersign.grant.v1" }))).toThrow(/upgrade/);
});

test.each(MAPPED)("%s: a time that no clock shows is refused", (name) => {
  for (const time of ["never", "2026-02-30T00:00:00.000Z", "2026-11-22T24:00:00.000Z"]) {
    expect(() => FORMATS[name].line(spoilt({ time }))).toThrow(/time/);
  }
});

test.each(MAPPED)("%s: what a later version adds passes unmapped", (name) => {
  const event = structuredClone((KINDS["full"] as SealedEvent).event);
  const later = structuredClone(event);
  grow(later);
  const of = (one: SealedEvent["event"]): string => lineOf(name, { ...spoilt({}), event: one });
  expect(of(later)).toBe(of(event));
});

/** A member more in every object. */
function grow(value: object): void {
  for (const member of Object.values(value)) {
    if (typeof member === "object" && member !== null) grow(member as object);
  }
  if (!Array.isArray(value)) Object.assign(value, { added_later: { by: "somebody" } });
}
