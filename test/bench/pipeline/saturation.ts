// More senders than the target can serve: does its memory stay flat, and how long does its event loop let others wait?
import { setTimeout as delay } from "node:timers/promises";
import { percentile } from "../workload.ts";
import { reach } from "./far-end-process.ts";
import { cpuSeconds, load1, memoryMb } from "./kernel.ts";
import { type Audit, type Bench, environment, type Job, warmRounds } from "./measure.ts";
import type { Row } from "./rows.ts";
import { send } from "./send.ts";
import { startTarget } from "./target.ts";

/** What was measured. */
export interface Saturation {
  readonly row: string;
  readonly gzip: boolean;
  readonly senders: number;
  readonly items: number;
  /** Median resident memory in MB while the second tenth of the items was sent, the middle one, and the last. */
  readonly memoryMb: readonly [early: number, middle: number, late: number];
  readonly peakMb: number;
  /** Event-loop delay in ms, as the target's own metrics tell it; an idle loop reads 10. */
  readonly delayMs: { readonly p50: number; readonly p99: number; readonly max: number };
  /** Share of the time in which the target had its core: 1 is saturated and alone. */
  readonly busy: number;
  readonly load1: number;
}

const SAMPLE_MS = 100;

/** It counts only if everything arrived. */
export async function saturate(of: {
  bench: Bench;
  row: Row;
  job: Job;
  audit: Audit;
  topic: string;
}): Promise<Saturation> {
  const { bench, row, job, audit, topic } = of;
  const env = await environment({ bench, gzip: job.gzip, topic });
  const target = startTarget(bench.commandOf(row), { ...env, ...row.env });
  try {
    const load = {
      url: `http://${env.BENCH_LISTEN}/v1/${row.scenario === "P3" ? "traces" : "logs"}`,
      ...job,
    };
    await target.listening(load.url);
    const itemsPerRound = job.bodies.length * job.itemsPerBody;
    const warm = warmRounds(job);
    await audit.begin();
    await send(load, warm);
    await reach(warm * itemsPerRound, () => audit.arrived());
    await audit.begin();
    await eventLoopDelay(env.BENCH_METRICS);
    const before = { cpuS: cpuSeconds(target.pid), at: performance.now(), load1: load1() };
    const memory: number[] = [];
    const watch = new AbortController();
    const watching = sampleMemory(target.pid, memory, watch.signal);
    await send(load, job.rounds);
    const delayMs = await eventLoopDelay(env.BENCH_METRICS);
    const busy = (cpuSeconds(target.pid) - before.cpuS) / ((performance.now() - before.at) / 1000);
    watch.abort();
    await watching;
    const items = job.rounds * itemsPerRound;
    await reach(items, () => audit.arrived());
    await audit.check(items, job.rounds);
    return {
      row: row.name,
      gzip: job.gzip,
      senders: job.concurrency,
      items,
      memoryMb: [tenth(memory, 1), tenth(memory, 4.5), tenth(memory, 9)],
      peakMb: memoryMb(target.pid, "VmHWM"),
      delayMs,
      busy,
      load1: before.load1,
    };
  } finally {
    await target.stop();
  }
}

async function sampleMemory(pid: number, into: number[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    into.push(memoryMb(pid, "VmRSS"));
    await delay(SAMPLE_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** Median of the tenth that begins after `after` tenths. */
function tenth(values: readonly number[], after: number): number {
  const size = values.length / 10;
  return percentile(values.slice(Math.floor(after * size), Math.ceil((after + 1) * size)), 0.5);
}

/** Since the last time this was asked. */
async function eventLoopDelay(endpoint: string): Promise<Saturation["delayMs"]> {
  const text = await (await fetch(`http://${endpoint}/metrics`)).text();
  const ms = (name: string): number => {
    const found = new RegExp(
      `^countersign_nodejs_eventloop_delay_${name}_seconds (\\S+)$`,
      "m",
    ).exec(text);
    if (found === null)
      throw new Error(`bench: no ${name} of the event-loop delay among the metrics`);
    return Number(found[1]) * 1000;
  };
  return { p50: ms("p50"), p99: ms("p99"), max: ms("max") };
}

/** As a Markdown table. */
export function saturationTable(found: readonly Saturation[]): string {
  const lines = found.map((one) => {
    const { p50, p99, max } = one.delayMs;
    const [early, middle, late] = one.memoryMb.map((mb) => mb.toFixed(0));
    const cells = [
      `${one.row}${one.gzip ? ", gzip" : ""}`,
      one.senders,
      one.items.toLocaleString("en-US"),
      `${early} / ${middle} / ${late}`,
      one.peakMb.toFixed(0),
      `${p50.toFixed(0)} / **${p99.toFixed(0)}** / ${max.toFixed(0)}`,
      one.busy.toFixed(2),
      one.load1.toFixed(1),
    ];
    return `| ${cells.join(" | ")} |`;
  });
  return [
    "| | senders | items | MB resident: tenth 2 / middle / last | peak MB | event-loop delay, ms: p50 / p99 / max | cores used | load |",
    "|---|---|---|---|---|---|---|---|",
    ...lines,
  ].join("\n");
}
