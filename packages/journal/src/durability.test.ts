// Durable means: fdatasync has returned, and so have those of the names that lead to the bytes.
import { join } from "node:path";
import { type StartEvent, type StopEvent, verifyChain } from "@countersign/model";
import { expect, test } from "vitest";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { decision, eventually, scratch, soon } from "./testing/journal-fixture.ts";

test("append does not resolve before fdatasync has", async () => {
  using s = scratch();
  const release = Promise.withResolvers<void>();
  const fs = createFaultyFs(({ operation }) =>
    operation === "datasync" ? { until: release.promise } : undefined,
  );
  const journal = s.journal({ fs });
  let settled = false;
  const append = journal.append(decision()).finally(() => {
    settled = true;
  });
  await eventually(() => fs.calls.some((call) => call.operation === "datasync"));
  // Everything that could resolve it too early has run by then.
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  expect(settled).toBe(false);
  release.resolve();
  await append;
  await journal.stop("shutdown", soon());
});

test("a delayed fdatasync that fails rejects everybody who waits, and nobody was told before", async () => {
  using s = scratch();
  const release = Promise.withResolvers<void>();
  let failing = false;
  const fs = createFaultyFs(({ operation }) =>
    failing && operation === "datasync" ? { errno: "EIO", until: release.promise } : undefined,
  );
  const journal = s.journal({ fs });
  await journal.append(decision());
  failing = true;
  const resolved: number[] = [];
  const appends = Array.from({ length: 8 }, (_, n) =>
    journal.append(decision()).then(() => resolved.push(n)),
  );
  await new Promise((resolve) => setImmediate(resolve));
  release.resolve();
  const outcomes = await Promise.allSettled(appends);
  expect(resolved).toEqual([]);
  expect(outcomes.map((outcome) => outcome.status)).toEqual(Array(8).fill("rejected"));
  expect(outcomes[0]).toMatchObject({ reason: { code: "UNAVAILABLE" } });
});

test("after a fault the next epoch names the last event that callers were told of", async () => {
  using s = scratch();
  let failing = false;
  const fs = createFaultyFs(({ operation }) =>
    failing && operation === "datasync" ? { errno: "EIO", after: true } : undefined,
  );
  const journal = s.journal({ fs });
  const good = await journal.append(decision("good"));
  failing = true;
  await expect(journal.append(decision("refused"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  journal.counters.auditDenied += 1;
  expect(journal.status().fault).toMatch(/EIO/);
  failing = false;
  await eventually(() =>
    journal.append(decision("later")).then(
      () => true,
      () => false,
    ),
  );
  const denied = journal.counters.auditDenied;
  await journal.stop("shutdown", soon());
  const [first = [], second = []] = (await s.stored()).values();
  // The refused event was synced although the disk said otherwise: it surfaces, and nobody was told that it counts.
  expect(first.map((event) => event.event.data).at(-1)).toMatchObject({
    call: { name: "refused" },
  });
  const start = second[0]?.event as StartEvent;
  expect(start.data).toMatchObject({
    epochNumber: 2,
    previous: { seq: 1, hash: good.hash, end: "journal_fault" },
    auditDenied: 1,
  });
  expect(denied).toBe(0);
  const stop = second.at(-1)?.event as StopEvent;
  expect(stop.data.counters.auditDenied).toBe(0);
  expect(verifyChain(second)).toEqual({ ok: true });
});

test("the last event that callers were told of is known even if the disk did not take that down", async () => {
  using s = scratch();
  let failing = false;
  const fs = createFaultyFs(({ operation }) => {
    if (!failing) return undefined;
    if (operation === "rename") return { errno: "EIO" };
    return operation === "datasync" ? { errno: "EIO", after: true } : undefined;
  });
  const journal = s.journal({ fs });
  const good = await journal.append(decision("good"));
  failing = true;
  await expect(journal.append(decision("refused"))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await eventually(() => fs.calls.some(({ operation }) => operation === "rename"));
  failing = false;
  await eventually(() =>
    journal.append(decision("later")).then(
      () => true,
      () => false,
    ),
  );
  await journal.stop("shutdown", soon());
  const [, second = []] = (await s.stored()).values();
  const start = second[0]?.event as StartEvent;
  expect(start.data.previous).toMatchObject({ seq: 1, hash: good.hash, end: "journal_fault" });
});

test("a segment's name is durable before the first record in it, and so are the names above it", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const journal = s.journal({
    fs,
    emitter: "origin",
    limits: { segmentBytes: 4_096, reserveBytes: 0 },
  });
  for (let n = 0; n < 10; n++) await journal.append(decision());
  await journal.stop("shutdown", soon());
  const epoch = join(s.directory, "journal", "origin", "0000000001");
  const created = fs.calls.filter(
    ({ operation, path }) => operation === "open" && path.endsWith(".wal"),
  );
  const segments = [...new Set(created.map(({ path }) => path))];
  expect(segments.length).toBeGreaterThan(2);
  for (const path of segments) {
    const of = fs.calls.filter((call) => call.path === path || call.path === epoch);
    const names = of
      .slice(of.findIndex((call) => call.path === path))
      .map((call) => call.operation);
    // Header, its sync, the directory's; then records with theirs.
    expect(names.slice(0, 6)).toEqual([
      "open",
      "append",
      "sync",
      "syncDirectory",
      "append",
      "datasync",
    ]);
  }
  const firstRecord = fs.calls.findIndex(({ operation }) => operation === "datasync");
  const synced = fs.calls
    .slice(0, firstRecord)
    .filter(({ operation }) => operation === "syncDirectory")
    .map(({ path }) => path);
  expect(synced).toContain(join(s.directory, "journal"));
  expect(synced).toContain(join(s.directory, "journal", "origin"));
});

test("after a fault the descriptor is never written or synced again", async () => {
  using s = scratch();
  let failing = false;
  const fs = createFaultyFs(({ operation }) =>
    failing && operation === "datasync" ? { errno: "EIO" } : undefined,
  );
  const journal = s.journal({ fs });
  await journal.append(decision());
  failing = true;
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  const failed = fs.calls.findLast(({ operation }) => operation === "datasync");
  failing = false;
  await eventually(() =>
    journal.append(decision()).then(
      () => true,
      () => false,
    ),
  );
  await journal.stop("shutdown", soon());
  const after = fs.calls
    .filter(({ number, path }) => number > (failed?.number ?? 0) && path === failed?.path)
    .map(({ operation }) => operation);
  expect(after).not.toContain("append");
  expect(after).not.toContain("datasync");
  expect(after).not.toContain("sync");
});
