import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { safeEnvironment } from "./safe-environment.ts";

/** One run of a platform tool. */
export interface ToolRun {
  readonly args: readonly string[];
  /** The only way for a secret: arguments are there for every user of the machine to read. */
  readonly stdin?: string;
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
}

const MAX_STDOUT_BYTES = 16 * 1024;

/** Its stdout; `undefined` when it is not there, fails, takes too long or says too much. No shell; its stderr goes nowhere. Never rejects. */
export function runTool(program: string, run: ToolRun): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const child = start(program, run);
  if (child === undefined) return Promise.resolve(undefined);
  const chunks: Buffer[] = [];
  let size = 0;
  const giveUp = (): void => {
    child.kill("SIGKILL");
    child.stdout.destroy();
    resolve(undefined);
  };
  const timer = setTimeout(giveUp, run.timeoutMs);
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.byteLength;
    if (size > MAX_STDOUT_BYTES) giveUp();
    else chunks.push(chunk);
  });
  child.on("error", () => {
    clearTimeout(timer);
    resolve(undefined);
  });
  child.on("close", (code) => {
    clearTimeout(timer);
    resolve(code === 0 ? Buffer.concat(chunks).toString("utf8") : undefined);
  });
  child.stdin.on("error", () => {}); // a tool may end without reading
  child.stdin.end(run.stdin ?? "");
  return promise;
}

/** `spawn` throws for some of what the system refuses (ENOTDIR, E2BIG), and for a NUL byte. */
function start(
  program: string,
  { args, env }: ToolRun,
): ChildProcessByStdio<Writable, Readable, null> | undefined {
  try {
    return spawn(program, [...args], {
      env: safeEnvironment(env),
      stdio: ["pipe", "pipe", "ignore"],
      windowsHide: true,
    });
  } catch {
    return undefined;
  }
}
