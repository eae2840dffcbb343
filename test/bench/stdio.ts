// One sample in a fresh process: the SDK's client over real pipes to the plain server, with something in between or not.
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { drive, percentile } from "./workload.ts";
import type { ToolCaller } from "./workload.ts";

export interface StdioJob {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Record<string, string>;
  readonly concurrency: number;
  readonly warm: number;
  readonly calls: number;
}

export interface StdioSample {
  readonly p50Us: number;
  readonly p99Us: number;
}

const job = JSON.parse(process.argv[2] as string) as StdioJob;
const client = new Client({ name: "bench", version: "1.0.0" });
const { command, args, env } = job;
await client.connect(new StdioClientTransport({ command, args: [...args], env, stderr: "ignore" }));
const caller = client as unknown as ToolCaller;
await drive(caller, { calls: job.warm, concurrency: job.concurrency });
const latencies = await drive(caller, { calls: job.calls, concurrency: job.concurrency });
const sample: StdioSample = {
  p50Us: percentile(latencies, 0.5),
  p99Us: percentile(latencies, 0.99),
};
await client.close();
process.send?.(sample, () => process.exit(0));
