// No record, no run, under every fault of the disk: a real MCP server whose tool leaves a trace, over a journal in which each operation
// fails in turn, with each of five errors; syncs that fail after they wrote; a disk that stays dead; a directory that is deleted. When the
// tool runs, its decision must be in what a sync has said is on the disk, and must still be found there afterwards.
// COUNTERSIGN_LONG=1 does it with the other SDK generation, too.
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  decodeFrame,
  findFrame,
  type JournalFile,
  type JournalFs,
  nodeFs,
} from "@countersign/journal";
import { createFaultyFs, type FaultPlan } from "@countersign/journal/testing";
import { type CountersignEvent, type DecisionEvent, kindOf, unseal } from "@countersign/model";
import { expect, test } from "vitest";
import { openRecordedServer, TICKETS } from "../e2e/fixtures/recorded-server.ts";
import { readJournal } from "../e2e/fixtures/sdk/journal-events.ts";

const GENERATIONS = process.env["COUNTERSIGN_LONG"] === "1" ? ["v1", "v2"] : ["v1"];
const ERRNOS = ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EMFILE"] as const;
const CALLS = 7;

/** Tickets of the calls that a decision lets run. */
function allowed(events: readonly CountersignEvent[]): string[] {
  return events
    .filter((event): event is DecisionEvent => kindOf(event.type) === "decision")
    .filter(({ data }) => data.effect === "run")
    .flatMap(({ data }) => (data.checks ?? []).map(({ resource }) => resource.id));
}

/** The disk of this machine, and what its syncs have said is on it. */
function watchedDisk(): { disk: JournalFs; synced: Set<string> } {
  const synced = new Set<string>();
  const watch = (file: JournalFile, path: string): JournalFile => {
    const took = (): void => {
      if (!path.endsWith(".wal") || !existsSync(path)) return;
      const bytes = readFileSync(path);
      for (let at = findFrame(bytes, 0); at !== undefined;) {
        const frame = decodeFrame(bytes, at);
        if (typeof frame === "string") break;
        for (const id of allowed([unseal(frame.body).event])) synced.add(id);
        at = findFrame(bytes, frame.end);
      }
    };
    return {
      ...file,
      datasync: async () => {
        await file.datasync();
        took();
      },
      sync: async () => {
        await file.sync();
        took();
      },
    };
  };
  const open: JournalFs["open"] = async (path, mode) => watch(await nodeFs.open(path, mode), path);
  return { disk: { ...nodeFs, open }, synced };
}

interface Life {
  readonly operations: number;
  readonly effects: readonly string[];
  readonly refused: number;
  /** What must not be; empty. */
  readonly problems: readonly string[];
}

/** Calls one after the other and together, an epoch that rolls, and a stop; `plan` sees every operation. */
async function live(generation: string, plan: (directory: string) => FaultPlan): Promise<Life> {
  const directory = mkdtempSync(join(tmpdir(), "no-record-faults-"));
  const watched = watchedDisk();
  const disk = createFaultyFs(plan(directory), watched.disk);
  const problems: string[] = [];
  const server = await openRecordedServer({
    generation,
    directory,
    disk,
    journal: {
      log: { debug: silent, info: silent, warn: silent, error: silent },
      limits: { segmentBytes: 4_096, reserveBytes: 1_024 },
    },
    onEffect: (id) => {
      if (!watched.synced.has(id)) problems.push(`${id} ran, and no sync had its decision`);
    },
  });
  const [first, second, ...rest] = TICKETS.slice(0, CALLS);
  const answers = [await server.call(first), await server.call(second)];
  answers.push(...(await Promise.all(rest.slice(0, 3).map((id) => server.call(id)))));
  for (const id of rest.slice(3)) answers.push(await server.call(id));
  const before = disk.calls.length;
  await server.gate.stop("shutdown", AbortSignal.timeout(5_000));
  const operations = Math.max(before, disk.calls.length);
  const { effects } = server;
  const kept = existsSync(directory) ? new Set(allowed(readJournal(directory))) : watched.synced;
  for (const id of effects) if (!kept.has(id)) problems.push(`${id} ran, and its decision is gone`);
  const ran = answers.filter(({ isError }) => isError !== true).length;
  if (ran !== effects.length) problems.push(`${effects.length} ran, ${ran} callers were told so`);
  rmSync(directory, { recursive: true, force: true });
  return { operations, effects, refused: answers.length - ran, problems };
}

function silent(): void {
  // Faults are what this is about; each would be a line.
}

test.each(GENERATIONS)(
  "SDK %s: whatever operation fails, with whatever error, nothing ran that is not on the disk",
  { timeout: 600_000 },
  async (generation) => {
    const whole = await live(generation, () => () => undefined);
    expect(whole).toMatchObject({ effects: { length: CALLS }, refused: 0, problems: [] });
    const sum = { lives: 0, ran: 0, refused: 0 };
    const count = (life: Life, what: unknown): void => {
      expect([what, life.problems]).toEqual([what, []]);
      sum.lives += 1;
      sum.ran += life.effects.length;
      sum.refused += life.refused;
    };
    for (let nth = 1; nth <= whole.operations; nth++) {
      for (const errno of ERRNOS) {
        const once: FaultPlan = ({ number }) => (number === nth ? { errno } : undefined);
        count(await live(generation, () => once), [nth, errno]);
      }
      const after: FaultPlan = ({ number, operation }) =>
        number === nth && operation !== "open" ? { errno: "EIO", after: true } : undefined;
      count(await live(generation, () => after), [nth, "EIO, and it was done"]);
      const dead: FaultPlan = ({ number }) => (number >= nth ? { errno: "EIO" } : undefined);
      count(await live(generation, () => dead), [nth, "dead from here on"]);
      const deleted =
        (directory: string): FaultPlan =>
        ({ number }) => {
          if (number === nth) rmSync(directory, { recursive: true, force: true });
          return undefined;
        };
      count(await live(generation, deleted), [nth, "deleted"]);
    }
    console.log(`no record, no run, SDK ${generation}: ${JSON.stringify(sum)}`);
    expect(sum.ran).toBeGreaterThan(sum.lives);
    expect(sum.refused).toBeGreaterThan(sum.lives / 2);
  },
);
