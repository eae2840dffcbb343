// The processes of a run on the emitters' side: agents with their guards and tools, `countersign ship`, and who of them dies when.
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { childrenOf } from "../e2e/fixtures/guard/scene.ts";
import type { Books } from "./ledger-books.ts";
import type { AgentPlan } from "./fixtures/ledger-agent.ts";

const AGENT = fileURLToPath(new URL("./fixtures/ledger-agent.ts", import.meta.url));
const TOOL = fileURLToPath(new URL("./fixtures/ledger-tool.ts", import.meta.url));
const COUNTERSIGN = join(
  import.meta.dirname,
  "..",
  "..",
  "packages",
  "cli",
  "bin",
  "countersign.js",
);
/** Longest that a process may take to go. */
const GONE_MS = 30_000;

/** Who is killed, and after how many of the agent's questions. */
export interface Fate {
  readonly victim: "guard" | "agent" | "tool" | "nobody";
  readonly afterAsked: number;
  readonly delayMs: number;
}

/** What one agent of a round is. */
export interface AgentOptions {
  readonly policy: string;
  readonly journal: string;
  readonly emitter: string;
  readonly endpoint: string;
  readonly effects: string;
  readonly ids: readonly string[];
  readonly together: number;
  readonly fate: Fate;
}

/** Runs an agent until it, its guard and its tool are gone; resolves with the number of processes killed. */
export async function runAgent(options: AgentOptions, books: Books): Promise<number> {
  const { fate } = options;
  const plan = planOf(options);
  const child = spawn(
    process.execPath,
    ["--conditions=@countersign/source", AGENT, JSON.stringify(plan)],
    { stdio: ["ignore", "pipe", "ignore"] },
  );
  const exited = exitOf(child);
  const family: number[] = [];
  let asked = 0;
  let killing: Promise<number> | undefined;
  const lines = createInterface({ input: child.stdout });
  lines.on("line", (line) => {
    const [what = "", which = ""] = line.split(" ");
    if (what === "guard") family.push(Number(which));
    if (what === "asked") {
      books.asked.add(which);
      asked += 1;
    }
    if (what === "ran") books.toldRan.add(which);
    if (what === "refused") books.toldRefused.add(which);
    // Before anything was asked, too: the guard may be opening its journal.
    if (family[0] !== undefined && asked >= fate.afterAsked) {
      killing ??= kill(fate, child.pid as number, family);
    }
  });
  const read = new Promise((resolve) => lines.once("close", resolve));
  await Promise.all([exited, read]);
  const killed = (await killing) ?? 0;
  for (const pid of family) await gone(pid);
  return killed;
}

function planOf(options: AgentOptions): AgentPlan {
  const tool = [process.execPath, TOOL];
  const guard = [process.execPath, COUNTERSIGN, "guard", "--policy", options.policy];
  return {
    guard: [...guard, "--journal", options.journal, "--otlp", options.endpoint, "--", ...tool],
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: options.journal,
      COUNTERSIGN_ASSERTED_HUMAN: "alice",
      COUNTERSIGN_EMITTER: options.emitter,
      EFFECTS: options.effects,
    },
    ids: options.ids,
    together: options.together,
  };
}

async function kill(fate: Fate, agent: number, family: number[]): Promise<number> {
  await delay(fate.delayMs);
  const [guard] = family as [number];
  // It outlives its guard by the call that it runs.
  const [tool] = childrenNow(guard);
  if (tool !== undefined) family.push(tool);
  const pid = { guard, agent, tool, nobody: undefined }[fate.victim];
  if (pid === undefined) return 0;
  try {
    process.kill(pid, "SIGKILL");
    return 1;
  } catch {
    // It was done already.
    return 0;
  }
}

function childrenNow(pid: number): number[] {
  try {
    return childrenOf(pid);
  } catch {
    return [];
  }
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => child.once("exit", resolve));
}

/** Waits for a process that is no child of ours; one that nobody has waited for is gone, too. */
async function gone(pid: number): Promise<void> {
  for (const end = Date.now() + GONE_MS; Date.now() < end; await delay(20)) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      if (stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z")) return;
    } catch {
      return;
    }
  }
  process.kill(pid, "SIGKILL");
  throw new Error(`process ${pid} does not end`);
}

/** One `countersign ship --once`, killed after `killAfterMs` if that is given. Resolves with its exit code. */
export async function runShip(
  journal: string,
  endpoint: string,
  killAfterMs?: number,
): Promise<number | null> {
  const child = spawn(
    process.execPath,
    [COUNTERSIGN, "ship", "--once", "--journal", journal, "--otlp", endpoint],
    { stdio: "ignore" },
  );
  const timer =
    killAfterMs === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfterMs);
  const code = await exitOf(child);
  clearTimeout(timer);
  return code;
}
