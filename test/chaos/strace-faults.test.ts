// Faults below Node: the kernel's answers to a real process with a journal and a tool that leaves a trace are replaced by errors, call by
// call, with strace. What ran must have been synced before, by what strace saw; it must be on the disk, or with the receiver; and what is
// left is drained by whoever comes next. COUNTERSIGN_LONG=1 fails more of the calls, with more errors.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { nodeFs, shipAll } from "@countersign/journal";
import { unseal } from "@countersign/model";
import { expect, test } from "vitest";
import { startOtlpReceiver } from "../../packages/journal/src/testing/otlp-receiver.ts";
import { scanRecords } from "../../packages/journal/src/testing/scan-records.ts";
import { findService } from "../services/find.ts";
import { testimonyOf } from "./strace-witness.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";
const CHILD = fileURLToPath(new URL("./fixtures/strace-child.ts", import.meta.url));
const CALLS = 30;
const SYSTEM_CALLS = ["fdatasync", "fsync", "write", "pwrite64", "rename", "openat"] as const;
const ERRORS = ["EIO", "ENOSPC", "EROFS"] as const;
/** Which of a system call's runs fail, as strace has it: the second, every other one from the third, all from the sixth. */
const SOME = ["2", "3+2", "6+"];
const ALL = Array.from({ length: 12 }, (_, at) => [
  `${at + 1}`,
  `${at + 1}+`,
  `${at + 1}+2`,
]).flat();

/** The program, if it is there and may trace; one loud line if not. */
function findStrace(): string | undefined {
  if (process.platform !== "linux") return undefined;
  const found = findService("strace");
  if (found?.kind !== "binary") return undefined;
  try {
    execFileSync(found.path, ["-qq", "-o", "/dev/null", "true"], { stdio: "pipe" });
    return found.path;
  } catch {
    process.stderr.write(
      "\nSKIPPED, no faults below Node: tracing (ptrace) is not permitted here\n\n",
    );
    return undefined;
  }
}

interface Run {
  readonly call: string;
  readonly error: string;
  readonly when: string;
}

function runs(): Run[] {
  return SYSTEM_CALLS.flatMap((call, at) =>
    (LONG ? ALL : SOME).flatMap((when, of) => {
      const errors = LONG ? ERRORS : [ERRORS[(at + of) % ERRORS.length] as string];
      return errors.map((error) => ({ call, error, when }));
    }),
  );
}

/** Of these files alone calls are seen, and fail: a process opens and writes many others. */
function filesOf(journal: string): string[] {
  const epochs = Array.from({ length: 40 }, (_, at) =>
    join(journal, "origin", String(at + 1).padStart(10, "0")),
  );
  return epochs.flatMap((epoch) => [
    epoch,
    ...["cursor", "end"].map((name) => join(epoch, name)),
    ...[0, 1, 2, 3, 4, 5].map((segment) => join(epoch, `0000000${segment}.wal`)),
  ]);
}

async function runUnder(strace: string, run: Run, root: string, endpoint: string): Promise<string> {
  const [journal, traces, mark, log] = ["journal", "traces", "mark", "log"].map((name) =>
    join(root, name),
  ) as [string, string, string, string];
  mkdirSync(traces);
  writeFileSync(mark, "");
  const traced = `trace=${SYSTEM_CALLS.join(",")},utimensat`;
  const failing = `inject=${run.call}:error=${run.error}:when=${run.when}`;
  const paths = [mark, ...filesOf(journal)].flatMap((path) => ["-P", path]);
  const options = "-f -qq -y -x -s 64"
    .split(" ")
    .concat("-o", log, "-e", traced, "-e", failing, paths);
  const node = [process.execPath, "--conditions=@countersign/source", CHILD];
  const child = spawn(
    strace,
    options.concat(node, journal, traces, mark, endpoint, String(CALLS)),
    // strace counts for each thread: with one, the n-th call is the n-th.
    { stdio: ["ignore", "ignore", "inherit"], env: { ...process.env, UV_THREADPOOL_SIZE: "1" } },
  );
  const code = await new Promise((resolve) => child.once("exit", resolve));
  expect([run, code]).toEqual([run, 0]);
  return readFileSync(log, "utf8");
}

const strace = findStrace();

test.skipIf(strace === undefined)(
  "whatever the kernel answers, nothing ran that was not synced, and all of it is there",
  { timeout: LONG ? 7_200_000 : 600_000 },
  async () => {
    const sum = { runs: 0, injected: 0, ran: 0, refused: 0 };
    for (const run of runs()) {
      const root = mkdtempSync(join(tmpdir(), "countersign-strace-"));
      const receiver = await startOtlpReceiver();
      const { injected, ran, unsynced } = testimonyOf(
        await runUnder(strace as string, run, root, receiver.endpoint),
      );
      const directory = join(root, "journal");
      const traces = readdirSync(join(root, "traces")).map((name) => name.split("-")[2]);
      const stored = await scanRecords(nodeFs, directory);
      const there = new Set(stored.map(({ body }) => unseal(body).hash));
      for (const { hash } of receiver.events()) there.add(hash);
      expect([run, unsynced, ran]).toEqual([run, [], traces.length]);
      expect([run, traces.filter((hash) => !there.has(hash ?? ""))]).toEqual([run, []]);

      const ship = { endpoint: receiver.endpoint };
      await shipAll({ directory, ship, signal: AbortSignal.timeout(60_000) });
      const arrived = new Set(receiver.events().map(({ hash }) => hash));
      expect([run, traces.filter((hash) => !arrived.has(hash ?? ""))]).toEqual([run, []]);
      expect(receiver.violations).toEqual([]);
      await receiver.stop();
      rmSync(root, { recursive: true });
      sum.runs += 1;
      sum.injected += injected;
      sum.ran += ran;
      sum.refused += CALLS - ran;
    }
    console.log(`faults below Node: ${JSON.stringify(sum)}`);
    expect(sum.injected).toBeGreaterThan(sum.runs);
    expect(sum.ran).toBeGreaterThan(sum.runs);
    expect(sum.refused).toBeGreaterThan(sum.runs);
  },
);
