import { chmodSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { claimNumber } from "./claim.ts";
import { systemClock } from "./clock.ts";
import { type JournalFs, nodeFs } from "./fs.ts";
import { findHome, openEpoch, type OpeningOptions } from "./opening.ts";
import { readHeader } from "./segment.ts";
import { deadEpoch, EMITTER } from "./testing/dead-epoch.ts";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { EPOCH_INFO, type Scratch, scratch } from "./testing/journal-fixture.ts";

const POSIX = process.platform !== "win32";

/** Directories whose names were made durable, in order. */
function synced(fs: ReturnType<typeof createFaultyFs>): string[] {
  return fs.calls.flatMap(({ operation, path }) => (operation === "syncDirectory" ? [path] : []));
}

test("every directory that is made is durable in its parent, from the outermost on", async () => {
  using s = scratch();
  const directory = join(s.directory, "a", "b", "journal");
  const fs = createFaultyFs();
  const home = await findHome(fs, directory, { emitter: EMITTER, log: s.log });
  expect(home).toEqual({ emitter: EMITTER, emitterPath: join(directory, EMITTER) });
  expect(readdirSync(directory)).toEqual([EMITTER]);
  expect(synced(fs)).toEqual([
    s.directory,
    join(s.directory, "a"),
    join(s.directory, "a", "b"),
    directory,
  ]);
});

test("a directory that is there is made durable in its parent, whoever made it", async () => {
  using s = scratch();
  const directory = join(s.directory, "journal");
  mkdirSync(directory, { mode: 0o700 });
  const fs = createFaultyFs();
  await findHome(fs, directory, { emitter: EMITTER, log: s.log });
  expect(synced(fs)).toEqual([s.directory, directory]);
});

test("a path of which nothing is there ends at its root", async () => {
  using s = scratch();
  const made: string[] = [];
  const known = new Set<string>();
  const fs: JournalFs = {
    ...nodeFs,
    info: (path) =>
      known.has(path)
        ? Promise.resolve({ size: 0, modifiedMs: 0, mode: 0o40700, directory: true })
        : Promise.resolve(undefined),
    makeDirectories: (path) => {
      known.add(path);
      return Promise.resolve();
    },
    filesystemType: () => Promise.resolve(0xef53),
    syncDirectory: (path) => {
      made.push(path);
      return Promise.resolve();
    },
  };
  await findHome(fs, "/x/y", { emitter: EMITTER, log: s.log });
  expect(made).toEqual([dirname("/x"), "/x", "/x/y"]);
});

test("a parent that may not be read was not made by us; any other error is one", async () => {
  using s = scratch();
  const directory = join(s.directory, "journal");
  const failing = (errno: string) =>
    createFaultyFs(({ operation, path }) =>
      operation === "syncDirectory" && path === s.directory ? { errno } : undefined,
    );
  const settings = { emitter: EMITTER, log: s.log };
  await findHome(failing("EACCES"), directory, settings);
  await expect(findHome(failing("EIO"), directory, settings)).rejects.toMatchObject({
    code: "EIO",
  });
});

test.runIf(POSIX)(
  "a directory that is open to others is warned about, one that is not is not",
  async () => {
    using s = scratch();
    const directory = join(s.directory, "journal");
    const settings = { emitter: EMITTER, log: s.log };
    await findHome(nodeFs, directory, settings);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    expect(s.log.lines).toEqual([]);
    for (const mode of [0o710, 0o701, 0o770]) {
      chmodSync(directory, mode);
      await findHome(nodeFs, directory, settings);
    }
    expect(s.log.lines).toMatchObject(
      Array.from({ length: 3 }, () => ({ level: "warn", fields: { directory } })),
    );
    // What cannot be told is not warned about.
    const blind: JournalFs = { ...nodeFs, info: () => Promise.resolve(undefined) };
    await findHome(blind, directory, settings);
    expect(s.log.lines).toHaveLength(3);
  },
);

test("a name that is no emitter's is refused, and no name is kept", async () => {
  using s = scratch();
  const directory = join(s.directory, "journal");
  await expect(findHome(nodeFs, directory, { emitter: "_no", log: s.log })).rejects.toMatchObject({
    code: "CONFIG_INVALID",
  });
  const own = await findHome(nodeFs, directory, { emitter: undefined, log: s.log });
  const again = await findHome(nodeFs, directory, { emitter: undefined, log: s.log });
  expect(again.emitter).toBe(own.emitter);
});

function options(s: Scratch, others: Partial<OpeningOptions> = {}): OpeningOptions {
  const emitterPath = join(s.directory, EMITTER);
  mkdirSync(emitterPath, { recursive: true });
  return {
    fs: nodeFs,
    home: { emitter: EMITTER, emitterPath },
    info: EPOCH_INFO,
    log: s.log,
    spare: undefined,
    onClaim: () => undefined,
    writer: {
      clock: systemClock,
      segmentBytes: 1_000_000,
      maxWaiting: 10,
      maxWaitingBytes: 1_000_000,
      gatherMs: 10,
      onDurable: () => undefined,
      onFault: () => undefined,
    },
    ...others,
  };
}

test("an epoch says in its header who writes it, and for whom", async () => {
  using s = scratch();
  const claims: number[] = [];
  const { server, runtime } = EPOCH_INFO;
  const named = [
    { info: EPOCH_INFO, service: { name: server.name, version: server.version } },
    {
      info: { ...EPOCH_INFO, server: { id: server.id } },
      service: { name: server.id },
    },
  ];
  const epochs = new Set<string>();
  for (const { info, service } of named) {
    const { writer, claim } = await openEpoch(
      options(s, { info, onClaim: ({ number }) => claims.push(number) }),
    );
    const file = await nodeFs.open(join(claim.path, "00000000.wal"), "read");
    const found = await readHeader(file);
    await file.close();
    expect(found?.header).toEqual({
      format: 1,
      emitter: EMITTER,
      epoch: writer.epoch,
      epochNumber: claim.number,
      segment: 0,
      firstSeq: 0,
      prev: "0".repeat(64),
      tenant: EPOCH_INFO.tenant,
      service,
      producer: runtime.countersign,
    });
    expect(writer.epoch).toMatch(/^[0-9a-f]{32}$/);
    epochs.add(writer.epoch);
    await writer.close();
  }
  expect([claims, epochs.size]).toEqual([[1, 2], 2]);
});

test("a number that this process has is used before one that somebody left, and that before a new one", async () => {
  using s = scratch();
  const left = await deadEpoch(join(s.directory, EMITTER), 0);
  const spare = await claimNumber(nodeFs, join(s.directory, EMITTER));
  const first = await openEpoch(options(s, { spare }));
  expect(first.claim).toBe(spare);
  await first.predecessor.claim?.lease.release();
  const second = await openEpoch(options(s));
  expect([second.claim.number, second.claim.path]).toEqual([1, left]);
  const third = await openEpoch(options(s));
  expect(third.claim.number).toBe(3);
  for (const { writer } of [first, second, third]) await writer.close();
});

test("an epoch that cannot be opened gives back the one before it, for somebody else to look at", async () => {
  using s = scratch();
  const before = await deadEpoch(join(s.directory, EMITTER), 2);
  let claimed = 0;
  const fs = createFaultyFs(({ operation, path }) =>
    operation === "open" && path.includes("0000000002") && path.endsWith(".wal")
      ? { errno: "ENOSPC" }
      : undefined,
  );
  const opening = openEpoch(options(s, { fs, onClaim: ({ number }) => (claimed = number) }));
  await expect(opening).rejects.toMatchObject({ code: "ENOSPC" });
  expect([claimed, readdirSync(before)]).toEqual([2, ["00000000.wal"]]);
  // Without one before it there is nothing to give back.
  using other = scratch();
  const failing = createFaultyFs(({ operation, path }) =>
    operation === "open" && path.endsWith(".wal") ? { errno: "ENOSPC" } : undefined,
  );
  await expect(openEpoch(options(other, { fs: failing }))).rejects.toMatchObject({
    code: "ENOSPC",
  });
});
