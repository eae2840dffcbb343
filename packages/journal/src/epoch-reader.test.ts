import {
  appendFileSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createEpochReader, type EpochReader, type Position } from "./epoch-reader.ts";
import { encodeFrame, FRAME_HEADER_BYTES } from "./frames.ts";
import { deadEpoch, EMITTER, spoilByte } from "./testing/dead-epoch.ts";
import { createFaultyFs, type FaultyFs } from "./testing/faulty-fs.ts";
import { type Scratch, scratch } from "./testing/journal-fixture.ts";

const ONE_EACH = 100;
type Steps = Awaited<ReturnType<EpochReader["next"]>>[];

function epoch(s: Scratch, events: number, segmentBytes?: number): Promise<string> {
  return deadEpoch(join(s.directory, EMITTER), events, segmentBytes);
}

function wal(path: string, index: number): string {
  return join(path, `${String(index).padStart(8, "0")}.wal`);
}

/** Offsets of the frames of a whole segment; the first is its header. */
function framesOf(file: string): number[] {
  const bytes = readFileSync(file);
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; at += FRAME_HEADER_BYTES + bytes.readUInt32BE(at + 4)) {
    starts.push(at);
  }
  return starts;
}

function onlyHeader(file: string): void {
  truncateSync(file, framesOf(file)[1] as number);
}

/** Everything there is, step by step; no step is empty. */
async function steps(reader: EpochReader, limit?: Position): Promise<Steps> {
  const all: Steps = [];
  for (let step = await reader.next(limit); step; step = await reader.next(limit)) {
    expect(step.records.length + step.lost.length + Number(step.damaged)).toBeGreaterThanOrEqual(
      step.torn === undefined ? 1 : 0,
    );
    all.push(step);
  }
  return all;
}

function seqs(all: Steps): number[] {
  return all.flatMap((step) => step?.records.map(({ seq }) => seq) ?? []);
}

function lostOf(all: Steps): unknown[] {
  return all.flatMap((step) => step?.lost ?? []);
}

function isDamaged(all: Steps): boolean {
  return all.some((step) => step?.damaged);
}

async function read(
  path: string,
  options: { fromSeq?: number; live?: boolean; fs?: FaultyFs } = {},
): Promise<Steps> {
  const reader = createEpochReader({ fs: createFaultyFs(), epochPath: path, ...options });
  const all = await steps(reader);
  await reader.close();
  return all;
}

/** Records of a raw segment, whose frames hold what is wanted. */
function rawSegment(file: string, bodies: readonly Buffer[], firstSeq: number): void {
  const frames = bodies.map((body, index) => encodeFrame(firstSeq + index, body));
  appendFileSync(file, Buffer.concat(frames));
}

test("every record, with its place, over segments and windows", async () => {
  using s = scratch();
  const path = await epoch(s, 0);
  // Longer than two windows, frames of odd sizes across their borders.
  const bodies = Array.from({ length: 60 }, (_, n) => Buffer.alloc(10_000 + 37 * n, n));
  rawSegment(wal(path, 0), bodies, 0);
  const fs = createFaultyFs();
  const all = await read(path, { fs });
  expect(seqs(all)).toEqual(bodies.map((_, n) => n));
  expect(all.length).toBeGreaterThan(2);
  expect([isDamaged(all), lostOf(all)]).toEqual([false, []]);
  const starts = framesOf(wal(path, 0)).slice(1);
  for (const record of all.flatMap((step) => step?.records ?? [])) {
    expect(record).toMatchObject({ segment: 0, offset: starts[record.seq] });
    expect(Buffer.from(record.body).equals(bodies[record.seq] as Buffer)).toBe(true);
  }
  expect(fs.calls.filter(({ operation }) => operation === "close")).toHaveLength(1);
});

test("damage in a window of many: what is behind it is found, and what is missing is known", async () => {
  using s = scratch();
  const path = await epoch(s, 0);
  rawSegment(
    wal(path, 0),
    Array.from({ length: 60 }, () => Buffer.alloc(10_000)),
    0,
  );
  const starts = framesOf(wal(path, 0)).slice(1);
  spoilByte(wal(path, 0), (starts[3] as number) + 50);
  const all = await read(path);
  expect(seqs(all)).toEqual(Array.from({ length: 60 }, (_, n) => n).toSpliced(3, 1));
  expect([isDamaged(all), lostOf(all)]).toEqual([true, [{ fromSeq: 3, toSeq: 3 }]]);
});

test.each([262_000, 262_144, 300_000, 327_680, 400_000, 524_288])(
  "%i bytes that are nothing hide no frame behind them",
  async (length) => {
    using s = scratch();
    const path = await epoch(s, 0);
    appendFileSync(wal(path, 0), Buffer.alloc(length, 1));
    rawSegment(wal(path, 0), [Buffer.alloc(60_000), Buffer.from("x")], 2);
    const all = await read(path);
    expect([seqs(all), lostOf(all)]).toEqual([[2, 3], [{ fromSeq: 0, toSeq: 1 }]]);
  },
);

test("segments that were begun and not written to are passed by", async () => {
  using s = scratch();
  const path = await epoch(s, 3, ONE_EACH);
  onlyHeader(wal(path, 2));
  expect(seqs(await read(path))).toEqual([0, 1]);
  onlyHeader(wal(path, 0));
  const all = await read(path);
  expect([seqs(all), lostOf(all), isDamaged(all)]).toEqual([
    [1],
    [{ fromSeq: 0, toSeq: 0 }],
    false,
  ]);
});

test.each([false, true])(
  "a hole before a segment that holds nothing yet is told, live: %s",
  async (live) => {
    using s = scratch();
    const path = await epoch(s, 3, ONE_EACH);
    rmSync(wal(path, 1));
    onlyHeader(wal(path, 2));
    const all = await read(path, { live });
    expect([seqs(all), lostOf(all)]).toEqual([[0], [{ fromSeq: 1, toSeq: 1 }]]);
  },
);

test("a frame that is gone without a trace is damage and a loss", async () => {
  using s = scratch();
  const path = await epoch(s, 4);
  const bytes = readFileSync(wal(path, 0));
  const [, , second = 0, third = 0] = framesOf(wal(path, 0));
  writeFileSync(wal(path, 0), Buffer.concat([bytes.subarray(0, second), bytes.subarray(third)]));
  const all = await read(path);
  expect([seqs(all), lostOf(all), isDamaged(all)]).toEqual([
    [0, 2, 3],
    [{ fromSeq: 1, toSeq: 1 }],
    true,
  ]);
});

test("an old copy of a segment brings nothing a second time", async () => {
  using s = scratch();
  const path = await epoch(s, 3, ONE_EACH);
  writeFileSync(wal(path, 3), readFileSync(wal(path, 0)));
  const all = await read(path);
  expect([seqs(all), lostOf(all), isDamaged(all)]).toEqual([[0, 1, 2], [], true]);
});

test("what was before the first segment that is there was acknowledged, not lost", async () => {
  using s = scratch();
  const path = await epoch(s, 4, ONE_EACH);
  rmSync(wal(path, 0));
  rmSync(wal(path, 1));
  expect(lostOf(await read(path))).toEqual([]);
  expect(lostOf(await read(path, { fromSeq: 2 }))).toEqual([]);
  expect(lostOf(await read(path, { fromSeq: 1 }))).toEqual([{ fromSeq: 1, toSeq: 1 }]);
  const later = await read(path, { fromSeq: 3 });
  expect([seqs(later), lostOf(later), isDamaged(later)]).toEqual([[3], [], false]);
});

test("of a hole only what was asked for is lost", async () => {
  using s = scratch();
  const path = await epoch(s, 5, ONE_EACH);
  rmSync(wal(path, 1));
  rmSync(wal(path, 2));
  const lost = async (fromSeq: number): Promise<unknown> => lostOf(await read(path, { fromSeq }));
  expect(await lost(0)).toEqual([{ fromSeq: 1, toSeq: 2 }]);
  expect(await lost(1)).toEqual([{ fromSeq: 1, toSeq: 2 }]);
  expect(await lost(2)).toEqual([{ fromSeq: 2, toSeq: 2 }]);
  expect(await lost(3)).toEqual([]);
  expect(await lost(4)).toEqual([]);
  expect(seqs(await read(path, { fromSeq: 4 }))).toEqual([4]);
});

test("an unreadable header is damage, and only the first segment is known to begin at 0", async () => {
  using s = scratch();
  const path = await epoch(s, 6, 2_000);
  const [, second = ""] = readdirSync(path).toSorted();
  for (const index of readdirSync(path).keys()) spoilByte(wal(path, index), 30);
  const whole = await read(path);
  expect([seqs(whole), lostOf(whole), isDamaged(whole)]).toEqual([[0, 1, 2, 3, 4, 5], [], true]);
  expect(second).toBe("00000001.wal");
  rmSync(wal(path, 0));
  const rest = await read(path);
  const [first = 0] = seqs(rest);
  expect(first).toBeGreaterThan(0);
  expect(lostOf(rest)).toEqual([]);
  // From the middle of what the first of them holds: what is before is no old copy.
  const later = await read(path, { fromSeq: 5 });
  expect([seqs(later), lostOf(later)]).toEqual([[5], []]);
});

test("what is before the one that is asked for is passed by, and is no damage", async () => {
  using s = scratch();
  const path = await epoch(s, 1);
  const bytes = readFileSync(wal(path, 0));
  rmSync(wal(path, 0));
  writeFileSync(wal(path, 1), bytes.subarray(FRAME_HEADER_BYTES + bytes.readUInt32BE(4)));
  rawSegment(wal(path, 1), [Buffer.from("a"), Buffer.from("b"), Buffer.from("c")], 1);
  const all = await read(path, { fromSeq: 2 });
  expect([seqs(all), lostOf(all)]).toEqual([[2, 3], []]);
  expect(all.map((step) => step?.damaged)).toEqual([false]);
});

test("a reader goes on after an error where it was", async () => {
  using s = scratch();
  const path = await epoch(s, 3);
  const whole = readFileSync(wal(path, 0));
  const [, , , third = 0] = framesOf(wal(path, 0));
  writeFileSync(wal(path, 0), whole.subarray(0, third));
  let fails = false;
  const fs = createFaultyFs(({ operation }) =>
    fails && operation === "read" ? { errno: "EIO" } : undefined,
  );
  const reader = createEpochReader({ fs, epochPath: path, live: true });
  expect(seqs(await steps(reader))).toEqual([0, 1]);
  writeFileSync(wal(path, 0), whole);
  fails = true;
  await expect(reader.next()).rejects.toMatchObject({ code: "EIO" });
  await expect(reader.next()).rejects.toMatchObject({ code: "EIO" });
  fails = false;
  const rest = await steps(reader);
  expect([seqs(rest), lostOf(rest), isDamaged(rest)]).toEqual([[2], [], false]);
  await reader.close();
  const opened = fs.calls.filter(({ operation }) => operation === "open").length;
  expect(fs.calls.filter(({ operation }) => operation === "close")).toHaveLength(opened);
});

test("a segment that cannot be opened is opened again", async () => {
  using s = scratch();
  const path = await epoch(s, 3, ONE_EACH);
  let left = 1;
  const fs = createFaultyFs(({ operation, path: at }) =>
    operation === "open" && at.endsWith("1.wal") && left-- > 0 ? { errno: "EMFILE" } : undefined,
  );
  const reader = createEpochReader({ fs, epochPath: path });
  expect((await reader.next())?.records.map(({ seq }) => seq)).toEqual([0]);
  await expect(reader.next()).rejects.toMatchObject({ code: "EMFILE" });
  const rest = await steps(reader);
  expect([seqs(rest), lostOf(rest)]).toEqual([[1, 2], []]);
});

test("nothing behind the limit is read, although it is there", async () => {
  using s = scratch();
  const path = await epoch(s, 4, 2_500);
  const [, first = 0, second = 0] = framesOf(wal(path, 0));
  const end = readFileSync(wal(path, 0)).length;
  expect(readdirSync(path).length).toBeGreaterThan(1);
  const reader = createEpochReader({ fs: createFaultyFs(), epochPath: path, live: true });
  expect(await steps(reader, { segment: 0, offset: first })).toEqual([]);
  expect(seqs(await steps(reader, { segment: 0, offset: second }))).toEqual([0]);
  // Nothing new, and the segment behind it is not for us yet.
  expect(await steps(reader, { segment: 0, offset: second })).toEqual([]);
  const rest = framesOf(wal(path, 0)).length - 2;
  expect(seqs(await steps(reader, { segment: 0, offset: end }))).toHaveLength(rest);
  const all = await steps(reader);
  expect(seqs(all)).toEqual([0, 1, 2, 3].slice(rest + 1));
  expect([lostOf(all), isDamaged(all)]).toEqual([[], false]);
  await reader.close();
});

test("of a living writer what is half written is waited for", async () => {
  using s = scratch();
  const path = await epoch(s, 2);
  const whole = readFileSync(wal(path, 0));
  const [, , second = 0] = framesOf(wal(path, 0));
  writeFileSync(wal(path, 0), whole.subarray(0, second + 100));
  const reader = createEpochReader({ fs: createFaultyFs(), epochPath: path, live: true });
  const [step, ...more] = await steps(reader);
  expect(step).toMatchObject({ records: [{ seq: 0 }], lost: [], damaged: false });
  expect([step, more]).toEqual([expect.not.objectContaining({ torn: expect.anything() }), []]);
  expect(await reader.next()).toBeUndefined();
  writeFileSync(wal(path, 0), whole);
  expect(seqs(await steps(reader))).toEqual([1]);
  await reader.close();
});

test("a tail is torn once, and then there is nothing more", async () => {
  using s = scratch();
  const path = await epoch(s, 2);
  const whole = readFileSync(wal(path, 0));
  const [, , second = 0] = framesOf(wal(path, 0));
  writeFileSync(wal(path, 0), whole.subarray(0, second + 100));
  const reader = createEpochReader({ fs: createFaultyFs(), epochPath: path });
  const all = await steps(reader);
  expect(all.map((step) => step?.torn)).toEqual([{ segment: 0, offset: second, bytes: 100 }]);
  expect(seqs(all)).toEqual([0]);
});

test("who closes a reader reads no more of it, and leaves no file open", async () => {
  using s = scratch();
  const path = await epoch(s, 3, ONE_EACH);
  const fs = createFaultyFs();
  const reader = createEpochReader({ fs, epochPath: path, live: true });
  expect((await reader.next())?.records).toHaveLength(1);
  await reader.close();
  expect(await reader.next()).toBeUndefined();
  const opened = fs.calls.filter(({ operation }) => operation === "open").length;
  expect(fs.calls.filter(({ operation }) => operation === "close")).toHaveLength(opened);
  const calls = fs.calls.length;
  expect(await reader.next()).toBeUndefined();
  expect(fs.calls).toHaveLength(calls);
});
