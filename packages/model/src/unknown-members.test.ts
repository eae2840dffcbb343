import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { CountersignEvent } from "./event.ts";
import { leakInUnknown } from "./leak.ts";
import { unknownMembers } from "./unknown-members.ts";
import { isWhollyKnown, validateOpen } from "./validate.ts";

const directory = join(import.meta.dirname, "testdata");
const events = readdirSync(directory)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(join(directory, name), "utf8")) as CountersignEvent)
  .filter((event) => validateOpen(event).length === 0);

/** Every object of a value, with its path. */
function* objectsIn(value: unknown, path = ""): Generator<[string, Record<string, unknown>]> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield [path, value as Record<string, unknown>];
  for (const [name, member] of Object.entries(value)) {
    const step = Array.isArray(value) ? `[${name}]` : path === "" ? name : `.${name}`;
    yield* objectsIn(member, path + step);
  }
}

test("events of this version have none", () => {
  expect(events.length).toBeGreaterThan(5);
  for (const event of events) {
    expect(unknownMembers(event)).toEqual([]);
    expect(isWhollyKnown(event)).toBe(true);
  }
});

test("a stranger is found in whichever object it is", () => {
  let objects = 0;
  for (const event of events) {
    for (const [path] of objectsIn(event)) {
      const copy = structuredClone(event);
      const target = [...objectsIn(copy)].find(([other]) => other === path)?.[1];
      Object.assign(target ?? {}, { constructor: "from prison" });
      expect(unknownMembers(copy)).toEqual([
        { parent: path, name: "constructor", value: "from prison" },
      ]);
      expect(isWhollyKnown(copy)).toBe(false);
      objects += 1;
    }
  }
  expect(objects).toBeGreaterThan(40);
});

test("an unknown word is no member", () => {
  const [decision] = events.filter(({ type }) => type === "dev.countersign.decision.v1");
  const copy = structuredClone(decision as CountersignEvent);
  Object.assign(copy.data, { reason: "of_a_later_version" });
  expect([validateOpen(copy), isWhollyKnown(copy), unknownMembers(copy)]).toEqual([[], false, []]);
});

test("counts and times of a newer version are no leaks", () => {
  const value = { atMs: 1_790_000_000_000, bytes: 123_456_789, digest: "0".repeat(64), on: true };
  expect(leakInUnknown([{ parent: "data", name: "later", value }])).toBeUndefined();
});
