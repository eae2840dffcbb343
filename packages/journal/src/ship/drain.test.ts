import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CountersignError } from "@countersign/model";
import { findPredecessor } from "../claim.ts";
import { readEnd } from "../end-record.ts";
import { type JournalFs, nodeFs } from "../fs.ts";
import { acquireLease } from "../lease.ts";
import { epochDirectory } from "../layout.ts";
import { settleEpoch } from "../settle.ts";
import { deadEpoch, EMITTER, epochId } from "../testing/dead-epoch.ts";
import { createFaultyFs } from "../testing/faulty-fs.ts";
import { EPOCH_INFO, type Scratch, scratch } from "../testing/journal-fixture.ts";
import { openCursor } from "./cursor.ts";
import { clearEpoch, type DrainOptions, drainAbandoned } from "./drain.ts";

const never = new AbortController().signal;

/** An epoch with three events whose process is gone; returns its path. */
function abandoned({ directory }: Scratch): Promise<string> {
  return deadEpoch(join(directory, EMITTER), 3);
}

interface Told {
  readonly sent: number[];
  readonly lost: unknown[];
}

function draining({ directory, log }: Scratch, told: Told, fs: JournalFs = nodeFs): DrainOptions {
  return {
    fs,
    log,
    directory,
    sender: {
      state: "ok",
      hurry: () => undefined,
      send: (records) => {
        told.sent.push(...records.map(({ seq }) => seq));
        return Promise.resolve();
      },
    },
    tenant: undefined,
    reportLost: (_, lost) => {
      told.lost.push(...lost);
      return Promise.resolve();
    },
    onAcknowledged: () => undefined,
  };
}

/** Somebody else does `work` right after `path` was listed for the first time. */
function overtaken(path: string, work: () => Promise<void>): JournalFs {
  let done = false;
  return {
    ...nodeFs,
    list: async (listed) => {
      const names = await nodeFs.list(listed);
      if (listed === path && !done) {
        done = true;
        await work();
      }
      return names;
    },
  };
}

test("an epoch that another process drains between a look and the lease is not lost", async () => {
  using s = scratch();
  const path = await abandoned(s);
  const told: Told = { sent: [], lost: [] };
  const fs = overtaken(path, () => drainAbandoned(draining(s, told), never));
  await drainAbandoned(draining(s, told, fs), never);
  expect(told).toEqual({ sent: [0, 1, 2], lost: [] });
  expect(readdirSync(path)).toEqual(["end"]);
});

test("the number of an epoch that another process drains between a look and the lease is not free", async () => {
  using s = scratch();
  const path = await abandoned(s);
  const fs = overtaken(path, () => drainAbandoned(draining(s, { sent: [], lost: [] }), never));
  const found = await findPredecessor(fs, join(s.directory, EMITTER), s.log);
  expect(found).toMatchObject({ end: { seq: 2, end: "no_stop" } });
  expect(found).not.toHaveProperty("claim");
  expect(readdirSync(path)).toEqual(["end"]);
});

function home({ directory }: Scratch): string {
  return join(directory, EMITTER);
}

test("every epoch that nobody holds, oldest first; what is no epoch of ours is left alone", async () => {
  using s = scratch();
  await abandoned(s);
  await deadEpoch(home(s), 2);
  const held = await deadEpoch(home(s), 1);
  const lease = await acquireLease(nodeFs, held);
  mkdirSync(epochDirectory(home(s), 4));
  mkdirSync(join(s.directory, "_other"));
  const odd = join(s.directory, "_other", "0000000001");
  mkdirSync(odd);
  writeFileSync(join(odd, "00000000.wal"), readFileSync(join(held, "00000000.wal")));
  const acknowledged: unknown[] = [];
  const told: Told = { sent: [], lost: [] };
  const fs = createFaultyFs();
  const onAcknowledged = (epoch: string, seq: number) => acknowledged.push([epoch, seq]);
  await drainAbandoned({ ...draining(s, told, fs), onAcknowledged }, never);
  expect(told).toEqual({ sent: [0, 1, 2, 0, 1], lost: [] });
  expect(acknowledged).toEqual([
    [epochId(1), 2],
    [epochId(2), 1],
  ]);
  expect(readdirSync(held).toSorted()).toEqual(["00000000.wal", "lease.0"]);
  expect(readdirSync(odd)).toEqual(["00000000.wal"]);
  // A directory without a segment may have been made just now.
  const fourth = epochDirectory(home(s), 4);
  expect(fs.calls.filter(({ path }) => path.startsWith(join(fourth, "lease")))).toEqual([]);
  await lease?.release();
});

test("an epoch of another tenant is left as it is, whether or not somebody settled it", async () => {
  using s = scratch();
  const path = await abandoned(s);
  const told: Told = { sent: [], lost: [] };
  const other = { ...draining(s, told), tenant: "other" };
  await drainAbandoned(other, never);
  expect(readdirSync(path)).toEqual(["00000000.wal"]);
  const end = await settleEpoch(nodeFs, path, s.log);
  writeFileSync(join(path, "end"), JSON.stringify(end));
  await drainAbandoned(other, never);
  expect([told.sent, readdirSync(path)]).toEqual([[], ["00000000.wal", "end"]]);
  await drainAbandoned({ ...other, tenant: EPOCH_INFO.tenant }, never);
  expect([told.sent, readdirSync(path)]).toEqual([[0, 1, 2], ["end"]]);
});

test("an epoch in which nothing became durable is nothing to ship, and keeps its number", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 0);
  const told: Told = { sent: [], lost: [] };
  await drainAbandoned(draining(s, told), never);
  expect([told, readdirSync(path), s.log.lines]).toEqual([
    { sent: [], lost: [] },
    ["00000000.wal"],
    [],
  ]);
});

test("who gives up begins no other epoch", async () => {
  using s = scratch();
  await abandoned(s);
  await deadEpoch(home(s), 1);
  const gone = new AbortController();
  const told: Told = { sent: [], lost: [] };
  const options = draining(s, told);
  await drainAbandoned({ ...options, onAcknowledged: () => gone.abort() }, gone.signal);
  expect(told.sent).toEqual([0, 1, 2]);
});

test.each(["CANCELLED", "REJECTED"] as const)(
  "%s from the receiver ends the round",
  async (code) => {
    using s = scratch();
    const paths = [await abandoned(s), await deadEpoch(home(s), 1)];
    const told: Told = { sent: [], lost: [] };
    const options = draining(s, told);
    let asked = 0;
    const send = () => {
      asked += 1;
      return Promise.reject(new CountersignError(code, "no"));
    };
    await expect(
      drainAbandoned({ ...options, sender: { ...options.sender, send } }, never),
    ).rejects.toMatchObject({ code });
    expect([asked, s.log.lines]).toEqual([1, []]);
    for (const path of paths) expect(readdirSync(path)).not.toContain("lease.0");
  },
);

test("an epoch that cannot be read is said, and holds up no other", async () => {
  using s = scratch();
  const path = await abandoned(s);
  await deadEpoch(home(s), 1);
  const told: Told = { sent: [], lost: [] };
  const fs = createFaultyFs(({ operation, path: at }) =>
    operation === "open" && at === join(path, "00000000.wal") ? { errno: "EIO" } : undefined,
  );
  await drainAbandoned(draining(s, told, fs), never);
  expect(told.sent).toEqual([0]);
  expect(s.log.lines).toMatchObject([{ level: "warn", fields: { path, code: "EIO" } }]);
});

test("what was lost before is not told again; what goes missing since is", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 6, 100);
  rmSync(join(path, "00000001.wal"));
  const told: Told = { sent: [], lost: [] };
  const options = draining(s, told);
  const away = { ...options.sender, send: () => Promise.reject(new Error("away")) };
  await drainAbandoned({ ...options, sender: away }, never);
  expect(told.lost).toEqual([{ fromSeq: 1, toSeq: 1 }]);
  expect(await readEnd(nodeFs, path)).toMatchObject({ end: "corrupt", seq: 5 });
  // A part of what is known, and more beside it.
  rmSync(join(path, "00000003.wal"));
  truncateSync(join(path, "00000005.wal"), 300);
  await drainAbandoned(options, never);
  expect(told.sent).toEqual([0, 2, 4]);
  expect(told.lost.slice(1)).toEqual([
    { fromSeq: 3, toSeq: 3 },
    { fromSeq: 5, toSeq: 5 },
  ]);
  expect(await readEnd(nodeFs, path)).toMatchObject({
    end: "corrupt",
    epoch: epochId(1),
    seq: 5,
    lost: [
      { fromSeq: 1, toSeq: 1 },
      { fromSeq: 3, toSeq: 3 },
      { fromSeq: 5, toSeq: 5 },
    ],
  });
  expect(readdirSync(path)).toEqual(["end"]);
});

test("a range that is wider than what was told is told", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 6, 100);
  const end = await settleEpoch(nodeFs, path, s.log);
  for (const [lost, removed, expected] of [
    [[{ fromSeq: 1, toSeq: 3 }], [1, 2, 3], []],
    [[{ fromSeq: 2, toSeq: 3 }], [], [{ fromSeq: 1, toSeq: 3 }]],
    [[{ fromSeq: 1, toSeq: 2 }], [], [{ fromSeq: 1, toSeq: 3 }]],
    [[{ fromSeq: 0, toSeq: 4 }], [], []],
  ] as const) {
    for (const index of removed) rmSync(join(path, `0000000${index}.wal`));
    writeFileSync(join(path, "end"), JSON.stringify({ ...end, end: "corrupt", lost }));
    const told: Told = { sent: [], lost: [] };
    const options = draining(s, told);
    const away = { ...options.sender, send: () => Promise.reject(new Error("away")) };
    await drainAbandoned({ ...options, sender: away }, never);
    expect(told.lost).toEqual(expected);
  }
});

test("an end that is cut off after it was written down is lost, the last event alone, too", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 3, 100);
  const end = await settleEpoch(nodeFs, path, s.log);
  writeFileSync(join(path, "end"), JSON.stringify(end));
  rmSync(join(path, "00000002.wal"));
  const told: Told = { sent: [], lost: [] };
  await drainAbandoned(draining(s, told), never);
  expect(told).toEqual({ sent: [0, 1], lost: [{ fromSeq: 2, toSeq: 2 }] });
});

test("nothing is deleted before the cursor is durable, and the cursor last", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 2, 100);
  const cursor = await openCursor(nodeFs, path);
  await cursor.move(2);
  await cursor.close();
  const fs = createFaultyFs();
  await clearEpoch(fs, path);
  const operations = fs.calls.map(
    ({ operation, path: at }) => `${operation} ${at.slice(path.length)}`,
  );
  expect(operations.slice(operations.indexOf("datasync /cursor"))).toEqual([
    "datasync /cursor",
    "syncDirectory ",
    "close /cursor",
    "list ",
    "remove /00000000.wal",
    "remove /00000001.wal",
    "syncDirectory ",
    "remove /cursor",
  ]);
  expect(readdirSync(path)).toEqual([]);
  // Without a cursor there is none to keep.
  const empty = createFaultyFs();
  await clearEpoch(empty, path);
  expect(empty.calls.map(({ operation }) => operation)).toEqual(["open", "list"]);
  const failing = createFaultyFs(({ operation }) =>
    operation === "datasync" ? { errno: "EIO" } : undefined,
  );
  const again = await openCursor(nodeFs, path);
  await again.move(1);
  await again.close();
  await expect(clearEpoch(failing, path)).rejects.toMatchObject({ code: "EIO" });
  expect(failing.calls.at(-1)?.operation).toBe("close");
  expect(readdirSync(path)).toEqual(["cursor"]);
});

test("of the ends the sixty-four newest are kept; older ones go with their directories, if those are empty", async () => {
  using s = scratch();
  const end = { ...(await settleEpoch(nodeFs, await abandoned(s), s.log)), lost: [] };
  rmSync(epochDirectory(home(s), 1), { recursive: true });
  for (let number = 1; number <= 68; number++) {
    mkdirSync(epochDirectory(home(s), number));
    writeFileSync(join(epochDirectory(home(s), number), "end"), JSON.stringify(end));
  }
  const [first, second, third, fourth] = [1, 2, 3, 4].map((n) => epochDirectory(home(s), n));
  writeFileSync(join(first as string, "notes"), "not ours");
  rmSync(join(third as string, "end"));
  const lease = await acquireLease(nodeFs, fourth as string);
  const told: Told = { sent: [], lost: [] };
  await drainAbandoned(draining(s, told), never);
  const left = readdirSync(home(s)).toSorted();
  expect(left).toHaveLength(66);
  expect(left.slice(0, 3)).toEqual(["0000000001", "0000000004", "0000000005"]);
  expect(readdirSync(first as string)).toEqual(["notes"]);
  expect(readdirSync(fourth as string).toSorted()).toEqual(["end", "lease.0"]);
  expect(second).toBeDefined();
  await lease?.release();
});

test("an old epoch that still holds events is shipped, not forgotten", async () => {
  using s = scratch();
  const path = await abandoned(s);
  mkdirSync(epochDirectory(home(s), 100));
  const told: Told = { sent: [], lost: [] };
  const options = draining(s, told);
  const away = { ...options.sender, send: () => Promise.reject(new Error("away")) };
  await drainAbandoned({ ...options, sender: away }, never);
  expect(readdirSync(path)).toEqual(["00000000.wal", "end"]);
});
