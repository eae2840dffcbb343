import { fork, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fdatasync, fdatasyncSync, openSync, unlinkSync, write } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { median } from "./workload.ts";

/** Runs one sample script in a fresh process and gives what it sent; over two minutes is a failed bench. */
export async function sampleInChild<T>(
  script: string,
  job: object,
  env: NodeJS.ProcessEnv,
): Promise<T> {
  const child = fork(join(import.meta.dirname, script), [JSON.stringify(job)], {
    execArgv: ["--expose-gc"],
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  let sample: T | undefined;
  child.on("message", (message) => {
    sample = message as T;
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), 120_000);
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
  clearTimeout(timer);
  if (sample === undefined)
    throw new Error(`bench: ${script} ended with ${code ?? signal} and no sample`);
  return sample;
}

const writeAsync = promisify(write) as (fd: number, data: Buffer) => Promise<unknown>;
const fdatasyncAsync = promisify(fdatasync);

/** The floor under every durable decision: one 1.3 KB append and one fdatasync, alone, on the bench's disk. */
export async function fdatasyncFloorUs(directory: string): Promise<number> {
  const file = join(directory, "floor");
  const fd = openSync(file, "a");
  const data = Buffer.alloc(1_300, 1);
  const times: number[] = [];
  for (let index = 0; index < 600; index++) {
    const from = process.hrtime.bigint();
    await writeAsync(fd, data);
    await fdatasyncAsync(fd);
    times.push(Number(process.hrtime.bigint() - from) / 1_000);
  }
  fdatasyncSync(fd);
  closeSync(fd);
  unlinkSync(file);
  return median(times.slice(100));
}

/** Milliseconds from spawn to the answer to `initialize`. */
export async function startUpMs(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const from = process.hrtime.bigint();
  const child = spawn(command, args, { env, stdio: ["pipe", "pipe", "inherit"] });
  const params = {
    protocolVersion: "2025-06-18",
    capabilities: {},
    clientInfo: { name: "bench", version: "1.0.0" },
  };
  child.stdin.write(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method: "initialize", params })}\n`);
  await once(child.stdout, "data");
  const elapsed = Number(process.hrtime.bigint() - from) / 1e6;
  child.kill("SIGKILL");
  await once(child, "exit");
  return elapsed;
}
