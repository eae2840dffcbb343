import { nodeFs, type JournalFs } from "@countersign/journal";
import { errorCode, type SealedEvent } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { type ArchiveLog } from "./log.ts";
import { openArchive } from "./open-archive.ts";
import { createChainMaker, temporaryDirectory } from "./testing/index.ts";
import { createPowerCutFs, type PowerCutFs } from "./testing/power-cut-fs.ts";

// Small heads, so that new head files and bundles happen all the time.
const HEAD_MAX_BYTES = 60_000;
const EVENTS = 700;
const RUNS = process.env["COUNTERSIGN_LONG"] === "1" ? 2000 : 120;
const pool = ((): SealedEvent[] => {
  const chains = [createChainMaker("one"), createChainMaker("two")] as const;
  return Array.from({ length: EVENTS }, (_, n) =>
    (n % 3 === 0 ? chains[0] : chains[1]).heartbeat(),
  );
})();

async function open(directory: string, fs: PowerCutFs): Promise<ArchiveLog> {
  return await openArchive({ directory, origin: "o", fs, headMaxBytes: HEAD_MAX_BYTES });
}

async function contents(log: ArchiveLog): Promise<string[]> {
  const hashes: string[] = [];
  while (BigInt(hashes.length) < log.size) {
    for (const { event } of await log.read(BigInt(hashes.length), 1024)) hashes.push(event.hash);
  }
  return hashes;
}

/** Appends the pool in batches until the disk fails; returns what was acknowledged, in the order of positions. */
async function appendUntilFailure(
  log: ArchiveLog,
  sizes: readonly number[],
): Promise<Map<number, string>> {
  const acknowledged = new Map<number, string>();
  let at = 0;
  for (let turn = 0; at < pool.length; turn += 1) {
    const batch = pool.slice(at, at + (sizes[turn % sizes.length] ?? 1));
    try {
      const { first, duplicates } = await log.append(batch);
      expect(duplicates).toBe(0);
      for (const [index, event] of batch.entries())
        acknowledged.set(Number(first) + index, event.hash);
    } catch (error) {
      if (errorCode(error) !== "UNAVAILABLE") throw error;
      if (log.status().fault !== undefined) return acknowledged;
      continue;
    }
    at += batch.length;
  }
  return acknowledged;
}

/** What must hold after any failure: the acknowledged is there, nothing twice, and sending all of it again ends well. */
async function checkSurvivors(log: ArchiveLog, acknowledged: Map<number, string>): Promise<void> {
  const found = await contents(log);
  for (const [position, hash] of acknowledged) expect(found[position]).toBe(hash);
  expect(new Set(found).size).toBe(found.length);
  const all = new Set(pool.map((event) => event.hash));
  expect(found.every((hash) => all.has(hash))).toBe(true);
  for (let at = 0; at < pool.length; at += 100) {
    expect((await log.append(pool.slice(at, at + 100))).forks).toEqual([]);
  }
  const end = await contents(log);
  expect(end.length).toBe(pool.length);
  expect(new Set(end)).toEqual(all);
  expect(end.slice(0, found.length)).toEqual(found);
}

const batchSizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 });

// oxlint-disable-next-line vitest/expect-expect -- checkSurvivors does
test(
  "power cuts at any moment: nothing acknowledged is lost, nothing is there twice",
  { timeout: 120_000 },
  async () => {
    await using place = await temporaryDirectory();
    const moment = fc.record({
      sizes: batchSizes,
      dieAt: fc.integer({ min: 0, max: 400 }),
      dieAgainAt: fc.integer({ min: 0, max: 60 }),
      luck: fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
    });
    await fc.assert(
      fc.asyncProperty(moment, async ({ sizes, dieAt, dieAgainAt, luck }) => {
        const random = (): number => luck.next().value as number;
        const first = createPowerCutFs();
        first.dieAt(dieAt);
        let acknowledged = new Map<number, string>();
        const log = await open(place.path, first).catch(() => undefined);
        if (log !== undefined) {
          acknowledged = await appendUntilFailure(log, sizes);
          await log.close().catch(() => undefined);
        }
        // The power goes again while the archive is being opened.
        const second = first.afterPowerCut(random);
        second.dieAt(dieAgainAt);
        const reopened = await open(place.path, second).catch(() => undefined);
        await reopened?.close().catch(() => undefined);
        const last = await open(place.path, second.afterPowerCut(random));
        await checkSurvivors(last, acknowledged);
        await last.close();
      }),
      { numRuns: RUNS },
    );
  },
);

test(
  "one failing operation, whichever it is: the log refuses or goes on, and nothing acknowledged is lost",
  { timeout: 120_000 },
  async () => {
    await using place = await temporaryDirectory();
    const failure = fc.record({
      sizes: batchSizes,
      index: fc.integer({ min: 0, max: 300 }),
      code: fc.constantFrom("EIO", "ENOSPC", "EDQUOT", "EROFS"),
    });
    await fc.assert(
      fc.asyncProperty(failure, async ({ sizes, index, code }) => {
        const fs = createPowerCutFs();
        fs.failAt(index, code);
        const log = await open(place.path, fs).catch(() => undefined);
        const acknowledged = log === undefined ? new Map() : await appendUntilFailure(log, sizes);
        const wentOn = log !== undefined && log.status().fault === undefined;
        expect(!wentOn || acknowledged.size === pool.length).toBe(true);
        await log?.close().catch(() => undefined);
        const again = await open(
          place.path,
          fs.afterPowerCut(() => 0),
        );
        await checkSurvivors(again, acknowledged);
        await again.close();
      }),
      { numRuns: RUNS },
    );
  },
);

test("a full disk: the call is refused with a time to come back, and the log goes on once there is room", async () => {
  await using place = await temporaryDirectory();
  const fs = createPowerCutFs();
  const log = await open(place.path, fs);
  await log.append(pool.slice(0, 5));
  fs.failAt(fs.operations, "ENOSPC");
  await expect(log.append(pool.slice(5, 10))).rejects.toMatchObject({
    code: "UNAVAILABLE",
    retryAfterMs: 5000,
    message: expect.stringContaining("no space left"),
  });
  expect(log.size).toBe(5n);
  expect(await log.append(pool.slice(5, 10))).toMatchObject({ first: 5n, last: 9n });
  await log.close();
});

test("a failed sync stops the log until it is opened again", async () => {
  await using place = await temporaryDirectory();
  const fs = createPowerCutFs();
  const log = await open(place.path, fs);
  await log.append(pool.slice(0, 5));
  fs.failAt(fs.operations + 1, "EIO");
  await expect(log.append(pool.slice(5, 6))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(log.status().fault).toContain("stopped writing");
  await expect(log.append(pool.slice(5, 6))).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(await contents(log)).toEqual(pool.slice(0, 5).map((event) => event.hash));
  await log.close();
  const again = await open(
    place.path,
    fs.afterPowerCut(() => 0),
  );
  await again.append(pool.slice(5, 6));
  expect((await contents(again)).length).toBe(6);
  await again.close();
});

test("a new head file that was given up does not hide what the old one went on to hold", async () => {
  await using place = await temporaryDirectory();
  const directory = place.path;
  let opened = 0;
  const fs: JournalFs = {
    ...nodeFs,
    open: async (path, mode) => {
      // The first new head is made and cannot be opened; after that nothing new can be made beside it.
      const refused = mode === "update" ? (opened += 1) > 1 : mode === "create" && opened > 1;
      if (refused && path.includes("/log/")) throw Object.assign(new Error(), { code: "EMFILE" });
      return await nodeFs.open(path, mode);
    },
  };
  const log = await openArchive({ directory, origin: "o", fs, headMaxBytes: 1000 });
  for (let at = 0; at < 600; at += 50) await log.append(pool.slice(at, at + 50));
  expect(log.status().stalled).toContain("EMFILE");
  await log.close();
  const again = await openArchive({ directory, origin: "o" });
  expect(await contents(again)).toEqual(pool.slice(0, 600).map((event) => event.hash));
  await again.close();
});
