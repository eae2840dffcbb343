import { existsSync } from "node:fs";
import { readFile, readdir, rename, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nodeFs, type JournalFs } from "@countersign/journal";
import { errorCode, unseal, withheldEvent, type SealedEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { type ArchiveLog } from "./log.ts";
import { openArchive, type ArchiveOptions } from "./open-archive.ts";
import { openArchiveView, type ArchiveView } from "./view.ts";
import { createChainMaker, temporaryDirectory } from "./testing/index.ts";

const ORIGIN = "archive.test/acme";

async function open(directory: string, more: Partial<ArchiveOptions> = {}): Promise<ArchiveLog> {
  return await openArchive({ directory, origin: ORIGIN, ...more });
}

function heartbeats(count: number, emitter?: string): SealedEvent[] {
  const chain = createChainMaker(emitter);
  return Array.from({ length: count }, () => chain.heartbeat());
}

async function readAll(log: ArchiveLog | ArchiveView): Promise<string[]> {
  const hashes: string[] = [];
  for (;;) {
    const events = await log.read(BigInt(hashes.length), 100);
    if (events.length === 0) return hashes;
    for (const { position, event } of events) {
      expect(position).toBe(BigInt(hashes.length));
      hashes.push(event.hash);
    }
  }
}

/** The real disk, with every sync counted. */
function countingFs(): { fs: JournalFs; syncs: () => number } {
  let syncs = 0;
  const fs: JournalFs = {
    ...nodeFs,
    open: async (path, mode) => {
      const file = await nodeFs.open(path, mode);
      return { ...file, datasync: async () => ((syncs += 1), await file.datasync()) };
    },
  };
  return { fs, syncs: () => syncs };
}

test("positions start at 0, have no holes, and survive being opened again", async () => {
  await using place = await temporaryDirectory();
  const events = heartbeats(700);
  const log = await open(place.path);
  expect(await log.append(events.slice(0, 10))).toEqual({
    first: 0n,
    last: 9n,
    duplicates: 0,
    forks: [],
    standing: [],
  });
  for (let at = 10; at < 700; at += 90) await log.append(events.slice(at, at + 90));
  const hashes = events.map((event) => event.hash);
  expect(await readAll(log)).toEqual(hashes);
  await log.close();

  const again = await open(place.path);
  expect(again.size).toBe(700n);
  expect(again.status().bundled).toBe(512n);
  expect(await readAll(again)).toEqual(hashes);
  const [one] = await again.read(300n, 1);
  expect(Buffer.from(one?.event.bytes ?? [])).toEqual(Buffer.from(events[300]?.bytes ?? []));
  await again.close();
});

test("a bundle is what tlog-tiles says: length and entry, 256 times, with the leaf hashes beside it", async () => {
  await using place = await temporaryDirectory();
  const events = heartbeats(256);
  const log = await open(place.path);
  await log.append(events);
  await log.close();
  const bundle = await readFile(join(place.path, "tile/entries/000"));
  let at = 0;
  for (const event of events) {
    const length = bundle.readUInt16BE(at);
    expect(unseal(bundle.subarray(at + 2, at + 2 + length)).hash).toBe(event.hash);
    at += 2 + length;
  }
  expect(at).toBe(bundle.length);
  expect((await readFile(join(place.path, "tile/0/000"))).length).toBe(8192);
});

test("callers at the same time share one sync", async () => {
  await using place = await temporaryDirectory();
  const { fs, syncs } = countingFs();
  const log = await open(place.path, { fs });
  const before = syncs();
  const results = await Promise.all(
    Array.from({ length: 50 }, async (_, n) => await log.append(heartbeats(2, `emitter-${n}`))),
  );
  expect(syncs() - before).toBe(1);
  const firsts = results.map((result) => Number(result.first)).toSorted((a, b) => a - b);
  expect(firsts).toEqual(Array.from({ length: 50 }, (_, n) => n * 2));
  await log.close();
});

test("an append resolves only after the sync", async () => {
  await using place = await temporaryDirectory();
  const order: string[] = [];
  const fs: JournalFs = {
    ...nodeFs,
    open: async (path, mode) => {
      const file = await nodeFs.open(path, mode);
      const datasync = async (): Promise<void> => {
        await file.datasync();
        order.push("synced");
      };
      return { ...file, datasync };
    },
  };
  const log = await open(place.path, { fs });
  order.length = 0;
  await log.append(heartbeats(1));
  order.push("resolved");
  expect(order).toEqual(["synced", "resolved"]);
  await log.close();
});

test("duplicates are dropped and counted, within a call, across calls, and after a restart", async () => {
  await using place = await temporaryDirectory();
  const events = heartbeats(600);
  const first = await open(place.path);
  await first.append(events);
  expect(await first.append(events.slice(100, 200))).toMatchObject({
    duplicates: 100,
    first: 600n,
    last: 599n,
  });
  await first.close();
  const second = await open(place.path);
  const more = heartbeats(2, "other");
  expect(await second.append([...more, ...more, ...events])).toMatchObject({
    duplicates: 602,
    first: 600n,
    last: 601n,
  });
  expect(second.size).toBe(602n);
  await second.close();
});

test("a second event for a taken place is a fork: the first stays, the caller learns which", async () => {
  await using place = await temporaryDirectory();
  const chain = createChainMaker();
  const [a, b] = [chain.heartbeat(), chain.heartbeat()];
  const fork = chain.forkOfLast();
  const log = await open(place.path);
  await log.append([a, b]);
  expect(await log.append([fork, chain.heartbeat()])).toEqual({
    first: 2n,
    last: 2n,
    duplicates: 0,
    forks: [0],
    standing: [b.hash],
  });
  expect((await log.read(1n, 1))[0]?.event.hash).toBe(b.hash);
  expect(log.status().forks).toBe(1);
  await log.close();
});

test("what came late in an epoch is found among coarse stretches", async () => {
  await using place = await temporaryDirectory();
  const late = createChainMaker("late");
  const events = Array.from({ length: 400 }, () => late.heartbeat());
  const even = events.filter((_, n) => n % 2 === 0);
  const log = await open(place.path);
  for (const [n, event] of even.entries())
    await log.append([event, ...heartbeats(1, `noise-${n}`)]);
  const result = await log.append(events);
  expect(result.duplicates).toBe(200);
  expect(Number(result.last - result.first) + 1).toBe(200);
  await log.close();
});

test("a withheld event takes the place of the original, once", async () => {
  await using place = await temporaryDirectory();
  const chain = createChainMaker();
  const [a, b] = [chain.heartbeat(), chain.heartbeat()];
  const log = await open(place.path);
  await log.append([a, withheldEvent(b, "email", "/data/call/name")]);
  expect(await log.append([withheldEvent(b, "email", "/data/call/name"), b])).toMatchObject({
    duplicates: 2,
    forks: [],
    standing: [],
  });
  expect(log.size).toBe(2n);
  await log.close();
});

test("one archive has one writer", async () => {
  await using place = await temporaryDirectory();
  const log = await open(place.path);
  await expect(open(place.path)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringContaining("in use by another process"),
  });
  await log.close();
  await (await open(place.path)).close();
});

test("another origin is refused", async () => {
  await using place = await temporaryDirectory();
  await (await open(place.path)).close();
  await expect(open(place.path, { origin: "other" })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
  });
});

test("a torn tail is cut off and counted; everything acknowledged is there", async () => {
  await using place = await temporaryDirectory();
  const events = heartbeats(20);
  const log = await open(place.path);
  await log.append(events.slice(0, 10));
  await log.append(events.slice(10));
  await log.close();
  const head = join(place.path, "log", "0000000000000000.wal");
  const whole = await readFile(head);
  await truncate(head, whole.length - 40);
  const again = await open(place.path);
  expect(again.size).toBe(19n);
  expect(again.status().recoveredTornBytes).toBeGreaterThan(0);
  await again.append(events);
  expect(await readAll(again)).toEqual(events.map((event) => event.hash));
  await again.close();
});

test("damage before a later write is no torn tail: the archive refuses, says what to do, and changes nothing", async () => {
  await using place = await temporaryDirectory();
  const events = heartbeats(20);
  const log = await open(place.path);
  await log.append(events.slice(0, 10));
  await log.append(events.slice(10));
  await log.close();
  const head = join(place.path, "log", "0000000000000000.wal");
  const bytes = await readFile(head);
  bytes[200] = (bytes[200] ?? 0) ^ 1;
  await writeFile(head, bytes);
  await expect(open(place.path)).rejects.toThrow(
    /log\/0{16}\.wal is damaged.*restore it from a backup/s,
  );
  expect(await readFile(head)).toEqual(bytes);
});

test.each([
  ["a tile that is gone", async (path: string) => await nodeFs.remove(join(path, "tile/0/001"))],
  ["a short tile", async (path: string) => await truncate(join(path, "tile/0/001"), 8000)],
  [
    "a head that is gone",
    async (path: string) => {
      for (const name of await readdir(join(path, "log")))
        await nodeFs.remove(join(path, "log", name));
    },
  ],
  [
    "an identity that is gone",
    async (path: string) => await nodeFs.remove(join(path, "archive.json")),
  ],
])("%s stops the start", async (_, damage) => {
  await using place = await temporaryDirectory();
  const log = await open(place.path);
  await log.append(heartbeats(800));
  await log.close();
  await damage(place.path);
  await expect(open(place.path)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("a changed bundle is noticed by whoever reads it", async () => {
  await using place = await temporaryDirectory();
  const log = await open(place.path);
  await log.append(heartbeats(600));
  await log.close();
  // Opening starts a head behind the last full bundle: until then the bundle is compared with the head, at the start.
  await (await open(place.path)).close();
  const file = join(place.path, "tile/entries/001");
  const bytes = await readFile(file);
  bytes[1000] = (bytes[1000] ?? 0) ^ 1;
  await writeFile(file, bytes);
  const again = await open(place.path);
  await expect(again.read(256n, 1)).rejects.toThrow("tile/entries/001 is damaged");
  expect((await again.read(0n, 1)).length).toBe(1);
  await again.close();
});

test("the snapshot is a short cut only: without it, or with a damaged one, duplicates are still known", async () => {
  await using place = await temporaryDirectory();
  const events = heartbeats(600);
  const log = await open(place.path);
  await log.append(events);
  await log.close();
  const file = join(place.path, "epochs.snapshot");
  const saved = await readFile(file, "utf8");
  for (const content of ["", "nonsense\n{}", saved.replace('"size":600', '"size":10')]) {
    await writeFile(file, content);
    const again = await open(place.path);
    expect(await again.append(events)).toMatchObject({ duplicates: 600 });
    await again.close();
  }
});

test("wait resolves when the position is readable, and ends with the signal or the log", async () => {
  await using place = await temporaryDirectory();
  const log = await open(place.path);
  const [a, b] = heartbeats(2) as [SealedEvent, SealedEvent];
  const waiting = log.wait(1n, AbortSignal.timeout(10_000));
  await log.append([a]);
  await log.append([b]);
  await waiting;
  const cancel = new AbortController();
  const cancelled = log.wait(5n, cancel.signal).catch(errorCode);
  cancel.abort();
  expect(await cancelled).toBe("CANCELLED");
  const closing = log.wait(5n, new AbortController().signal).catch(errorCode);
  await log.close();
  expect(await closing).toBe("UNAVAILABLE");
  await expect(log.append([a])).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test("the queue has a limit, and says when to come back", async () => {
  await using place = await temporaryDirectory();
  const log = await open(place.path, { queueMaxEvents: 10 });
  const first = log.append(heartbeats(8, "a"));
  await expect(log.append(heartbeats(8, "b"))).rejects.toMatchObject({
    code: "OVERLOADED",
    retryAfterMs: 1000,
  });
  await first;
  await log.append(heartbeats(8, "b"));
  expect(log.size).toBe(16n);
  await log.close();
});

test("a view reads beside the writer, changes nothing, and never sees a hole", async () => {
  await using place = await temporaryDirectory();
  const events = heartbeats(900);
  const hashes = events.map((event) => event.hash);
  const log = await open(place.path, { headMaxBytes: 64 * 1024 });
  const view = async (): Promise<readonly string[]> => {
    const seen = await openArchiveView({ directory: place.path, origin: ORIGIN });
    return await readAll(seen);
  };
  // Whatever the writer does at that moment: heads are begun, bundles are written, old heads go.
  for (let at = 0; at < 900; at += 60) {
    const [, seen] = await Promise.all([log.append(events.slice(at, at + 60)), view()]);
    expect(seen).toEqual(hashes.slice(0, seen.length));
    expect(seen.length).toBeGreaterThanOrEqual(at);
    expect(await view()).toEqual(hashes.slice(0, at + 60));
  }
  const before = await readdir(place.path, { recursive: true });
  await view();
  expect(await readdir(place.path, { recursive: true })).toEqual(before);
  await log.close();
  expect(await view()).toEqual(hashes);
});

test("a view looks again when the writer removes a head between its looking and its opening", async () => {
  await using place = await temporaryDirectory();
  const events = heartbeats(10);
  const log = await open(place.path);
  await log.append(events);
  await log.close();
  const aside = join(place.path, "aside");
  let head: string | undefined;
  const fs: JournalFs = {
    ...nodeFs,
    open: async (path, mode) => {
      if (head === undefined && path.endsWith(".wal")) await rename((head = path), aside);
      return await nodeFs.open(path, mode);
    },
    // Its successor is there by the time that anybody lists again.
    list: async (path) => {
      if (head !== undefined && existsSync(aside)) await rename(aside, head);
      return await nodeFs.list(path);
    },
  };
  const view = await openArchiveView({ directory: place.path, origin: ORIGIN, fs });
  expect(head).toBeDefined();
  expect(await readAll(view)).toEqual(events.map((event) => event.hash));
});

test("a view of no archive, or of another one, is refused", async () => {
  await using place = await temporaryDirectory();
  await expect(openArchiveView({ directory: place.path, origin: ORIGIN })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
  });
  await (await open(place.path)).close();
  await expect(
    openArchiveView({ directory: place.path, origin: "archive.test/other" }),
  ).rejects.toMatchObject({ code: "CONFIG_INVALID" });
});
