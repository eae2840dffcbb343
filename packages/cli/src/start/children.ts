import { type ChildProcessByStdio, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { CliError, EXIT } from "../exit.ts";
import { shown } from "../terminal.ts";

/** How to start a child of the demonstration. */
export interface ChildOptions {
  /** Names its log file. */
  readonly name: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** All of its standard input. Without it, input stays open until the run ends. */
  readonly input?: string;
}

/** A child process: a Node program that speaks JSON lines on stdout and logs to a file. */
export interface Child {
  /** Lines of stdout, until it ends. */
  readonly lines: AsyncIterable<string>;
  /** Resolves with the exit code; -1 when a signal ended it. */
  readonly exited: Promise<number>;
  /** The last lines of its log, fit for a terminal. */
  lastWords(): readonly string[];
}

/** The children of one run, ended together. */
export interface Children {
  start(options: ChildOptions): Child;
  /** SIGTERM, and SIGKILL after a grace, each by process id; resolves when all are gone. Nothing starts after it. */
  stop(): Promise<void>;
  /** At once, for a second Ctrl-C. */
  kill(): void;
}

type Running = ChildProcessByStdio<Writable, Readable, null>;

/** The processor drains in this time. */
const GRACE_MS = 10_000;
const LAST_WORDS = 8;

/** @param logs Directory for one log file per child, made here. */
export function createChildren(logs: string): Children {
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  return new LoggedChildren(logs);
}

class LoggedChildren implements Children {
  readonly #logs: string;
  readonly #running = new Set<Running>();
  #stopping = false;

  constructor(logs: string) {
    this.#logs = logs;
  }

  start({ name, args, cwd, env, input }: ChildOptions): Child {
    if (this.#stopping) throw new CliError(EXIT.interrupted, "stopping");
    const file = join(this.#logs, `${name}.log`);
    const log = openSync(file, "a", 0o600);
    const child = spawn(process.execPath, [...sourceConditions(), ...args], {
      cwd,
      env: { ...env },
      stdio: ["pipe", "pipe", log],
    }) as Running;
    closeSync(log);
    this.#running.add(child);
    child.stdin.on("error", () => {}); // it ended; its exit code says the rest
    if (input !== undefined) child.stdin.end(input);
    const exited = new Promise<number>((resolve) => {
      const end = (code: number | null): void => {
        this.#running.delete(child);
        resolve(code ?? -1);
      };
      child.once("close", end);
      child.once("error", () => end(-1));
    });
    return { lines: createInterface({ input: child.stdout }), exited, lastWords: () => tail(file) };
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const child of this.#running) child.stdin.end();
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      for (const child of this.#running) child.kill(signal);
      if (await this.#gone()) return;
    }
  }

  kill(): void {
    for (const child of this.#running) child.kill("SIGKILL");
  }

  async #gone(): Promise<boolean> {
    const closed = [...this.#running].map(
      (child) => new Promise<void>((resolve) => child.once("close", () => resolve())),
    );
    const timer = new AbortController();
    const all = Promise.all(closed).then(() => true);
    const late = delay(GRACE_MS, false, { signal: timer.signal }).catch(() => false);
    return Promise.race([all, late]).finally(() => timer.abort());
  }
}

/** `--conditions` of this process holds for its children: from source, they run from source too. */
export function sourceConditions(): string[] {
  return process.execArgv.filter((option) => option.startsWith("--conditions="));
}

function tail(file: string): readonly string[] {
  try {
    return readFileSync(file, "utf8").trimEnd().split("\n").slice(-LAST_WORDS).map(shown);
  } catch {
    return [];
  }
}
