// What the kernel says about a process tree and about the machine. Linux only, as are the figures.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";

const TICKS_PER_S = 100;
/** By its path: what is pinned must not depend on PATH. */
const TASKSET = "/usr/bin/taskset";

/** Whether processes can be given a core of their own. */
export const canPin: boolean = existsSync(TASKSET) && cpus().length > 1;

/** The command that runs `command` on one core alone, or `command` itself where that cannot be. */
export function pinned(core: number, command: readonly string[]): readonly string[] {
  return canPin ? [TASKSET, "-c", String(core), ...command] : command;
}

/** The command that moves all threads of a process to a core. */
export function pinCommand(core: number, pid: number): readonly string[] {
  return [TASKSET, "-a", "-p", "-c", String(core), String(pid)];
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** A process and everything that it started and that still runs. */
function tree(pid: number): number[] {
  const children = readdirOr(`/proc/${pid}/task`).flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(tree)];
}

function readdirOr(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** User and system seconds of a process tree: all threads, and the children that it has reaped. */
export function cpuSeconds(pid: number): number {
  return tree(pid).reduce((sum, one) => {
    const fields = read(`/proc/${one}/stat`).split(") ").at(-1)?.split(" ") ?? [];
    return (
      sum + [11, 12, 13, 14].reduce((own, at) => own + Number(fields[at] ?? 0), 0) / TICKS_PER_S
    );
  }, 0);
}

/** Resident memory of a process tree in MB: `VmRSS` now, `VmHWM` the most that each has had. */
export function memoryMb(pid: number, what: "VmRSS" | "VmHWM"): number {
  const pattern = new RegExp(`${what}:\\s+(\\d+)`);
  const kb = tree(pid).map((one) => Number(pattern.exec(read(`/proc/${one}/status`))?.[1] ?? 0));
  return kb.reduce((sum, one) => sum + one, 0) / 1024;
}

/** Busy seconds of all cores since the machine started. */
export function busySeconds(): number {
  const [user, nice, system, , , irq, softirq] = (read("/proc/stat").split("\n", 1)[0] as string)
    .split(/\s+/)
    .slice(1)
    .map(Number) as [number, number, number, number, number, number, number];
  return (user + nice + system + irq + softirq) / TICKS_PER_S;
}

/** Processes that wanted to run, the mean of the last minute. */
export function load1(): number {
  return loadavg()[0] as number;
}
