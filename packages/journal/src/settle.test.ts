import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { draftStop, type SealedEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { createCounterBook } from "./emitter-counters.ts";
import { FRAME_HEADER_BYTES } from "./frames.ts";
import { nodeFs } from "./fs.ts";
import { settleEpoch } from "./settle.ts";
import { openCursor } from "./ship/cursor.ts";
import { deadEpoch, EMITTER, epochId, openEpoch, spoilByte } from "./testing/dead-epoch.ts";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { decision, EPOCH_INFO, type Scratch, scratch } from "./testing/journal-fixture.ts";

/** So small that each event has a segment of its own. */
const ONE_EACH = 100;

function home({ directory }: Scratch): string {
  return join(directory, EMITTER);
}

function segments(path: string): string[] {
  return readdirSync(path)
    .filter((name) => name.endsWith(".wal"))
    .toSorted();
}

function levels({ log }: Scratch): string[] {
  return log.lines.map(({ level }) => level);
}

async function acknowledge(path: string, next: number): Promise<void> {
  const cursor = await openCursor(nodeFs, path);
  await cursor.move(next);
  await cursor.close();
}

test("an epoch that is whole: its last event, and no stop", async () => {
  using s = scratch();
  await deadEpoch(home(s), 1);
  const { writer, claim } = await openEpoch(home(s));
  let last: SealedEvent | undefined;
  for (let n = 0; n < 3; n++) last = await writer.append(decision());
  await writer.close();
  expect(await settleEpoch(nodeFs, claim.path, s.log)).toEqual({
    emitter: EMITTER,
    epoch: epochId(2),
    epochNumber: 2,
    tenant: EPOCH_INFO.tenant,
    seq: 2,
    hash: last?.hash,
    end: "no_stop",
    lost: [],
  });
  expect(levels(s)).toEqual([]);
});

test("an epoch whose stop is there although nobody wrote down its end", async () => {
  using s = scratch();
  const { writer, claim } = await openEpoch(home(s));
  await writer.append(decision());
  const { counters } = createCounterBook();
  await writer.append(
    draftStop({ tenant: EPOCH_INFO.tenant, reason: "shutdown", uptimeMs: 1, counters }),
  );
  await writer.close();
  expect(await settleEpoch(nodeFs, claim.path, s.log)).toMatchObject({ seq: 1, end: "stop" });
});

test("what was written and perhaps not synced is synced before it is named, and its name with it", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 2, ONE_EACH);
  const fs = createFaultyFs();
  await settleEpoch(fs, path, s.log);
  const last = join(path, segments(path).at(-1) as string);
  const durable = fs.calls
    .filter(({ operation }) => operation.toLowerCase().includes("sync"))
    .map((call) => [call.operation, call.path]);
  expect(durable).toEqual([
    ["datasync", last],
    ["syncDirectory", path],
    ["syncDirectory", dirname(path)],
  ]);
  const opened = fs.calls.filter(({ operation }) => operation === "open").length;
  expect(fs.calls.filter(({ operation }) => operation === "close")).toHaveLength(opened - 1);
});

test.each(["datasync", "syncDirectory"])(
  "an epoch whose %s fails is not settled",
  async (failing) => {
    using s = scratch();
    const path = await deadEpoch(home(s), 1);
    const fs = createFaultyFs(({ operation }) =>
      operation === failing ? { errno: "EIO" } : undefined,
    );
    await expect(settleEpoch(fs, path, s.log)).rejects.toMatchObject({ code: "EIO" });
    const count = (what: string): number =>
      fs.calls.filter(({ operation }) => operation === what).length;
    expect(count("close")).toBe(count("open") - 1);
  },
);

test("a torn tail is cut, synced, and said", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 2);
  const file = join(path, "00000000.wal");
  const whole = readFileSync(file);
  writeFileSync(file, Buffer.concat([whole, whole.subarray(0, 50)]));
  const fs = createFaultyFs();
  expect(await settleEpoch(fs, path, s.log)).toMatchObject({ seq: 1, end: "no_stop", lost: [] });
  expect(readFileSync(file).equals(whole)).toBe(true);
  const operations = fs.calls.map(({ operation }) => operation);
  const from = operations.indexOf("truncate");
  expect(operations.slice(from, from + 3)).toEqual(["truncate", "sync", "close"]);
  expect(s.log.lines).toMatchObject([{ level: "warn", fields: { segment: 0, bytes: 50 } }]);
});

test("an epoch that died in its first header never was, and nothing of it stays", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 0);
  truncateSync(join(path, "00000000.wal"), 30);
  const fs = createFaultyFs();
  expect(await settleEpoch(fs, path, s.log)).toBeUndefined();
  expect(readdirSync(path)).toEqual([]);
  const operations = fs.calls.map(({ operation }) => operation);
  expect(operations.slice(operations.indexOf("remove"))).toEqual([
    "remove",
    "syncDirectory",
    "list",
  ]);
  expect(levels(s)).toEqual(["warn"]);
});

test("an epoch without an event never was", async () => {
  using s = scratch();
  expect(await settleEpoch(nodeFs, await deadEpoch(home(s), 0), s.log)).toBeUndefined();
});

test("a segment that was begun and not written to says what came before it", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 3, ONE_EACH);
  const [, middle = "", last = ""] = segments(path);
  const header = readFileSync(join(path, last));
  truncateSync(join(path, last), FRAME_HEADER_BYTES + header.readUInt32BE(4));
  await acknowledge(path, 1);
  const before = {
    emitter: EMITTER,
    epoch: epochId(1),
    epochNumber: 1,
    tenant: EPOCH_INFO.tenant,
    seq: 1,
  };
  const settled = await settleEpoch(nodeFs, path, s.log);
  expect(settled).toMatchObject({ ...before, end: "no_stop", lost: [] });
  // Acknowledged and deleted, all but the file that is being written to.
  await acknowledge(path, 2);
  for (const name of segments(path)) {
    if (name !== last) await nodeFs.remove(join(path, name));
  }
  const hash = settled?.hash;
  expect(await settleEpoch(nodeFs, path, s.log)).toEqual({
    ...before,
    hash,
    end: "no_stop",
    lost: [],
  });
  expect(middle).not.toBe("");
  expect(levels(s)).toEqual([]);
  // What is left of an event behind it is damage, for there is something after it.
  writeFileSync(join(path, "00000001.wal"), Buffer.alloc(100));
  expect(await settleEpoch(nodeFs, path, s.log)).toMatchObject({ ...before, end: "corrupt" });
});

test("a hole before a segment that was begun is a loss", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 3, ONE_EACH);
  for (const name of ["00000000.wal", "00000002.wal"]) {
    const header = readFileSync(join(path, name));
    truncateSync(join(path, name), FRAME_HEADER_BYTES + header.readUInt32BE(4));
  }
  await nodeFs.remove(join(path, "00000001.wal"));
  const lost = [{ fromSeq: 0, toSeq: 1 }];
  expect(await settleEpoch(createFaultyFs(), path, s.log)).toMatchObject({ end: "corrupt", lost });
});

test("an old copy of a frame is damage without a loss", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 3);
  const file = join(path, "00000000.wal");
  const bytes = readFileSync(file);
  const first = FRAME_HEADER_BYTES + bytes.readUInt32BE(4);
  const frame = bytes.subarray(first, first + FRAME_HEADER_BYTES + bytes.readUInt32BE(first + 4));
  writeFileSync(file, Buffer.concat([bytes, frame]));
  expect(await settleEpoch(nodeFs, path, s.log)).toMatchObject({ end: "corrupt", lost: [] });
  expect(s.log.lines).toMatchObject([{ level: "error", fields: { ranges: 0 } }]);
});

test.each([
  { next: undefined, lost: [{ fromSeq: 1, toSeq: 2 }] },
  { next: 1, lost: [{ fromSeq: 1, toSeq: 2 }] },
  { next: 2, lost: [{ fromSeq: 2, toSeq: 2 }] },
  { next: 3, lost: [] },
])("of two that are missing, with $next to be shipped next", async ({ next, lost }) => {
  using s = scratch();
  const path = await deadEpoch(home(s), 4, ONE_EACH);
  for (const name of ["00000001.wal", "00000002.wal"]) await nodeFs.remove(join(path, name));
  if (next !== undefined) await acknowledge(path, next);
  const end = lost.length > 0 ? "corrupt" : "no_stop";
  expect(await settleEpoch(nodeFs, path, s.log)).toMatchObject({ seq: 3, lost, end });
  expect(levels(s)).toEqual(lost.length > 0 ? ["error"] : []);
});

test("an epoch whose header is unreadable has no number of its own", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 2);
  spoilByte(join(path, "00000000.wal"), 30);
  expect(await settleEpoch(nodeFs, path, s.log)).toMatchObject({
    epochNumber: 0,
    seq: 1,
    end: "corrupt",
  });
});
