// Operations of a small life fail, once or for good, with several errors. Whatever happens: what a caller was told is on
// the disk stays there, no number is used twice, and nothing is thrown outside a promise. A sample here; every operation
// with every error is in test/chaos.
import { expect, test } from "vitest";
import { createFaultyFs, failNth } from "./testing/faulty-fs.ts";
import { decision, scratch, soon, startOf } from "./testing/journal-fixture.ts";
import { countCalls, ERRNOS, live, problemsAfter } from "./testing/journal-life.ts";

test("one operation fails", async () => {
  const total = await countCalls();
  expect(total).toBeGreaterThan(100);
  for (let nth = 1; nth <= total; nth += 7) {
    using s = scratch();
    const errno = ERRNOS[nth % ERRNOS.length] as string;
    const life = await live(s, createFaultyFs(failNth(nth, errno)));
    expect([nth, errno, await problemsAfter(s, life)]).toEqual([nth, errno, []]);
  }
});

test("the disk dies at any moment and stays dead", async () => {
  const total = await countCalls();
  for (let nth = 5; nth <= total; nth += 29) {
    using s = scratch();
    const life = await live(s, createFaultyFs(failNth(nth, "EIO", true)));
    expect([nth, await problemsAfter(s, life)]).toEqual([nth, []]);
  }
});

test("a sync that fails after it wrote, at every sync", async () => {
  let refused = 0;
  for (let nth = 1; nth <= 10; nth++) {
    using s = scratch();
    const fs = createFaultyFs(({ operation, ofOperation }) =>
      operation === "datasync" && ofOperation === nth ? { errno: "EIO", after: true } : undefined,
    );
    const life = await live(s, fs);
    expect([nth, await problemsAfter(s, life)]).toEqual([nth, []]);
    refused += life.refused;
  }
  expect(refused).toBeGreaterThan(10);
});

test("a full disk: appends are refused, and the reserve lets stop through", async () => {
  using s = scratch();
  let room = Number.POSITIVE_INFINITY;
  const fs = createFaultyFs(({ operation, path }) => {
    if (operation === "remove" && path.endsWith("reserve")) room += 8_192;
    if (operation !== "append") return undefined;
    room -= 1_024;
    return room < 0 ? { errno: "ENOSPC" } : undefined;
  });
  const journal = s.journal({ fs, reopenAfterMs: 60_000, limits: { reserveBytes: 8_192 } });
  await journal.append(decision());
  // The reserve is filled beside the first appends.
  while (
    !fs.calls.some(({ operation, path }) => operation === "sync" && path.endsWith("reserve"))
  ) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  room = 0;
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  journal.counters.auditDenied += 1;
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  journal.counters.auditDenied += 1;
  await journal.stop("shutdown", soon());
  const [, second = []] = (await s.stored()).values();
  expect(second.map((event) => event.event.type.split(".")[2])).toEqual(["start", "stop"]);
  expect(startOf(second).data).toMatchObject({
    auditDenied: 2,
    previous: { seq: 1, end: "journal_fault" },
  });
});

test("between epochs there is a pause, and callers are told how long", async () => {
  using s = scratch();
  let nowMs = 1_000_000;
  const fs = createFaultyFs(({ operation }) =>
    operation === "makeDirectory" ? { errno: "EIO" } : undefined,
  );
  const journal = s.journal({ fs, clock: { now: () => nowMs }, reopenAfterMs: 1_000 });
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  const calls = fs.calls.length;
  await expect(journal.append(decision())).rejects.toMatchObject({ retryAfterMs: 1_000 });
  expect(fs.calls.length).toBe(calls);
  nowMs += 1_000;
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(fs.calls.length).toBeGreaterThan(calls);
  // Twice as long after the second failure.
  await expect(journal.append(decision())).rejects.toMatchObject({ retryAfterMs: 2_000 });
  await journal.stop("shutdown", soon());
});
