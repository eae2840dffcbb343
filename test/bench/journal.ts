// pnpm bench --journal [--rounds 5] [--seconds 2] [--gib 0.25] [--events 200000] [--json]     the journal (P2), beside the bare disk
//
// In turns, in one process: 64 callers that append decisions and wait for them, and the same bytes, 64 frames a write, with one
// fdatasync each. Then recovery of an epoch beside a plain read of its files, and memory over many events.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createJournal, type Journal } from "@countersign/journal";
import { type JournalFs, nodeFs } from "../../packages/journal/src/fs.ts";
import { decision, EPOCH_INFO } from "../../packages/journal/src/testing/journal-fixture.ts";
import { appendAll } from "../../packages/journal/src/whole-file.ts";
import { measureRecovery } from "./journal-recovery.ts";
import { type CommitFigures, journalTable, type Slice, type Tenth } from "./journal-table.ts";
import { percentile } from "./workload.ts";

const CALLERS = 64;
const MIB = 1_048_576;

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    gib: { type: "string", default: "0.25" },
    events: { type: "string", default: "200000" },
    json: { type: "boolean", default: false },
  },
});
const sliceMs = 1_000 * Number(options.seconds);

async function slice(run: (untilMs: number) => Promise<Counted>): Promise<Slice> {
  const [startedMs, cpu] = [performance.now(), process.cpuUsage()];
  const { events, syncs, timesUs } = await run(startedMs + sliceMs);
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - startedMs) / 1_000;
  return {
    perSecond: events / seconds,
    cpuUs: (user + system) / events,
    p50Us: percentile(timesUs, 0.5),
    p99Us: percentile(timesUs, 0.99),
    perSync: events / syncs,
  };
}

interface Counted {
  readonly events: number;
  readonly syncs: number;
  readonly timesUs: number[];
}

/** The bare disk: what as many callers could have at best, if nobody had to seal, frame or tell anything. */
function rawCommit(directory: string, frameBytes: number): Promise<Slice> {
  return slice(async (untilMs) => {
    const file = await nodeFs.open(join(directory, `raw-${untilMs}`), "create");
    const batch = Buffer.alloc(CALLERS * frameBytes, "a");
    const timesUs: number[] = [];
    while (performance.now() < untilMs) {
      await appendAll(file, batch);
      const fromMs = performance.now();
      await file.datasync();
      timesUs.push(1_000 * (performance.now() - fromMs));
    }
    await file.close();
    return { events: CALLERS * timesUs.length, syncs: timesUs.length, timesUs };
  });
}

/** Callers that come back at once, as 64 busy tools would. */
async function appendUntil(journal: Journal, isOver: () => boolean): Promise<number[]> {
  const timesUs: number[] = [];
  await Promise.all(
    Array.from({ length: CALLERS }, async () => {
      while (!isOver()) {
        const fromMs = performance.now();
        await journal.append(decision());
        timesUs.push(1_000 * (performance.now() - fromMs));
      }
    }),
  );
  return timesUs;
}

interface CountingFs extends JournalFs {
  syncs: number;
}

function countingFs(): CountingFs {
  const counting: CountingFs = {
    ...nodeFs,
    syncs: 0,
    open: async (path, mode) => {
      const file = await nodeFs.open(path, mode);
      const datasync = (): Promise<void> => {
        counting.syncs += 1;
        return file.datasync();
      };
      return { ...file, datasync };
    },
  };
  return counting;
}

function journalIn(directory: string, fs: JournalFs): Journal {
  const limits = { diskBytes: 64 * 1024 * MIB };
  return createJournal({ directory, epoch: EPOCH_INFO, env: {}, fs, limits });
}

async function measureCommit(directory: string): Promise<CommitFigures> {
  const fs = countingFs();
  const journal = journalIn(join(directory, "journal"), fs);
  const { bytes } = await journal.append(decision());
  const appends = (untilMs: number): Promise<Counted> => {
    const before = fs.syncs;
    return appendUntil(journal, () => performance.now() > untilMs).then((timesUs) => ({
      events: timesUs.length,
      syncs: fs.syncs - before,
      timesUs,
    }));
  };
  // Warm: code that was compiled and a disk that is awake.
  await slice(appends);
  const figures = { raw: [] as Slice[], journal: [] as Slice[] };
  for (let round = 0; round < Number(options.rounds); round++) {
    figures.raw.push(await rawCommit(directory, bytes.length + 20));
    figures.journal.push(await slice(appends));
  }
  await journal.stop("shutdown", AbortSignal.timeout(10_000));
  return figures;
}

/** Resident and heap, MiB, at each tenth of a long run. */
async function measureMemory(directory: string): Promise<readonly Tenth[]> {
  const journal = journalIn(join(directory, "memory"), nodeFs);
  const total = Number(options.events);
  const tenths: Tenth[] = [];
  for (let done = 0; tenths.length < 10;) {
    let left = total / 10;
    done += (await appendUntil(journal, () => left-- <= 0)).length;
    globalThis.gc?.();
    const { rss, heapUsed } = process.memoryUsage();
    tenths.push({ residentMib: rss / MIB, heapMib: heapUsed / MIB });
  }
  await journal.stop("shutdown", AbortSignal.timeout(10_000));
  return tenths;
}

const directory = mkdtempSync(join(process.env["BENCH_DISK"] ?? tmpdir(), "countersign-journal-"));
try {
  const commit = await measureCommit(directory);
  const memory = await measureMemory(directory);
  const recovery = await measureRecovery(directory, Number(options.gib));
  if (options.json) process.stdout.write(`${JSON.stringify({ commit, memory, recovery })}\n`);
  else process.stdout.write(`${journalTable({ commit, memory, recovery })}\n`);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
