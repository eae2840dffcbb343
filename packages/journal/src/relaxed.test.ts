// Events that nobody waits for: sealed in their place at once, and on the disk with the next one that somebody waits for.
import { verifyChain } from "@countersign/model";
import { expect, test } from "vitest";
import { createFaultyFs, type FaultyFs } from "./testing/faulty-fs.ts";
import { decision, scratch, soon } from "./testing/journal-fixture.ts";

const NEVER = { reserveBytes: 0, gatherMs: 3_600_000 };
const RELAXED = { relaxed: true };

const syncs = (fs: FaultyFs): number =>
  fs.calls.filter(({ operation }) => operation === "datasync").length;

async function manyTurns(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
}

test("a relaxed event starts no sync, and is durable with the next that somebody waits for", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const journal = s.journal({ fs, limits: NEVER });
  await journal.append(decision("first"));
  const before = syncs(fs);
  const order: string[] = [];
  const relaxed = journal.append(decision("relaxed"), RELAXED).then(() => order.push("relaxed"));
  await manyTurns();
  expect(order).toEqual([]);
  expect(syncs(fs)).toBe(before);
  // A process that is killed here leaves a decision without its outcome.
  const [onDisk = []] = (await s.stored()).values();
  expect(onDisk.at(-1)?.event.data).toMatchObject({ call: { name: "first" } });
  await journal.append(decision("second")).then(() => order.push("second"));
  await relaxed;
  expect(order).toEqual(["relaxed", "second"]);
  expect(syncs(fs)).toBe(before + 1);
  await journal.stop("shutdown", soon());
  const [events = []] = (await s.stored()).values();
  expect(events.slice(1, 4).map(({ event }) => event.data)).toMatchObject([
    { call: { name: "first" } },
    { call: { name: "relaxed" } },
    { call: { name: "second" } },
  ]);
  expect(verifyChain(events)).toEqual({ ok: true });
});

test("a relaxed event is durable after the gather time, with others that came meanwhile", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const journal = s.journal({ fs, limits: { reserveBytes: 0, gatherMs: 20 } });
  await journal.append(decision());
  const before = syncs(fs);
  await Promise.all(Array.from({ length: 5 }, () => journal.append(decision(), RELAXED)));
  expect(syncs(fs)).toBe(before + 1);
  // Once more: the timer of the first batch must not be the last one.
  await journal.append(decision(), RELAXED);
  expect(syncs(fs)).toBe(before + 2);
  await journal.stop("shutdown", soon());
});

test("an event that comes after another took along the one before gets to the disk all the same", async () => {
  using s = scratch();
  const journal = s.journal({ limits: { reserveBytes: 0, gatherMs: 200 } });
  await journal.append(decision());
  // The writer is at rest, so a relaxed event sets the timer.
  await manyTurns();
  const taken = journal.append(decision(), RELAXED);
  await Promise.all([taken, journal.append(decision())]);
  // So that the timer of the first fires while the second is younger than the gather time.
  const fromMs = performance.now();
  while (performance.now() - fromMs < 100) await new Promise((resolve) => setImmediate(resolve));
  await expect(journal.append(decision(), RELAXED)).resolves.toHaveProperty("hash");
  await journal.stop("shutdown", soon());
});

test("stop writes what nobody waits for, before its own event", async () => {
  using s = scratch();
  const journal = s.journal({ limits: NEVER });
  await journal.append(decision());
  const relaxed = journal.append(decision("last"), RELAXED);
  await journal.stop("shutdown", soon());
  await relaxed;
  const [events = []] = (await s.stored()).values();
  expect(events.at(-2)?.event.data).toMatchObject({ call: { name: "last" } });
  expect(events.at(-1)?.event.type).toMatch(/stop/);
});

test("a full batch of relaxed events is written without anybody who waits", async () => {
  using s = scratch();
  const journal = s.journal({ limits: NEVER });
  await journal.append(decision());
  const first = journal.append(decision("first"), RELAXED);
  const rest = Array.from({ length: 2_000 }, () => journal.append(decision(), RELAXED));
  await first;
  await journal.stop("shutdown", soon());
  await expect(Promise.all(rest)).resolves.toHaveLength(2_000);
});

test("a fault refuses relaxed events as it does all others", async () => {
  using s = scratch();
  let failing = false;
  const fs = createFaultyFs(({ operation }) =>
    failing && operation === "datasync" ? { errno: "EIO" } : undefined,
  );
  const journal = s.journal({ fs, limits: NEVER });
  await journal.append(decision());
  failing = true;
  const together = [journal.append(decision(), RELAXED), journal.append(decision())];
  expect((await Promise.allSettled(together)).map(({ status }) => status)).toEqual([
    "rejected",
    "rejected",
  ]);
  failing = false;
  await journal.stop("shutdown", soon());
});

test("the first event of an epoch may be a relaxed one", async () => {
  using s = scratch();
  const journal = s.journal({ limits: { reserveBytes: 0, gatherMs: 1 } });
  await journal.append(decision("only"), RELAXED);
  await journal.stop("shutdown", soon());
  const [events = []] = (await s.stored()).values();
  expect(events[1]?.event.data).toMatchObject({ call: { name: "only" } });
});
