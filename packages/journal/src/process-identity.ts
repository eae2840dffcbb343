// Which process is this, in a way that outlives it: a process id alone is given again. On Linux the start time (clock
// ticks since boot), the boot id and the process-id namespace make it unique. `/proc` is no disk: not through the port.
import { readFileSync, readlinkSync } from "node:fs";

/** A process, as a lease names it. What a system does not tell is absent. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime?: string;
  readonly boot?: string;
  /** Process ids compare only within one namespace; containers have their own. */
  readonly pidNamespace?: string;
}

function tryRead(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** State letter and start time of a process (proc(5), fields 3 and 22 of `stat`); undefined if there is none. */
function processStat(pid: number | "self"): { state: string; startTime: string } | undefined {
  const text = tryRead(() => readFileSync(`/proc/${pid}/stat`, "utf8"));
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, startTime] = [fields?.[0], fields?.[19]];
  return state === undefined || startTime === undefined ? undefined : { state, startTime };
}

/** This process. */
export function thisProcess(): ProcessIdentity {
  const startTime = processStat("self")?.startTime;
  const boot = tryRead(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8"))?.trim();
  const pidNamespace = tryRead(() => readlinkSync("/proc/self/ns/pid"));
  return {
    pid: process.pid,
    ...(startTime === undefined ? {} : { startTime }),
    ...(boot === undefined ? {} : { boot }),
    ...(pidNamespace === undefined ? {} : { pidNamespace }),
  };
}

/**
 * Whether `other` still runs, as far as the system can tell from here: `unknown` where process ids do not compare
 * (another namespace) or cannot be told from reused ones (no `/proc`).
 */
export function processState(
  other: ProcessIdentity,
  self: ProcessIdentity = thisProcess(),
): "running" | "gone" | "unknown" {
  if (other.boot !== undefined && self.boot !== undefined && other.boot !== self.boot)
    return "gone";
  if (other.pidNamespace !== self.pidNamespace) return "unknown";
  if (other.startTime !== undefined && self.startTime !== undefined) {
    const found = processStat(other.pid);
    // Z, X: dead, and only not yet collected by its parent.
    const runs = found?.startTime === other.startTime && !/[ZXx]/.test(found.state);
    return runs ? "running" : "gone";
  }
  try {
    process.kill(other.pid, 0);
    return "unknown";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH" ? "gone" : "unknown";
  }
}
