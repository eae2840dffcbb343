import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { claimNumber, findPredecessor } from "../claim.ts";
import { systemClock } from "../clock.ts";
import { openEpochWriter } from "../epoch-writer.ts";
import { type JournalFs, nodeFs } from "../fs.ts";
import { decision, EPOCH_INFO, type Scratch, scratch } from "../testing/journal-fixture.ts";
import { type DrainOptions, drainAbandoned } from "./drain.ts";

const EMITTER = "origin";
const never = new AbortController().signal;

/** An epoch with three events whose process is gone; returns its path. */
async function abandoned({ directory }: Scratch): Promise<string> {
  const emitterPath = join(directory, EMITTER);
  await nodeFs.makeDirectories(emitterPath);
  const claim = await claimNumber(nodeFs, emitterPath);
  const writer = await openEpochWriter({
    fs: nodeFs,
    epochPath: claim.path,
    header: {
      emitter: EMITTER,
      epoch: claim.number.toString(16).padStart(32, "0"),
      epochNumber: claim.number,
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
    onFault: () => undefined,
  });
  await Promise.all([1, 2, 3].map(() => writer.append(decision())));
  await writer.close();
  await claim.lease.release();
  return claim.path;
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
