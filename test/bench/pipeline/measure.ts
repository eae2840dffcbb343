// One run of one row. It counts only if everything that was sent arrived.
import { freePort } from "../../free-port.ts";
import type { KafkaCluster } from "../../services/kafka-broker.ts";
import { type FarEnd, reach } from "./far-end-process.ts";
import { busySeconds, cpuSeconds, load1, memoryMb } from "./kernel.ts";
import type { Row } from "./rows.ts";
import { send } from "./send.ts";
import { startTarget, type Target } from "./target.ts";

/** What a run needs besides its row. */
export interface Bench {
  readonly farEnd: FarEnd;
  readonly cluster: KafkaCluster | undefined;
  readonly commandOf: (row: Row) => readonly string[];
}

/** Bodies of a scenario. */
export interface Job {
  readonly bodies: readonly Buffer[];
  readonly itemsPerBody: number;
  /** How often all bodies are sent, after {@link warmRounds}. */
  readonly rounds: number;
  readonly gzip: boolean;
  readonly concurrency: number;
}

/** What was measured. */
export interface Sample {
  readonly scenario: string;
  readonly row: string;
  readonly gzip: boolean;
  readonly items: number;
  readonly cpuS: number;
  readonly wallS: number;
  readonly usPerItem: number;
  readonly itemsPerCpuS: number;
  readonly peakMb: number;
  /** Answers "again" that senders got. */
  readonly refused: number;
  /** Load of the machine before, and CPU seconds that neither target nor bench used meanwhile. */
  readonly load1: number;
  readonly othersCpuS: number;
}

/** How a scenario counts what has arrived, and how it makes sure that it was everything. */
export interface Audit {
  /** Begins a count. */
  begin(): Promise<void>;
  arrived(): Promise<number>;
  /** Throws unless `items` arrived, each id `times` times. */
  check(items: number, times: number): Promise<void>;
}

/** Rounds before it counts: a quarter, and enough for compilers that compile what runs often. */
export function warmRounds({ rounds }: Job): number {
  return Math.max(8, Math.ceil(rounds / 4));
}

/** Variables that every configuration of the bench may use. */
export async function environment(of: { bench: Bench; gzip: boolean; topic: string }) {
  const { bench, gzip, topic } = of;
  return {
    GOMAXPROCS: "1",
    BENCH_LISTEN: `127.0.0.1:${await freePort()}`,
    BENCH_METRICS: `127.0.0.1:${await freePort()}`,
    BENCH_SINK: bench.farEnd.url,
    BENCH_KAFKA: bench.cluster?.brokers[0] ?? "",
    BENCH_TOPIC: topic,
    BENCH_GROUP: topic,
    BENCH_COMPRESSION: gzip ? "gzip" : "none",
    BENCH_NO_COMPRESSION: String(!gzip),
  };
}

/** P3 and P4: senders push until everything was taken and has arrived. */
export async function measurePush(of: {
  bench: Bench;
  row: Row;
  job: Job;
  audit: Audit;
  topic: string;
}) {
  const { bench, row, job, audit, topic } = of;
  const env = await environment({ bench, gzip: job.gzip, topic });
  const target = startTarget(bench.commandOf(row), { ...env, ...row.env });
  try {
    const url = `http://${env.BENCH_LISTEN}/v1/${row.scenario === "P3" ? "traces" : "logs"}`;
    await target.listening(url);
    const itemsPerRound = job.bodies.length * job.itemsPerBody;
    const warm = warmRounds(job);
    await audit.begin();
    await send({ url, ...job }, warm);
    await reach(warm * itemsPerRound, () => audit.arrived());
    await audit.check(warm * itemsPerRound, warm);
    await audit.begin();
    const meter = startMeter(target);
    const refused = await send({ url, ...job }, job.rounds);
    const items = job.rounds * itemsPerRound;
    await reach(items, () => audit.arrived());
    const used = meter();
    await audit.check(items, job.rounds);
    return sampleOf({ row, gzip: job.gzip, items, refused, used });
  } finally {
    await target.stop();
  }
}

/** What a topic holds: so many different events, each so many times. */
export interface Stock {
  readonly topic: string;
  readonly ids: number;
  readonly times: number;
}

/**
 * P5: the topic is full before the target starts. What is measured lies between the first and the last tenth of it, so that neither start nor end
 * counts.
 */
export async function measurePull(of: { bench: Bench; row: Row; stock: Stock; gzip: boolean }) {
  const { bench, row, stock, gzip } = of;
  const topic = stock.topic;
  const topicItems = stock.ids * stock.times;
  await bench.farEnd.ask("reset");
  const env = await environment({ bench, gzip, topic });
  const group = { BENCH_GROUP: `${topic}-${Date.now()}` };
  const target = startTarget(bench.commandOf(row), { ...env, ...group, ...row.env });
  try {
    const count = async (): Promise<number> => (await bench.farEnd.ask("count")).items;
    const margin = Math.ceil(topicItems / 10);
    const from = await reach(margin, count, 2);
    const meter = startMeter(target);
    const to = await reach(topicItems - margin, count, 2);
    const used = meter();
    const all = await reach(topicItems, count);
    const { ids, least } = await bench.farEnd.ask("audit");
    if (ids !== stock.ids || least < stock.times)
      throw new Error(
        `bench: ${stock.ids} events in the topic, ${stock.times} times each; ${ids} arrived, one only ${least} times`,
      );
    return sampleOf({ row, gzip, items: to - from, refused: all - topicItems, used });
  } finally {
    await target.stop();
  }
}

interface Used {
  readonly cpuS: number;
  readonly wallS: number;
  readonly othersCpuS: number;
  readonly load1: number;
  readonly peakMb: number;
}

/** Reads the clocks; the answer reads them again and gives what was used between. */
function startMeter(target: Target): () => Used {
  const look = () => ({
    wall: performance.now() / 1000,
    cpu: cpuSeconds(target.pid),
    // senders, far end, broker and the target: all of them started here
    own: cpuSeconds(process.pid),
    busy: busySeconds(),
  });
  const before = { ...look(), load1: load1() };
  return () => {
    const after = look();
    const cpuS = after.cpu - before.cpu;
    return {
      cpuS,
      wallS: after.wall - before.wall,
      othersCpuS: Math.max(0, after.busy - before.busy - (after.own - before.own)),
      load1: before.load1,
      peakMb: Math.round(memoryMb(target.pid, "VmHWM")),
    };
  };
}

function sampleOf(of: {
  row: Row;
  gzip: boolean;
  items: number;
  refused: number;
  used: Used;
}): Sample {
  const { row, gzip, items, refused, used } = of;
  return {
    scenario: row.scenario,
    row: row.name,
    gzip,
    items,
    usPerItem: (1e6 * used.cpuS) / items,
    itemsPerCpuS: Math.round(items / used.cpuS),
    refused,
    ...used,
  };
}
