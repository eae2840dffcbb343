import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { CliError, EXIT } from "../exit.ts";

/** A conversation with a STDIO MCP server, enough to ask what it offers. */
export interface StdioSession {
  readonly server: { readonly name?: string; readonly version?: string };
  /** What the server says it can do: `tools`, `resources`, `prompts`, … */
  readonly capabilities: Readonly<Record<string, unknown>>;
  /** Asks and waits. Undefined when the server answers with an error. Rejects after the time limit. */
  ask(method: string, params?: object): Promise<Record<string, unknown> | undefined>;
  /** Closes the server's input, and ends it by id when it stays. */
  close(): Promise<void>;
}

const ANSWER_TIMEOUT_MS = 30_000;
const CLOSE_GRACE_MS = 2_000;
const MAX_LINE_BYTES = 4 * 1024 * 1024;
/** The newest revision with `initialize`; servers of either era answer it. */
const PROTOCOL_VERSION = "2025-11-25";

type Child = ChildProcessByStdio<Writable, Readable, null>;
type Message = Record<string, unknown>;

/**
 * Starts a server and initializes it.
 *
 * @throws CliError `EXIT.noInput` when there is no such program, `EXIT.unavailable` when it does not start, ends, or does not
 *   answer in time.
 */
export async function openStdioSession(
  command: string,
  args: readonly string[],
): Promise<StdioSession> {
  const child = spawn(command, [...args], { stdio: ["pipe", "pipe", "inherit"] });
  const session = new Session(child);
  try {
    await session.initialize();
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

class Session implements StdioSession {
  server: { name?: string; version?: string } = {};
  capabilities: Record<string, unknown> = {};
  readonly #child: Child;
  readonly #pending = new Map<number, (answer: Message | CliError) => void>();
  #nextId = 1;
  #ended: CliError | undefined;

  constructor(child: Child) {
    this.#child = child;
    child.once("error", (error: NodeJS.ErrnoException) => this.#unstarted(error.code));
    child.once("exit", (code, signal) =>
      this.#end(
        `ended before it answered (${signal ?? `exit ${code}`}): run it alone to see why, and check that it speaks MCP over STDIO`,
      ),
    );
    child.stdin.on("error", () => {}); // a server that closed its input; its exit says the rest
    createInterface({ input: child.stdout }).on("line", (line) => this.#receive(line));
  }

  async initialize(): Promise<void> {
    const result = await this.ask("initialize", {
      protocolVersion: PROTOCOL_VERSION,
      capabilities: {},
      clientInfo: { name: "countersign", version: "1" },
    });
    if (result === undefined)
      throw new CliError(EXIT.unavailable, "policy init: the server refuses to initialize");
    this.capabilities = asObject(result["capabilities"]);
    const { name, version } = asObject(result["serverInfo"]);
    this.server = {
      ...(typeof name === "string" ? { name } : {}),
      ...(typeof version === "string" ? { version } : {}),
    };
    this.#send({ method: "notifications/initialized" });
  }

  async ask(method: string, params: object = {}): Promise<Message | undefined> {
    if (this.#ended !== undefined) throw this.#ended;
    const id = this.#nextId++;
    const answered = new Promise<Message | CliError>((resolve) => this.#pending.set(id, resolve));
    this.#send({ id, method, params });
    const timer = setTimeout(() => {
      this.#pending.get(id)?.(
        new CliError(
          EXIT.unavailable,
          `policy init: the server did not answer ${method} within 30 s`,
        ),
      );
    }, ANSWER_TIMEOUT_MS);
    const answer = await answered.finally(() => {
      clearTimeout(timer);
      this.#pending.delete(id);
    });
    if (answer instanceof CliError) throw answer;
    return "result" in answer ? asObject(answer["result"]) : undefined;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    if (this.#child.pid === undefined) return;
    const exited = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    this.#child.stdin.end();
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const gone = await Promise.race([
        exited.then(() => true),
        delay(CLOSE_GRACE_MS, false, { ref: false }),
      ]);
      if (gone) return;
      this.#child.kill(signal);
    }
    await exited;
  }

  #receive(line: string): void {
    if (line.length > MAX_LINE_BYTES) return this.#end("sent a line of more than 4 MiB");
    let message: Message;
    try {
      message = asObject(JSON.parse(line));
    } catch {
      return; // not JSON-RPC: not for us
    }
    const { id, method } = message;
    if (typeof method === "string" && id !== undefined) return this.#answer(id, method);
    if (typeof id === "number") this.#pending.get(id)?.(message);
  }

  /** A server may ask during our questions, and some wait for the answer. */
  #answer(id: unknown, method: string): void {
    const error = { code: -32601, message: "not supported" };
    this.#send(method === "ping" ? { id, result: {} } : { id, error });
  }

  #send(message: Message): void {
    if (this.#child.stdin.writable) {
      this.#child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", ...message })}\n`);
    }
  }

  #unstarted(code = "unknown error"): void {
    const exitCode = code === "ENOENT" ? EXIT.noInput : EXIT.unavailable;
    this.#end(
      `could not be started (${code}): check the command after \`--\`, its path and its permissions`,
      exitCode,
    );
  }

  #end(what: string, exitCode: number = EXIT.unavailable): void {
    this.#ended ??= new CliError(exitCode, `policy init: the server ${what}`);
    for (const settle of this.#pending.values()) settle(this.#ended);
  }
}

function asObject(value: unknown): Message {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Message)
    : {};
}
