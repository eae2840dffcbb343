// `countersign processor`, as a process that a test can kill and start again.
import { type ChildProcess, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./kafka-parts.ts";

/** One replica: the same configuration, ports and directories in every one of its lives. */
export interface ProcessorCommand {
  /** Starts it; resolves when /ready answers 200. */
  start(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with the exit code: 0 when everything was drained. */
  drain(): Promise<number | null>;
  /** Whether it has a process now. */
  readonly runs: boolean;
  /** What it said on standard error in all its lives. */
  readonly said: string;
}

/** Where it is. */
export interface ProcessorPlace {
  readonly configFile: string;
  readonly config: string;
  /** Port of its `health_check`. */
  readonly healthPort: number;
}

const MAIN = join(import.meta.dirname, "..", "..", "packages", "cli", "src", "main.ts");
/** In a long run the machine may have other work. */
const START_MS = process.env["COUNTERSIGN_LONG"] === "1" ? 300_000 : 60_000;

/** Makes one, not started. */
export function processorCommand(place: ProcessorPlace): ProcessorCommand {
  writeFileSync(place.configFile, place.config);
  let child: ChildProcess | undefined;
  let exited: Promise<number | null> = Promise.resolve(null);
  let said = "";
  const end = async (signal: "SIGKILL" | "SIGTERM"): Promise<number | null> => {
    child?.kill(signal);
    return await exited;
  };
  return {
    start: async () => {
      const args = [MAIN, "processor", "--config", place.configFile];
      const own = spawn(process.execPath, ["--conditions=@countersign/source", ...args], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      child = own;
      own.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
      exited = new Promise((resolve) =>
        own.once("close", (code) => {
          child = undefined;
          resolve(code);
        }),
      );
      await until(
        "the processor is ready",
        () => {
          if (child !== own) throw new Error(`the processor ended:\n${said.slice(-4000)}`);
          return isReady(place.healthPort);
        },
        START_MS,
      );
    },
    kill: async () => void (await end("SIGKILL")),
    drain: () => end("SIGTERM"),
    get runs() {
      return child !== undefined;
    },
    get said() {
      return said;
    },
  };
}

async function isReady(port: number): Promise<boolean> {
  try {
    const answer = await fetch(`http://127.0.0.1:${port}/ready`);
    await answer.body?.cancel();
    return answer.ok;
  } catch {
    return false;
  }
}
