import { setImmediate as macrotask } from "node:timers/promises";

/** One tool, about 200 B of arguments that differ on every call, the trace context of a sampled caller in `_meta`. */
const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const FILLER =
  "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua ut enim ad minim";

export const TOOL = "echo";

export interface EchoArguments {
  readonly id: string;
  readonly message: string;
}

export function echo({ id, message }: EchoArguments): {
  content: { type: "text"; text: string }[];
} {
  return { content: [{ type: "text", text: `${id}: ${message}` }] };
}

interface ToolCall {
  readonly name: string;
  readonly arguments: Record<string, unknown>;
  readonly _meta: Record<string, unknown>;
}

/** The params of one call. */
export function toolCall(index: number): ToolCall {
  return {
    name: TOOL,
    arguments: { id: `ticket-${index}`, message: `${index} ${FILLER}` },
    _meta: { traceparent: `00-${TRACE_ID}-b7ad6b7169203331-01` },
  };
}

export interface ToolCaller {
  callTool(params: ToolCall): Promise<Record<string, unknown>>;
}

export interface DriveOptions {
  readonly calls: number;
  readonly concurrency: number;
}

/** Makes `calls` calls from `concurrency` loops; gives each call's latency in µs. A call that fails ends the bench. */
export async function drive(
  client: ToolCaller,
  { calls, concurrency }: DriveOptions,
): Promise<number[]> {
  const latencies: number[] = [];
  let next = 0;
  const loop = async (): Promise<void> => {
    while (next < calls) {
      const index = next++;
      const from = process.hrtime.bigint();
      const result = await client.callTool(toolCall(index));
      if (result["isError"] === true)
        throw new Error("bench: a call was denied, nothing worth measuring");
      latencies.push(Number(process.hrtime.bigint() - from) / 1_000);
      if (concurrency === 1) await macrotask();
    }
  };
  await Promise.all(Array.from({ length: concurrency }, loop));
  return latencies;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}
