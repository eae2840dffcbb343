// What is measured, as a process on a core of its own.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { pinned } from "./kernel.ts";

/** A started target. */
export interface Target {
  readonly pid: number;
  /** Resolves when anything is answered at the address; fails with its last words when it ends before. */
  listening(url: string): Promise<void>;
  /** SIGTERM, and SIGKILL after 30 s; its files are removed. */
  stop(): Promise<void>;
}

const TARGET_CORE = 0;
const START_MS = 60_000;
const STOP_MS = 30_000;

/** Starts it with a folder of its own in `BENCH_DIR`. */
export function startTarget(
  command: readonly string[],
  env: Readonly<Record<string, string>>,
): Target {
  const directory = mkdtempSync(join(tmpdir(), "countersign-bench-"));
  const said = join(directory, "stderr");
  const log = openSync(said, "w");
  const [program, ...args] = pinned(TARGET_CORE, command);
  const child = spawn(program as string, args, {
    env: { ...process.env, ...env, BENCH_DIR: directory },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  const ended = once(child, "exit");
  const isGone = (): boolean => child.exitCode !== null || child.signalCode !== null;
  return {
    pid: child.pid as number,
    listening: async (url) => {
      for (
        const deadline = Date.now() + START_MS;
        Date.now() < deadline && !isGone();
        await delay(50)
      )
        if (await answers(url)) return;
      throw new Error(
        `bench: the target does not listen:\n${readFileSync(said, "utf8").slice(-2000)}`,
      );
    },
    stop: async () => {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await ended;
      clearTimeout(timer);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function answers(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(1000) });
    await answer.body?.cancel();
    return true;
  } catch {
    return false;
  }
}
