import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type StartEvent, verifyChain } from "@countersign/model";
import { expect, test } from "vitest";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { decision, EPOCH_INFO, eventually, scratch, soon } from "./testing/journal-fixture.ts";

test("an epoch begins with start, ends with stop, and its chain holds", async () => {
  using s = scratch();
  const journal = s.journal();
  const sealed = await Promise.all(
    Array.from({ length: 20 }, (_, n) => journal.append(decision(`t${n}`))),
  );
  await journal.stop("shutdown", soon());
  const epochs = [...(await s.stored()).values()];
  expect(epochs).toHaveLength(1);
  const [events = []] = epochs;
  expect(verifyChain(events)).toEqual({ ok: true });
  expect(events.map((event) => event.event.type.split(".")[2])).toEqual([
    "start",
    ...Array.from({ length: 20 }, () => "decision"),
    "stop",
  ]);
  expect(events.slice(1, -1).map((event) => event.hash)).toEqual(sealed.map((event) => event.hash));
  const start = events[0]?.event as StartEvent;
  expect(start.data).toMatchObject({ epochNumber: 1, tenant: "acme" });
  expect(start.data.previous).toBeUndefined();
});

test("a journal that nothing is appended to leaves no trace", async () => {
  using s = scratch();
  const journal = s.journal();
  await journal.stop("stdin_closed", soon());
  expect(readdirSync(s.directory)).toEqual([]);
});

test("without an append the epoch opens after its time", async () => {
  using s = scratch();
  const journal = s.journal({ openAfterMs: 1 });
  await eventually(() => journal.status().epoch !== undefined);
  await journal.stop("shutdown", soon());
  const [events = []] = (await s.stored()).values();
  expect(events.map((event) => event.event.type.split(".")[2])).toEqual(["start", "stop"]);
});

test("directories are 0700 and files 0600", async () => {
  using s = scratch();
  const journal = s.journal();
  await journal.append(decision());
  const root = join(s.directory, "journal");
  const names = readdirSync(root, { recursive: true, encoding: "utf8" });
  expect(names.length).toBeGreaterThan(4);
  for (const name of names) {
    const stats = statSync(join(root, name));
    expect([name, stats.mode & 0o777]).toEqual([name, stats.isDirectory() ? 0o700 : 0o600]);
  }
  await journal.stop("shutdown", soon());
});

test("short writes are carried on", async () => {
  using s = scratch();
  const fs = createFaultyFs(({ operation }) =>
    operation === "append" ? { shortBytes: 100 } : undefined,
  );
  const journal = s.journal({ fs });
  await Promise.all(Array.from({ length: 5 }, () => journal.append(decision())));
  await journal.stop("shutdown", soon());
  const [events = []] = (await s.stored()).values();
  expect(events).toHaveLength(7);
  expect(verifyChain(events)).toEqual({ ok: true });
});

test("concurrent appends share syncs", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const journal = s.journal({ fs });
  await journal.append(decision());
  const before = fs.calls.filter((call) => call.operation === "datasync").length;
  await Promise.all(Array.from({ length: 200 }, () => journal.append(decision())));
  const syncs = fs.calls.filter((call) => call.operation === "datasync").length - before;
  expect(syncs).toBeLessThanOrEqual(3);
  await journal.stop("shutdown", soon());
});

test("too many waiting: OVERLOADED, and no number is taken", async () => {
  using s = scratch();
  const release = Promise.withResolvers<void>();
  let slow = false;
  const fs = createFaultyFs(({ operation }) =>
    slow && operation === "datasync" ? { until: release.promise } : undefined,
  );
  const journal = s.journal({ fs, limits: { maxWaiting: 4, reserveBytes: 0 } });
  await journal.append(decision());
  slow = true;
  const appends = Array.from({ length: 10 }, () => journal.append(decision()));
  const refused = appends.slice(4);
  for (const append of refused) await expect(append).rejects.toMatchObject({ code: "OVERLOADED" });
  slow = false;
  release.resolve();
  await Promise.all(appends.slice(0, 4));
  await journal.stop("shutdown", soon());
  const [events = []] = (await s.stored()).values();
  expect(events).toHaveLength(7);
  expect(verifyChain(events)).toEqual({ ok: true });
});

test("at the disk budget appends are refused, and stop is still written", async () => {
  using s = scratch();
  const journal = s.journal({ limits: { diskBytes: 8_192, reserveBytes: 0 } });
  const outcomes: PromiseSettledResult<unknown>[] = [];
  for (let n = 0; n < 20; n++) {
    outcomes.push(...(await Promise.allSettled([journal.append(decision())])));
  }
  const refused = outcomes.find((outcome) => outcome.status === "rejected")?.reason as unknown;
  expect(outcomes[0]?.status).toBe("fulfilled");
  expect(refused).toMatchObject({ code: "UNAVAILABLE", retryAfterMs: 1_000 });
  await journal.stop("shutdown", soon());
  const [events = []] = (await s.stored()).values();
  expect(events.at(-1)?.event.type).toMatch(/stop/);
  expect(verifyChain(events)).toEqual({ ok: true });
});

test("segments roll, and an epoch over several is one chain", async () => {
  using s = scratch();
  const journal = s.journal({ limits: { segmentBytes: 4_096, reserveBytes: 0 } });
  for (let n = 0; n < 30; n++) await journal.append(decision());
  await journal.stop("shutdown", soon());
  const names = readdirSync(join(s.directory, "journal"), { recursive: true, encoding: "utf8" });
  expect(names.filter((name) => name.endsWith(".wal")).length).toBeGreaterThan(4);
  const [events = []] = (await s.stored()).values();
  expect(events).toHaveLength(32);
  expect(verifyChain(events)).toEqual({ ok: true });
});

test("time never runs backwards within an epoch", async () => {
  using s = scratch();
  let nowMs = Date.UTC(2026, 10, 22);
  const journal = s.journal({ clock: { now: () => nowMs } });
  const first = await journal.append(decision());
  nowMs -= 60_000;
  const second = await journal.append(decision());
  expect(second.event.time).toBe(first.event.time);
  await journal.stop("shutdown", soon());
});

test("an event that is not valid is refused alone and takes no number", async () => {
  using s = scratch();
  const journal = s.journal();
  await journal.append(decision());
  const draft = decision();
  const bad = journal.append(draft);
  await expect(journal.append(draft)).rejects.toMatchObject({ code: "BUG" });
  await bad;
  await journal.append(decision());
  await journal.stop("shutdown", soon());
  const [events = []] = (await s.stored()).values();
  expect(verifyChain(events)).toEqual({ ok: true });
  expect(events).toHaveLength(5);
});

test("an emitter's info that cannot be sealed opens nothing", async () => {
  using s = scratch();
  const journal = s.journal();
  const broken = s.journal({
    directory: join(s.directory, "broken"),
    epoch: { ...EPOCH_INFO, tenant: "" },
  });
  await expect(broken.append(decision())).rejects.toMatchObject({ code: "BUG" });
  await journal.stop("shutdown", soon());
});

test("after stop appends are refused", async () => {
  using s = scratch();
  const journal = s.journal();
  await journal.append(decision());
  await journal.stop("shutdown", soon());
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("calls that ran without a record are told in the next healthy epoch", async () => {
  using s = scratch();
  const journal = s.journal({ epoch: { ...EPOCH_INFO, mode: "observe" } });
  journal.noteUnrecorded(2, Date.UTC(2026, 0, 1), Date.UTC(2026, 0, 2));
  journal.noteUnrecorded(1, Date.UTC(2026, 0, 2), Date.UTC(2026, 0, 3));
  await journal.append(decision());
  journal.noteUnrecorded(5, Date.UTC(2026, 0, 4), Date.UTC(2026, 0, 4));
  await journal.stop("shutdown", soon());
  const [events = []] = (await s.stored()).values();
  const lost = events.filter((event) => event.event.type.includes(".lost."));
  expect(lost.map((event) => event.event.data)).toMatchObject([
    {
      what: "calls",
      count: 3,
      reason: "observe",
      calls: { since: "2026-01-01T00:00:00.000Z", until: "2026-01-03T00:00:00.000Z" },
    },
    { what: "calls", count: 5 },
  ]);
});

test("heartbeats follow busy times, and say the counters", async () => {
  using s = scratch();
  const journal = s.journal({ heartbeatMs: 5 });
  await journal.append(decision());
  journal.counters.allow = 7;
  await journal.append(decision());
  await eventually(async () => {
    const [events = []] = (await s.stored()).values();
    return events.some((event) => event.event.type.includes("heartbeat"));
  });
  await journal.stop("shutdown", soon());
  const [events = []] = (await s.stored()).values();
  const beat = events.find((event) => event.event.type.includes("heartbeat"));
  expect(beat?.event.data).toMatchObject({
    counters: { allow: 7 },
    journal: { unacknowledged: 3 },
  });
  expect(verifyChain(events)).toEqual({ ok: true });
});

test("an emitter name is kept, given, or refused", async () => {
  using s = scratch();
  const first = s.journal();
  await first.append(decision());
  const { emitter } = first.status();
  expect(emitter).toMatch(/^[0-9a-f]{16}$/);
  await first.stop("shutdown", soon());
  const second = s.journal();
  await second.append(decision());
  expect(second.status().emitter).toBe(emitter);
  await second.stop("shutdown", soon());
  const named = s.journal({ env: { COUNTERSIGN_EMITTER: "tickets-1" } });
  await named.append(decision());
  expect(named.status().emitter).toBe("tickets-1");
  await named.stop("shutdown", soon());
  expect(() => s.journal({ env: { COUNTERSIGN_EMITTER: "Not/valid" } })).toThrow(/must match/);
});

test("a network file system is refused, and says what to do", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const journal = s.journal({ fs: { ...fs, filesystemType: () => Promise.resolve(0x6969) } });
  await expect(journal.append(decision())).rejects.toMatchObject({
    code: "CONFIG_INVALID",
    message: expect.stringMatching(/NFS.*COUNTERSIGN_STATE_DIR/) as unknown,
  });
});
