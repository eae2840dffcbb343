// One sample in a fresh process: client and server of one SDK generation linked in memory, the target on the server.
import { z } from "zod";
import { loadTarget } from "./targets.ts";
import type { Handler, Target, TargetName } from "./targets.ts";
import { TOOL, drive, echo, percentile } from "./workload.ts";
import type { EchoArguments, ToolCaller } from "./workload.ts";

export interface InprocJob {
  readonly target: TargetName;
  readonly sdk: "v1" | "v2";
  readonly concurrency: number;
  readonly warm: number;
  readonly calls: number;
}

export interface InprocSample {
  readonly cpuUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly heapBytesPerCall: number;
  readonly rssMb: number;
}

const job = JSON.parse(process.argv[2] as string) as InprocJob;
const target = await loadTarget(job.target);
const client = await (job.sdk === "v1" ? connectV1(target) : connectV2(target));
await drive(client, { calls: job.warm, concurrency: job.concurrency });
const heapBefore = settledHeapBytes();
const cpuBefore = process.cpuUsage();
const latencies = await drive(client, { calls: job.calls, concurrency: job.concurrency });
const cpu = process.cpuUsage(cpuBefore);
const sample: InprocSample = {
  cpuUs: (cpu.user + cpu.system) / job.calls,
  p50Us: percentile(latencies, 0.5),
  p99Us: percentile(latencies, 0.99),
  heapBytesPerCall: (settledHeapBytes() - heapBefore - latencies.length * 8) / job.calls,
  rssMb: process.memoryUsage().rss / 1_048_576,
};
await target.close?.();
process.send?.(sample, () => process.exit(0));

function settledHeapBytes(): number {
  globalThis.gc?.();
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

function plainHandler(args: EchoArguments): unknown {
  return echo(args);
}

async function connectV1(around: Target): Promise<ToolCaller> {
  const [{ McpServer }, { Client }, { InMemoryTransport }] = await Promise.all([
    import("@modelcontextprotocol/sdk/server/mcp.js"),
    import("@modelcontextprotocol/sdk/client/index.js"),
    import("@modelcontextprotocol/sdk/inMemory.js"),
  ]);
  const server = new McpServer({ name: "bench", version: "1.0.0" });
  around.wrapServer?.(server);
  const handler = around.wrapHandler?.(plainHandler as Handler) ?? plainHandler;
  const inputSchema = { id: z.string(), message: z.string() };
  server.registerTool(TOOL, { description: "echo", inputSchema }, handler as never);
  const connected = new Client({ name: "bench", version: "1.0.0" });
  const [one, other] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(one), connected.connect(other)]);
  return connected as unknown as ToolCaller;
}

async function connectV2(around: Target): Promise<ToolCaller> {
  const [{ McpServer, InMemoryTransport }, { Client }] = await Promise.all([
    import("@modelcontextprotocol/server"),
    import("@modelcontextprotocol/client"),
  ]);
  const server = new McpServer({ name: "bench", version: "1.0.0" });
  around.wrapServer?.(server);
  const handler = around.wrapHandler?.(plainHandler as Handler) ?? plainHandler;
  const inputSchema = z.object({ id: z.string(), message: z.string() });
  server.registerTool(TOOL, { description: "echo", inputSchema }, handler as never);
  const connected = new Client({ name: "bench", version: "1.0.0" });
  const [one, other] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(one), connected.connect(other as never)]);
  return connected as unknown as ToolCaller;
}
