import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { claimNumber, closeSettled, emptyClaim, findPredecessor } from "./claim.ts";
import { readEnd, writeEnd } from "./end-record.ts";
import { nodeFs } from "./fs.ts";
import { acquireLease } from "./lease.ts";
import { epochDirectory } from "./layout.ts";
import { settleEpoch } from "./settle.ts";
import { deadEpoch, EMITTER, epochId, openEpoch } from "./testing/dead-epoch.ts";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { type Scratch, scratch } from "./testing/journal-fixture.ts";

function home({ directory }: Scratch): string {
  const path = join(directory, EMITTER);
  mkdirSync(path, { recursive: true });
  return path;
}

/** An epoch whose end is written down. */
async function ended(emitterPath: string, events = 1): Promise<string> {
  const path = await deadEpoch(emitterPath, events);
  const end = await settleEpoch(nodeFs, path, quiet);
  if (end === undefined) throw new Error("void");
  await writeEnd(nodeFs, path, end);
  return path;
}

const quiet = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

test("numbers begin at 1 and have no hole, whoever takes them", async () => {
  using s = scratch();
  const path = home(s);
  const claims = await Promise.all(Array.from({ length: 6 }, () => claimNumber(nodeFs, path)));
  expect(claims.map(({ number }) => number).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6]);
  for (const { number, path: own } of claims) {
    expect(own).toBe(epochDirectory(path, number));
    expect(readdirSync(own)).toEqual(["lease.0"]);
  }
});

test("a number that another takes at this moment is passed by", async () => {
  using s = scratch();
  const path = home(s);
  // Made by somebody between the list and the mkdir; and held by somebody who thought it abandoned.
  const fs = { ...nodeFs, list: () => Promise.resolve([]) };
  mkdirSync(epochDirectory(path, 1));
  mkdirSync(epochDirectory(path, 2));
  const racing = {
    ...fs,
    list: async (listed: string) => (listed === path ? [] : await nodeFs.list(listed)),
    makeDirectory: async (made: string) => {
      await nodeFs.makeDirectory(made);
      if (made === epochDirectory(path, 3)) await acquireLease(nodeFs, made);
    },
  };
  expect(await claimNumber(racing, path)).toMatchObject({ number: 4 });
});

test("what is not a taken number ends the search", async () => {
  using s = scratch();
  const path = home(s);
  const full = createFaultyFs(({ operation }) =>
    operation === "makeDirectory" ? { errno: "ENOSPC" } : undefined,
  );
  await expect(claimNumber(full, path)).rejects.toMatchObject({ code: "ENOSPC" });
  const taken = createFaultyFs(({ operation }) =>
    operation === "makeDirectory" ? { errno: "EEXIST" } : undefined,
  );
  await expect(claimNumber(taken, path)).rejects.toThrow("no free epoch number");
  expect(taken.calls.filter(({ operation }) => operation === "makeDirectory")).toHaveLength(1_000);
});

test("before the first epoch there is none", async () => {
  using s = scratch();
  expect(await findPredecessor(nodeFs, join(s.directory, "nobody"), s.log)).toEqual({});
});

test("an end that is written down is believed, and nothing is held", async () => {
  using s = scratch();
  await ended(home(s), 1);
  const path = await ended(home(s), 3);
  const found = await findPredecessor(nodeFs, home(s), s.log);
  expect(found).toEqual({ end: await readEnd(nodeFs, path) });
  expect(found.end).toMatchObject({ epoch: epochId(2), seq: 2 });
  expect(readdirSync(path)).not.toContain("lease.0");
});

test("an end that says nothing is passed by", async () => {
  using s = scratch();
  await ended(home(s), 2);
  const path = await ended(home(s), 1);
  writeFileSync(join(path, "end"), "torn");
  expect((await findPredecessor(nodeFs, home(s), s.log)).end).toMatchObject({ epoch: epochId(1) });
});

test("the newest that is dead is settled, and held until what was lost is recorded", async () => {
  using s = scratch();
  await deadEpoch(home(s), 1);
  const path = await deadEpoch(home(s), 2);
  const { end, fresh, claim } = await findPredecessor(nodeFs, home(s), s.log);
  expect(end).toMatchObject({ epoch: epochId(2), seq: 1, end: "no_stop" });
  expect([fresh?.path, claim]).toEqual([path, undefined]);
  expect(readdirSync(path)).toEqual(["00000000.wal", "lease.0"]);
  // The one before is left to whoever drains it.
  expect(readdirSync(epochDirectory(home(s), 1))).toEqual(["00000000.wal"]);
  await closeSettled(nodeFs, { path, lease: fresh!.lease }, end!);
  expect(readdirSync(path)).toEqual(["00000000.wal", "end"]);
  expect(await readEnd(nodeFs, path)).toEqual(end);
});

test("an end that cannot be written gives the directory back all the same", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 2);
  const { end, fresh } = await findPredecessor(nodeFs, home(s), s.log);
  const fs = createFaultyFs(({ operation }) =>
    operation === "open" ? { errno: "EIO" } : undefined,
  );
  const closing = closeSettled(fs, fresh!, end!);
  await expect(closing).rejects.toMatchObject({ code: "EIO" });
  expect(readdirSync(path)).toEqual(["00000000.wal"]);
});

test("an epoch that lives is no predecessor, and is not touched", async () => {
  using s = scratch();
  await ended(home(s), 1);
  const { writer, claim } = await openEpoch(home(s));
  const found = await findPredecessor(nodeFs, home(s), s.log);
  expect(found.end).toMatchObject({ epoch: epochId(1) });
  expect(found).not.toHaveProperty("claim");
  await writer.close();
  await claim.lease.release();
});

test("of the numbers that nobody used the oldest is taken first, and the others are given back", async () => {
  using s = scratch();
  await ended(home(s), 1);
  const voids = [await deadEpoch(home(s), 0), await deadEpoch(home(s), 0)];
  mkdirSync(epochDirectory(home(s), 4));
  const { claim, end } = await findPredecessor(nodeFs, home(s), s.log);
  expect(claim).toMatchObject({ number: 2, path: voids[0] });
  expect(end).toMatchObject({ epoch: epochId(1) });
  expect(readdirSync(voids[0] as string)).toContain("lease.0");
  expect(readdirSync(voids[1] as string)).not.toContain("lease.0");
  expect(readdirSync(epochDirectory(home(s), 4))).toEqual([]);
});

test("a number that nobody used is found behind an epoch that is over, not behind one that holds events", async () => {
  using s = scratch();
  const unused = await deadEpoch(home(s), 0);
  const older = await deadEpoch(home(s), 2, 100);
  await ended(home(s), 1);
  const { claim, end, fresh } = await findPredecessor(nodeFs, home(s), s.log);
  expect(claim).toMatchObject({ number: 1, path: unused });
  expect([end?.epoch, fresh]).toEqual([epochId(3), undefined]);
  expect(readdirSync(older)).toEqual(["00000000.wal", "00000001.wal"]);
});

test.each([
  { what: "one small segment", wal: { "00000000.wal": 65_536 }, looked: true },
  { what: "a large segment", wal: { "00000000.wal": 65_537 }, looked: false },
  { what: "a segment that is not the first", wal: { "00000001.wal": 10 }, looked: false },
  { what: "two segments", wal: { "00000000.wal": 10, "00000001.wal": 10 }, looked: false },
  { what: "no segment", wal: {}, looked: true },
])("once the predecessor is known, $what: read is $looked", async ({ wal, looked }) => {
  using s = scratch();
  const path = epochDirectory(home(s), 1);
  mkdirSync(path);
  for (const [name, size] of Object.entries(wal)) {
    writeFileSync(join(path, name), "");
    truncateSync(join(path, name), size);
  }
  await ended(home(s), 1);
  const { claim } = await findPredecessor(nodeFs, home(s), s.log);
  expect(claim?.number).toBe(looked ? 1 : undefined);
});

test("an epoch that cannot be read is said, left as it is, and no reason not to go on", async () => {
  using s = scratch();
  await ended(home(s), 1);
  const path = await deadEpoch(home(s), 1);
  const before = readFileSync(join(path, "00000000.wal"));
  const fs = createFaultyFs(({ operation, path: at }) =>
    operation === "open" && at.endsWith(".wal") ? { errno: "EIO" } : undefined,
  );
  const found = await findPredecessor(fs, home(s), s.log);
  expect(found.end).toMatchObject({ epoch: epochId(1) });
  expect(found).not.toHaveProperty("claim");
  expect(s.log.lines).toMatchObject([{ level: "error", fields: { path, code: "EIO" } }]);
  expect(readdirSync(path)).toEqual(["00000000.wal"]);
  expect(readFileSync(join(path, "00000000.wal")).equals(before)).toBe(true);
});

test("sixteen are looked at for unused numbers, sixty-four for an end", async () => {
  using s = scratch();
  mkdirSync(epochDirectory(home(s), 1));
  for (let number = 2; number <= 16; number++) {
    const path = epochDirectory(home(s), number);
    mkdirSync(path);
    writeFileSync(join(path, "end"), "{}");
  }
  await ended(home(s), 1);
  expect(await findPredecessor(nodeFs, home(s), s.log)).not.toHaveProperty("claim");
  await nodeFs.removeDirectory(epochDirectory(home(s), 1));
  mkdirSync(epochDirectory(home(s), 1_000));
  for (let number = 18; number < 80; number++) mkdirSync(epochDirectory(home(s), number));
  const { end, claim } = await findPredecessor(nodeFs, home(s), s.log);
  expect([end?.epoch, claim?.number]).toEqual([epochId(17), 18]);
  await claim?.lease.release();
  mkdirSync(epochDirectory(home(s), 80));
  expect(await findPredecessor(nodeFs, home(s), s.log)).not.toHaveProperty("end");
});

test("a claim is emptied of what its dead owner left, durably, and of nothing else", async () => {
  using s = scratch();
  const claim = await claimNumber(nodeFs, home(s));
  for (const name of ["00000000.wal", "00000001.wal", "cursor", "end.ab.tmp", "notes"]) {
    writeFileSync(join(claim.path, name), "x");
  }
  const fs = createFaultyFs();
  await emptyClaim(fs, claim);
  expect(readdirSync(claim.path).toSorted()).toEqual(["lease.0", "notes"]);
  const synced = fs.calls.filter(({ operation }) => operation === "syncDirectory");
  expect(synced.map(({ path }) => path)).toEqual([claim.path, home(s)]);
});
