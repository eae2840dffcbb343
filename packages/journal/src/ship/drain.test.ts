import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findPredecessor } from "../claim.ts";
import { type JournalFs, nodeFs } from "../fs.ts";
import { deadEpoch, EMITTER } from "../testing/dead-epoch.ts";
import { type Scratch, scratch } from "../testing/journal-fixture.ts";
import { type DrainOptions, drainAbandoned } from "./drain.ts";

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
