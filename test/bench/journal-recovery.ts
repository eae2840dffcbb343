// How long the journal takes to read back an epoch whose process died, beside a plain read of the same files: once from the disk,
// once from memory.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { createJournal } from "@countersign/journal";
import { nodeFs } from "../../packages/journal/src/fs.ts";
import { epochDirectory, listSegments, segmentPath } from "../../packages/journal/src/layout.ts";
import { scanEpoch } from "../../packages/journal/src/settle.ts";
import { decision, EPOCH_INFO } from "../../packages/journal/src/testing/journal-fixture.ts";
import { median } from "./workload.ts";

const GIB = 1024 ** 3;
const READ_BYTES = 256 * 1024;
const ROUNDS = 3;
const TOGETHER = 2_000;

interface Times {
  readonly scanMs: number;
  readonly readMs: number;
}

export interface RecoveryFigures {
  readonly gib: number;
  readonly records: number;
  /** After the kernel was told to forget the files. */
  readonly cold: Times;
  readonly cached: Times;
}

export async function measureRecovery(directory: string, gib: number): Promise<RecoveryFigures> {
  const epochPath = await writeEpoch(join(directory, "recovery"), gib * GIB);
  const files = (await listSegments(nodeFs, epochPath)).map((n) => segmentPath(epochPath, n));
  const { records } = await scanEpoch(nodeFs, epochPath);
  const read = () => timed(() => readPlainly(files));
  const scan = () => timed(() => scanEpoch(nodeFs, epochPath));
  const cold = { scan: [] as number[], read: [] as number[] };
  const cached = { scan: [] as number[], read: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    forget(files);
    cold.read.push(await read());
    cached.read.push(await read());
    forget(files);
    cold.scan.push(await scan());
    cached.scan.push(await scan());
  }
  const of = (times: typeof cold): Times => ({
    scanMs: median(times.scan),
    readMs: median(times.read),
  });
  return { gib, records, cold: of(cold), cached: of(cached) };
}

/** As a killed process leaves it: no stop, segments of the default size. */
async function writeEpoch(directory: string, bytes: number): Promise<string> {
  const journal = createJournal({
    directory,
    emitter: "bench",
    epoch: EPOCH_INFO,
    env: {},
    limits: { diskBytes: 64 * GIB },
  });
  while (journal.status().bytes < bytes) {
    await Promise.all(Array.from({ length: TOGETHER }, () => journal.append(decision())));
  }
  await journal.stop("shutdown", AbortSignal.timeout(60_000));
  return epochDirectory(join(directory, "bench"), 1);
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const fromMs = performance.now();
  await run();
  return performance.now() - fromMs;
}

async function readPlainly(files: readonly string[]): Promise<void> {
  const target = Buffer.allocUnsafe(READ_BYTES);
  for (const path of files) {
    const file = await nodeFs.open(path, "read");
    for (let at = 0, read = 1; read > 0; at += read) read = await file.read(target, at);
    await file.close();
  }
}

/** POSIX_FADV_DONTNEED for these files alone; coreutils' dd is the one tool that says it. */
function forget(files: readonly string[]): void {
  for (const path of files) {
    spawnSync("dd", [`if=${path}`, "iflag=nocache", "count=0"], { stdio: "ignore" });
  }
}
