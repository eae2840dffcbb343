import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import type { Readable, Writable } from "node:stream";

/** How to start the server. */
export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Where its standard error goes, byte for byte. */
  readonly stderr: Writable;
  /** Time between the end of its input and SIGTERM. */
  readonly graceMs: number;
  /** Time between a signal and SIGKILL. */
  readonly killMs: number;
}

/** The server process. */
export interface Child {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly pid: number;
  /** Its exit code; 128 + n when a signal ended it. */
  readonly exitCode: Promise<number>;
  /** Passes a signal on. If the server does not end by it, SIGKILL follows. */
  signal(name: NodeJS.Signals): void;
  /** Its input has ended: it should end by itself, or is made to. */
  expectExit(): void;
}

/** The server could not be started. `missing`: there is no such program, or it may not be run. */
export interface SpawnFailure {
  readonly missing: boolean;
  readonly code: string;
}

/** Starts the server, without a shell. */
export async function spawnChild(options: ChildOptions): Promise<Child | SpawnFailure> {
  const { command, args, env, stderr } = options;
  const inherit = stderr === process.stderr;
  const server = spawn(command, args, {
    env,
    stdio: ["pipe", "pipe", inherit ? "inherit" : "pipe"],
  });
  try {
    await once(server, "spawn");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown error";
    return { missing: ["ENOENT", "EACCES", "ENOTDIR"].includes(code), code };
  }
  server.stderr?.pipe(stderr, { end: false });
  const exitCode = new Promise<number>((resolve) => {
    server.once("exit", (code, signal) =>
      resolve(code ?? 128 + (constants.signals[signal as NodeJS.Signals] ?? 0)),
    );
  });
  const ending = createEnding((name) => server.kill(name), options);
  void exitCode.then(() => ending.over());
  return {
    stdin: server.stdin as Writable,
    stdout: server.stdout as Readable,
    pid: server.pid as number,
    exitCode,
    signal: (name) => ending.signal(name),
    expectExit: () => ending.expect(),
  };
}

/** Timers between asking a process to end and making it. */
function createEnding(
  kill: (name: NodeJS.Signals) => void,
  { graceMs, killMs }: ChildOptions,
): {
  signal(name: NodeJS.Signals): void;
  expect(): void;
  over(): void;
} {
  let timer: NodeJS.Timeout | undefined;
  let ended = false;
  const after = (delayMs: number, then: () => void): void => {
    clearTimeout(timer);
    timer = setTimeout(then, delayMs);
  };
  const signal = (name: NodeJS.Signals): void => {
    if (ended) return;
    kill(name);
    after(killMs, () => kill("SIGKILL"));
  };
  return {
    signal,
    expect: () => {
      // A signal that came first has the shorter fuse already.
      if (!ended && timer === undefined) after(graceMs, () => signal("SIGTERM"));
    },
    over: () => {
      ended = true;
      clearTimeout(timer);
    },
  };
}
