import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { boundText } from "@countersign/model";

/** How a run ended: with an exit code, or without one that means anything. */
export type HelperRun =
  | { readonly exitCode: number; readonly stdout: string }
  | { readonly failure: string };

/** Surroundings of one run. */
export interface HelperOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly timeoutMs: number;
}

const MAX_STDOUT_BYTES = 64 * 1024;
const MAX_NAMED_BYTES = 256;

/**
 * Runs a credential helper: no shell, no stdin, at most 64 KiB of stdout. Its stderr goes nowhere: it may quote a token.
 * When it takes too long or says too much it is killed, and nobody waits for its own children. Never rejects.
 */
export function runHelper(
  [program = "", ...args]: readonly string[],
  { env, timeoutMs }: HelperOptions,
): Promise<HelperRun> {
  const { promise, resolve } = Promise.withResolvers<HelperRun>();
  const child = start(program, args, env);
  // The program alone: an argument may be anything.
  const named = program === "" ? "its command" : boundText(program, MAX_NAMED_BYTES);
  if (child === undefined) return Promise.resolve({ failure: `${named} cannot be run` });
  const chunks: Buffer[] = [];
  let size = 0;
  const end = (run: HelperRun): void => {
    clearTimeout(timer);
    child.stdout.destroy();
    resolve(run);
  };
  const giveUp = (failure: string): void => {
    child.kill("SIGKILL");
    end({ failure });
  };
  const timer = setTimeout(() => giveUp(`no answer within ${timeoutMs} ms`), timeoutMs);
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.byteLength;
    if (size > MAX_STDOUT_BYTES) giveUp(`more than ${MAX_STDOUT_BYTES} bytes on stdout`);
    else chunks.push(chunk);
  });
  child.on("error", (error: NodeJS.ErrnoException) => {
    end({ failure: `${named} cannot be run (${error.code ?? "unknown error"})` });
  });
  child.on("close", (exitCode, signal) => {
    if (exitCode === null) end({ failure: `it was ended by ${signal ?? "a signal"}` });
    else end({ exitCode, stdout: Buffer.concat(chunks).toString("utf8") });
  });
  return promise;
}

/** `spawn` throws for what no system call could take: a NUL byte, too many arguments. */
function start(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): ChildProcessByStdio<null, Readable, null> | undefined {
  try {
    return spawn(program, args, { env, stdio: ["ignore", "pipe", "ignore"], windowsHide: true });
  } catch {
    return undefined;
  }
}
