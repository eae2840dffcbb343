import { mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Chain, type SealedEvent, unseal, verifyChain } from "@countersign/model";
import { expect, test } from "vitest";
import { systemClock } from "./clock.ts";
import { createEpochReader, type JournalRecord } from "./epoch-reader.ts";
import {
  type Durable,
  type EpochWriter,
  type EpochWriterOptions,
  openEpochWriter,
} from "./epoch-writer.ts";
import { nodeFs } from "./fs.ts";
import { readHeader } from "./segment.ts";
import { createFaultyFs, type FaultyFs } from "./testing/faulty-fs.ts";
import { decision, EPOCH_INFO, type Scratch, scratch } from "./testing/journal-fixture.ts";

const EPOCH = "8ca74318d50c4c1be14ceba89d191e69";

async function open(
  s: Scratch,
  fs: FaultyFs,
  faults: string[] = [],
  others: Partial<EpochWriterOptions> = {},
): Promise<EpochWriter> {
  const epochPath = join(s.directory, "epoch");
  mkdirSync(epochPath);
  return await openEpochWriter({
    fs,
    epochPath,
    header: {
      emitter: "origin",
      epoch: EPOCH,
      epochNumber: 1,
      tenant: EPOCH_INFO.tenant,
      service: { name: "tickets" },
      producer: "0.1.0",
    },
    clock: systemClock,
    segmentBytes: 1_000_000,
    maxWaiting: 100,
    maxWaitingBytes: 1_000_000,
    gatherMs: 10,
    onDurable: () => undefined,
    onFault: (error) => faults.push(error.code),
    ...others,
  });
}

function count(fs: FaultyFs, operation: string): number {
  return fs.calls.filter((call) => call.operation === operation).length;
}

async function recordsOf(s: Scratch): Promise<JournalRecord[]> {
  const reader = createEpochReader({ fs: nodeFs, epochPath: join(s.directory, "epoch") });
  const records: JournalRecord[] = [];
  for (let step = await reader.next(); step; step = await reader.next()) {
    records.push(...step.records);
  }
  return records;
}

function sizes(s: Scratch): number[] {
  const path = join(s.directory, "epoch");
  return readdirSync(path)
    .toSorted()
    .map((name) => statSync(join(path, name)).size);
}

test("a writer that failed once refuses for ever, without touching the disk", async () => {
  using s = scratch();
  const faults: string[] = [];
  const fs = createFaultyFs(({ operation, ofOperation }) =>
    operation === "datasync" && ofOperation === 2 ? { errno: "EIO" } : undefined,
  );
  const writer = await open(s, fs, faults);
  await writer.append(decision());
  const together = await Promise.allSettled([writer.append(decision()), writer.append(decision())]);
  expect(together.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(faults).toEqual(["UNAVAILABLE"]);
  const calls = fs.calls.filter(({ operation }) => operation !== "close").length;
  await expect(writer.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await writer.close();
  expect(fs.calls.filter(({ operation }) => operation !== "close")).toHaveLength(calls);
  expect(writer.durable?.seq).toBe(0);
});

test("a failing sync refuses also those who came while it ran, and what they brought is not written", async () => {
  using s = scratch();
  const faults: string[] = [];
  const release = Promise.withResolvers<void>();
  const fs = createFaultyFs(({ operation }) =>
    operation === "datasync" ? { errno: "EIO", until: release.promise } : undefined,
  );
  const writer = await open(s, fs, faults);
  const first = writer.append(decision());
  while (!fs.calls.some(({ operation }) => operation === "datasync")) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const later = writer.append(decision());
  release.resolve();
  const outcomes = await Promise.allSettled([first, later]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await writer.close();
  expect(faults).toHaveLength(1);
  const writes = fs.calls.filter(({ operation }) => operation === "append");
  // The header, and the first event.
  expect(writes).toHaveLength(2);
});

test("callers are told in the order in which they came", async () => {
  using s = scratch();
  const writer = await open(s, createFaultyFs());
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 50 }, (_, n) => writer.append(decision()).then(() => order.push(n))),
  );
  expect(order).toEqual(Array.from({ length: 50 }, (_, n) => n));
  await writer.close();
});

test("close waits for what is pending", async () => {
  using s = scratch();
  const writer = await open(s, createFaultyFs());
  const pending = Array.from({ length: 5 }, () => writer.append(decision()));
  await writer.close();
  await expect(Promise.all(pending)).resolves.toHaveLength(5);
  await expect(writer.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("events of one turn share one write and one sync, up to a mebibyte", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const ends: number[] = [];
  const writer = await open(s, fs, [], {
    maxWaiting: 10_000,
    maxWaitingBytes: 10_000_000,
    segmentBytes: 10_000_000,
    onDurable: ({ seq }) => ends.push(seq + 1),
  });
  const events = await Promise.all(Array.from({ length: 3_000 }, () => writer.append(decision())));
  expect(count(fs, "datasync")).toBe(ends.length);
  expect(count(fs, "append")).toBe(ends.length + 1);
  expect(ends.at(-1)).toBe(3_000);
  // A text of n units is counted as 3n bytes until it is written, since it may be that long.
  const frame = (n: number): number => 20 + (events[n] as SealedEvent).bytes.length;
  const most = (n: number): number => 20 + 3 * (events[n] as SealedEvent).bytes.length;
  let from = 0;
  for (const end of ends.slice(0, -1)) {
    let bytes = 0;
    for (let n = from; n < end; n++) {
      expect(n === from || bytes + most(n) <= 1_048_576).toBe(true);
      bytes += frame(n);
    }
    expect(bytes + most(end)).toBeGreaterThan(1_048_576);
    from = end;
  }
  expect(ends.length).toBeGreaterThan(2);
  await writer.close();
  expect(await recordsOf(s)).toHaveLength(3_000);
});

test("there is room until so many, or so many bytes, wait, and again when they are written", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const writer = await open(s, fs, [], { maxWaiting: 3, maxWaitingBytes: 10_000_000 });
  const waiting = [writer.append(decision()), writer.append(decision())];
  expect(writer.hasRoom()).toBe(true);
  waiting.push(writer.append(decision()));
  expect(writer.hasRoom()).toBe(false);
  await Promise.all(waiting);
  expect(writer.hasRoom()).toBe(true);
  await writer.close();
});

test("bytes that wait are counted as they are in the file", async () => {
  using s = scratch();
  using other = scratch();
  const probe = await open(s, createFaultyFs());
  const { bytes } = await probe.append(decision());
  await probe.close();
  const frame = bytes.length + 20;
  const writer = await open(other, createFaultyFs(), [], { maxWaitingBytes: 2 * frame });
  const waiting = [writer.append(decision())];
  expect(writer.hasRoom()).toBe(true);
  waiting.push(writer.append(decision()));
  expect(writer.hasRoom()).toBe(false);
  await Promise.all(waiting);
  expect(writer.hasRoom()).toBe(true);
  await writer.close();
});

test("a segment is full when the next batch does not fit, and the next one says where it goes on", async () => {
  using s = scratch();
  using other = scratch();
  const probe = await open(s, createFaultyFs());
  const header = probe.bytes;
  const frame = (await probe.append(decision())).bytes.length + 20;
  await probe.close();
  // Exactly two fit.
  const fs = createFaultyFs();
  const writer = await open(other, fs, [], { segmentBytes: header + 2 * frame });
  const events = [];
  for (let n = 0; n < 5; n++) events.push(await writer.append(decision()));
  const path = join(other.directory, "epoch");
  const names = readdirSync(path).toSorted();
  expect(names).toEqual(["00000000.wal", "00000001.wal", "00000002.wal"]);
  expect(sizes(other)[0]).toBe(header + 2 * frame);
  expect(writer.bytes).toBe(sizes(other).reduce((sum, size) => sum + size, 0));
  expect(writer.durable?.position).toEqual({ segment: 2, offset: sizes(other)[2] });
  const file = await nodeFs.open(join(path, "00000001.wal"), "read");
  const found = await readHeader(file);
  await file.close();
  expect(found?.header).toMatchObject({
    format: 1,
    segment: 1,
    firstSeq: 2,
    prev: events[1]?.hash,
  });
  // Both that are full were closed.
  expect(count(fs, "close")).toBe(2);
  await writer.close();
  expect(count(fs, "close")).toBe(3);
  expect(verifyChain((await recordsOf(other)).map(({ body }) => unseal(body)))).toEqual({
    ok: true,
  });
});

test("the first batch goes into the first segment, however large it is", async () => {
  using s = scratch();
  const writer = await open(s, createFaultyFs(), [], { segmentBytes: 10 });
  await writer.append(decision());
  expect(sizes(s)).toHaveLength(1);
  await writer.append(decision());
  expect(sizes(s)).toHaveLength(2);
  await writer.close();
});

test("what is durable is said before callers are told, with the place right behind it", async () => {
  using s = scratch();
  const said: (Durable & { told: number })[] = [];
  let told = 0;
  const writer = await open(s, createFaultyFs(), [], {
    onDurable: (durable) => said.push({ ...durable, told }),
  });
  const events = await Promise.all(
    [1, 2, 3].map(async () => {
      const event = await writer.append(decision());
      told += 1;
      return event;
    }),
  );
  expect(said).toEqual([
    { seq: 2, hash: events[2]?.hash, told: 0, position: { segment: 0, offset: sizes(s)[0] } },
  ]);
  expect(writer.durable).toMatchObject({ seq: 2, hash: events[2]?.hash });
  await writer.close();
});

test("time never runs backwards within an epoch", async () => {
  using s = scratch();
  const times = [5_000, 4_000, 6_000, 1_000];
  const writer = await open(s, createFaultyFs(), [], {
    clock: { now: () => times.shift() as number },
  });
  const events = [];
  for (let n = 0; n < 4; n++) events.push(await writer.append(decision()));
  expect(events.map(({ event }) => Date.parse(event.time))).toEqual([5_000, 5_000, 6_000, 6_000]);
  await writer.close();
});

test("an event that is not valid is refused by itself, and takes no number", async () => {
  using s = scratch();
  const writer = await open(s, createFaultyFs());
  const twice = decision();
  const first = await writer.append(twice);
  const refused = writer.append(twice);
  const next = writer.append(decision());
  await expect(refused).rejects.toMatchObject({ code: "BUG" });
  const { chain } = (await next).event.data as { chain: Chain };
  expect(chain).toMatchObject({ seq: 1, prev: first.hash });
  expect([writer.events, writer.fault]).toEqual([2, undefined]);
  await writer.close();
});

test("a directory that is not ours any more ends the epoch before anything is written", async () => {
  using s = scratch();
  const faults: string[] = [];
  const fs = createFaultyFs();
  let ours = true;
  const writer = await open(s, fs, faults, {
    guard: () => (ours ? Promise.resolve() : Promise.reject(new Error("taken"))),
  });
  await writer.append(decision());
  ours = false;
  const before = count(fs, "append");
  await expect(writer.append(decision())).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("unknown error"),
    cause: expect.objectContaining({ message: "taken" }),
  });
  expect(count(fs, "append")).toBe(before);
  expect(faults).toEqual(["UNAVAILABLE"]);
  expect([writer.hasRoom(), writer.fault?.code]).toEqual([true, "UNAVAILABLE"]);
  expect(count(fs, "close")).toBe(1);
});

test("a fault makes room for nobody to wait, and names what the system said", async () => {
  using s = scratch();
  const fs = createFaultyFs(({ operation, ofOperation }) =>
    operation === "datasync" && ofOperation === 1 ? { errno: "ENOSPC" } : undefined,
  );
  const writer = await open(s, fs, [], { maxWaiting: 2 });
  const both = [writer.append(decision()), writer.append(decision())];
  expect(writer.hasRoom()).toBe(false);
  for (const each of await Promise.allSettled(both)) {
    expect(each).toMatchObject({ reason: { message: expect.stringContaining("ENOSPC") } });
  }
  expect(writer.hasRoom()).toBe(true);
  expect(writer.durable).toBeUndefined();
});

test("what nobody waits for is written when the time is over, or at the end, not sooner", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  const writer = await open(s, fs, [], { gatherMs: 3_600_000 });
  let written = false;
  const relaxed = writer.append(decision(), { relaxed: true }).finally(() => {
    written = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect([written, count(fs, "datasync")]).toEqual([false, 0]);
  await writer.close();
  await relaxed;
  expect([count(fs, "datasync"), (await recordsOf(s)).length]).toEqual([1, 1]);
  using other = scratch();
  const quick = await open(other, createFaultyFs(), [], { gatherMs: 5 });
  await quick.append(decision(), { relaxed: true });
  await quick.append(decision(), { relaxed: true });
  expect(quick.durable?.seq).toBe(1);
  await quick.close();
});

test("a close that fails is nobody's fault", async () => {
  using s = scratch();
  const writer = await open(
    s,
    createFaultyFs(({ operation }) => (operation === "close" ? { errno: "EIO" } : undefined)),
  );
  await writer.append(decision());
  await writer.close();
  expect(writer.fault?.message).toContain("closed");
  await writer.close();
});

test("bytes of segments that are deleted do not count any more, those of others do", async () => {
  using s = scratch();
  const writer = await open(s, createFaultyFs(), [], { segmentBytes: 10 });
  for (let n = 0; n < 4; n++) await writer.append(decision());
  const [first = 0, second = 0, third = 0, fourth = 0] = sizes(s);
  expect(writer.bytes).toBe(first + second + third + fourth);
  writer.deletedBefore(0);
  expect(writer.bytes).toBe(first + second + third + fourth);
  writer.deletedBefore(2);
  expect(writer.bytes).toBe(third + fourth);
  writer.deletedBefore(2);
  expect(writer.bytes).toBe(third + fourth);
  writer.deletedBefore(9);
  // The one that is written to stays.
  expect(writer.bytes).toBe(fourth);
  await writer.close();
});
