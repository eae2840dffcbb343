// One node of OpenSearch or Elasticsearch on loopback, with its data in a directory of its own: killed, frozen and started again by tests.
import { type ChildProcess, spawn, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** What an engine said. */
export interface EngineAnswer {
  readonly status: number;
  readonly body: unknown;
}

/** A running node. */
export interface SearchEngine {
  readonly url: string;
  readonly port: number;
  /** PEM of the authority of its certificate; undefined: plain HTTP. */
  readonly ca: string | undefined;
  /** The same, as a file. */
  readonly caFile: string | undefined;
  /** A request as the administrator; rejects when there is no answer. Text of several lines is sent as NDJSON. */
  ask(method: string, path: string, body?: unknown): Promise<EngineAnswer>;
  /** SIGSTOP: connections stay open, nothing is answered. */
  freeze(): void;
  thaw(): void;
  /** SIGKILL; the data stays. */
  kill(): Promise<void>;
  /** Once more, on the same port and data. */
  start(): Promise<void>;
  /** SIGKILL; removes its files. */
  dispose(): Promise<void>;
}

/** How a node of an engine is run. */
export interface EngineProcess {
  readonly name: string;
  readonly directory: string;
  readonly port: number;
  /** File with the authority of its certificate, PEM. */
  readonly caFile?: string;
  readonly admin?: { readonly username: string; readonly password: string };
  readonly command: readonly [program: string, ...args: string[]];
  readonly options: SpawnOptions;
}

const START_TIMEOUT_MS = 240_000;
const ASK_TIMEOUT_MS = 60_000;

/** Starts a node; resolves when it is ready to index. */
export async function startEngine(how: EngineProcess): Promise<SearchEngine> {
  const engine = new Engine(how);
  try {
    await engine.start();
  } catch (error) {
    await engine.dispose();
    throw error;
  }
  return engine;
}

class Engine implements SearchEngine {
  readonly url: string;
  readonly port: number;
  readonly ca: string | undefined;
  readonly caFile: string | undefined;
  readonly #how: EngineProcess;
  #child: ChildProcess | undefined;

  constructor(how: EngineProcess) {
    this.#how = how;
    this.port = how.port;
    this.caFile = how.caFile;
    this.ca = how.caFile === undefined ? undefined : readFileSync(how.caFile, "utf8");
    this.url = `${how.caFile === undefined ? "http" : "https"}://127.0.0.1:${how.port}`;
  }

  async start(): Promise<void> {
    const { name, command, options, directory } = this.#how;
    const [program, ...args] = command;
    const log = openSync(join(directory, "out.log"), "a");
    // A group of its own: Elasticsearch is a process and its launcher.
    const child = spawn(program, args, {
      ...options,
      detached: true,
      stdio: ["ignore", log, log],
    });
    closeSync(log);
    this.#child = child;
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await this.#isReady())) {
      if (child.exitCode !== null || child.signalCode !== null || Date.now() > deadline) {
        const said = readFileSync(join(directory, "out.log"), "utf8").slice(-4000);
        throw new Error(`${name} did not start: ${said}`);
      }
      await delay(100);
    }
  }

  async #isReady(): Promise<boolean> {
    try {
      const { status } = await this.ask(
        "GET",
        "/_cluster/health?wait_for_status=yellow&timeout=5s",
      );
      return status === 200;
    } catch {
      return false;
    }
  }

  ask(method: string, path: string, body?: unknown): Promise<EngineAnswer> {
    const isLines = typeof body === "string";
    const { admin } = this.#how;
    const { ca } = this;
    const headers = {
      ...(body === undefined
        ? {}
        : { "content-type": isLines ? "application/x-ndjson" : "application/json" }),
      ...(admin === undefined
        ? {}
        : {
            authorization: `Basic ${Buffer.from(`${admin.username}:${admin.password}`).toString("base64")}`,
          }),
    };
    const open = ca === undefined ? httpRequest : httpsRequest;
    const signal = AbortSignal.timeout(ASK_TIMEOUT_MS);
    return new Promise((resolve, reject) => {
      const request = open(this.url + path, { method, headers, signal, ...(ca && { ca }) });
      request.on("error", reject);
      request.on("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          const isJson = response.headers["content-type"]?.includes("json") === true;
          resolve({ status: response.statusCode ?? 0, body: isJson ? JSON.parse(text) : text });
        });
      });
      request.end(body === undefined ? undefined : isLines ? body : JSON.stringify(body));
    });
  }

  freeze(): void {
    this.#signal("SIGSTOP");
  }

  thaw(): void {
    this.#signal("SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    process.kill(-child.pid, "SIGKILL");
    await gone;
  }

  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.#how.directory, { recursive: true, force: true, maxRetries: 3 });
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#child?.pid !== undefined) process.kill(-this.#child.pid, signal);
  }
}
