// What becomes of callers while no epoch is open, and what the last word of a life opens one for.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kindOf, type SealedEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { decision, type Scratch, scratch, soon, startOf } from "./testing/journal-fixture.ts";

async function kinds(s: Scratch): Promise<(string | undefined)[][]> {
  return [...(await s.stored()).values()].map((events) =>
    events.map(({ event }) => kindOf(event.type)),
  );
}

test("a life without a word leaves nothing behind", async () => {
  using s = scratch();
  await s.journal().stop("shutdown", soon());
  expect(existsSync(join(s.directory, "journal"))).toBe(false);
});

test("what was denied without a record is said at the end, if no epoch was ever open", async () => {
  using s = scratch();
  const journal = s.journal();
  journal.counters.auditDenied += 3;
  await journal.stop("shutdown", soon());
  expect(await kinds(s)).toEqual([["start", "stop"]]);
  const [events = []] = (await s.stored()).values();
  expect(startOf(events).data).toMatchObject({ auditDenied: 3 });
});

test("so is what ran without a record", async () => {
  using s = scratch();
  const journal = s.journal();
  journal.noteUnrecorded(2, 1_000, 2_000);
  journal.noteUnrecorded(1, 3_000, 4_000);
  await journal.stop("shutdown", soon());
  expect(await kinds(s)).toEqual([["start", "lost", "stop"]]);
  const [[, lost] = []] = (await s.stored()).values();
  expect((lost as SealedEvent).event.data).toMatchObject({
    what: "calls",
    count: 3,
    calls: { since: "1970-01-01T00:00:01.000Z", until: "1970-01-01T00:00:04.000Z" },
  });
});

test("what could not be said is said in the next epoch, once", async () => {
  using s = scratch();
  let fails = false;
  const fs = createFaultyFs(({ operation }) =>
    fails && operation === "datasync" ? { errno: "EIO" } : undefined,
  );
  const journal = s.journal({ fs });
  await journal.append(decision());
  fails = true;
  journal.noteUnrecorded(5, 1_000, 2_000);
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  fails = false;
  await journal.stop("shutdown", soon());
  const told = (await kinds(s)).flat().filter((kind) => kind === "lost");
  const [, last = []] = (await s.stored()).values();
  expect(last.map(({ event }) => kindOf(event.type))).toEqual(["start", "lost", "stop"]);
  // Its bytes may have reached the disk although the sync failed; nobody was told so.
  expect(told.length).toBeLessThanOrEqual(2);
});

test("callers that wait for an epoch are told why there is none, and so is who comes during the pause", async () => {
  using s = scratch();
  const fs = createFaultyFs(({ operation }) =>
    operation === "makeDirectory" ? { errno: "EROFS" } : undefined,
  );
  const journal = s.journal({ fs, clock: { now: () => 1_000_000 }, reopenAfterMs: 60_000 });
  const first = await journal.append(decision()).catch((error: unknown) => error as Error);
  expect(first).toMatchObject({ code: "UNAVAILABLE", message: expect.stringContaining("EROFS") });
  await expect(journal.append(decision())).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: (first as Error).message,
    retryAfterMs: 60_000,
  });
  expect(journal.status()).toMatchObject({ fault: (first as Error).message, bytes: 0 });
});

test("a directory that can hold no journal is a matter of configuration, also during the pause", async () => {
  using s = scratch();
  mkdirSync(join(s.directory, "journal"));
  writeFileSync(join(s.directory, "journal", "_emitter"), "Not A Name\n");
  const journal = s.journal({ reopenAfterMs: 60_000 });
  for (let n = 0; n < 2; n++) {
    await expect(journal.append(decision())).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  }
});

test("only so many callers wait while an epoch opens", async () => {
  using s = scratch();
  const opened = Promise.withResolvers<void>();
  const fs = createFaultyFs(({ operation, ofOperation }) =>
    operation === "makeDirectory" && ofOperation === 1 ? { until: opened.promise } : undefined,
  );
  const journal = s.journal({ fs });
  const waiting = Array.from({ length: 2_048 }, () => journal.append(decision()));
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "OVERLOADED" });
  opened.resolve();
  expect(new Set((await Promise.all(waiting)).map(({ hash }) => hash)).size).toBe(2_048);
  await journal.stop("shutdown", soon());
  await expect(journal.append(decision())).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: "journal: it was stopped",
  });
});
