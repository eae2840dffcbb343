// Starts, kills and reads the processor, for tests.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A directory for one test's processor. */
export interface Home {
  readonly directory: string;
  readonly config: string;
  /** Lines of all files in a directory below, without torn ones. */
  lines(directory: string): string[];
  [Symbol.dispose](): void;
}

/** Makes the embedded configuration of a directory, with free ports. */
export function embeddedHome(
  port: number,
  change: (yaml: string) => string = (yaml) => yaml,
): Home {
  const directory = mkdtempSync(join(tmpdir(), "countersign-processor-"));
  const yaml = readFileSync(
    join(import.meta.dirname, "..", "..", "config", "embedded.yaml"),
    "utf8",
  )
    .replaceAll("./.countersign", directory)
    // First: the port that we were given may be one of these.
    .replaceAll(/127\.0\.0\.1:(13133|8888|4180)\b/g, "127.0.0.1:0")
    .replace("127.0.0.1:4318", `127.0.0.1:${port}`);
  const config = join(directory, "config.yaml");
  mkdirSync(directory, { recursive: true });
  writeFileSync(config, change(yaml));
  return {
    directory,
    config,
    lines: (name) => {
      const folder = join(directory, name);
      return readdirSync(folder)
        .toSorted()
        .flatMap((file) => readFileSync(join(folder, file), "utf8").split("\n").slice(0, -1));
    },
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
}

/** A processor that runs. */
export interface Running {
  readonly child: ChildProcess;
  readonly endpoints: Readonly<Record<string, string>>;
  readonly consoleUrl: string;
  readonly errors: () => string;
  /** Ends it and resolves with its exit code; null after SIGKILL. */
  end(signal: "SIGTERM" | "SIGKILL"): Promise<number | null>;
}

/** Starts the processor as a process; rejects with what it said when it does not start. */
export async function startProcessor(
  config: string,
  env: Readonly<Record<string, string>> = {},
): Promise<Running> {
  const script = join(import.meta.dirname, "fixtures", "processor-child.ts");
  const child = spawn(process.execPath, ["--conditions=@countersign/source", script, config], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  const exited = new Promise<number | null>((resolve) => child.once("close", resolve));
  const line = await Promise.race([
    new Promise<string>((resolve) =>
      createInterface({ input: child.stdout }).once("line", resolve),
    ),
    exited.then((code) =>
      Promise.reject(new Error(`the processor ended with ${code}:\n${errors}`)),
    ),
  ]);
  const { endpoints, consoleUrl } = JSON.parse(line) as Pick<Running, "endpoints" | "consoleUrl">;
  return {
    child,
    endpoints,
    consoleUrl,
    errors: () => errors,
    end: (signal) => {
      child.kill(signal);
      return exited;
    },
  };
}
