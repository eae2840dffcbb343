// Everything that happens to a cluster and to its clients happens here, one thing after another, while events are sent.
// The seed decides what, to whom, in which order: COUNTERSIGN_SEED repeats a run. COUNTERSIGN_LONG=1 sends 10^5 events.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { partitionOf } from "../../packages/processor/src/kafka/partitioner.ts";
import { createRandom, type Random } from "../../packages/processor/src/testing/random.ts";
import {
  chainFaults,
  distinct,
  fingerprint,
  receiptFaults,
  type StoredLog,
  storedLog,
  storedReceipts,
} from "./chaos-log.ts";
import {
  type ChaosScene,
  EVENTS,
  LETTERS,
  PARTITIONS,
  QUARANTINE,
  RECEIPTS,
  SINK,
  startChaosScene,
} from "./chaos-scene.ts";
import { findService } from "./find.ts";
import type { KafkaNode } from "./kafka-broker.ts";
import { until } from "./kafka-parts.ts";
import { isWhole, leadersOf, reassign } from "./kafka-topology.ts";
import type { TcpProxy } from "./tcp-proxy.ts";

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;
const LONG = process.env["COUNTERSIGN_LONG"] === "1";
const SEED = Number(process.env["COUNTERSIGN_SEED"] ?? 1);
const LOAD = LONG
  ? { events: 100_000, senders: 16, journals: 8 }
  : { events: 5000, senders: 14, journals: 6 };
/** A machine with other work takes its time; a long run is worth waiting for. */
const REPAIR_MS = LONG ? 300_000 : 90_000;
const SETUP_MS = LONG ? 600_000 : 120_000;

let scene: ChaosScene;

beforeAll(async () => {
  if (program !== undefined) scene = await startChaosScene(program, LOAD);
}, SETUP_MS);
afterAll(async () => {
  await scene?.dispose();
});

/** What is done while events are sent; what it resolves with undoes it. */
interface Fault {
  readonly name: string;
  readonly run: (random: Random) => Promise<() => Promise<void>>;
}

const whole = () =>
  until(
    "every partition has all its replicas",
    () => isWhole(scene.cluster, EVENTS, scene.cluster.nodes.length),
    REPAIR_MS,
  );

const BROKER: (at: number) => Fault = (at) => ({
  name: `broker ${at + 1} killed`,
  run: async () => {
    const node = scene.cluster.nodes[at] as KafkaNode;
    await node.kill();
    return async () => {
      node.start();
      await scene.cluster.ready();
      await whole();
    };
  },
});

/** Some partition gets another leader: its own is no replica any more, and is one again later. */
const LEADER: Fault = {
  name: "leader moved",
  run: async (random) => {
    const partition = random.below(PARTITIONS);
    const leader = (await leadersOf(scene.cluster, EVENTS))[partition] ?? 1;
    const all = scene.cluster.nodes.map(({ id }) => id);
    const others = shuffled(
      all.filter((id) => id !== leader),
      random,
    );
    const place = { topic: EVENTS, partition };
    await reassign(scene.cluster, place, others);
    expect((await leadersOf(scene.cluster, EVENTS))[partition]).not.toBe(leader);
    return async () => {
      await reassign(scene.cluster, place, [...others, leader]);
      await whole();
    };
  },
};

/** Between the processors and one broker nothing goes through, or only one way. The broker itself sees no fault. */
const NETWORK: (mode: TcpProxy["mode"]) => Fault = (mode) => ({
  name: `network ${mode}`,
  run: async (random) => {
    // A broker that has just come back may lead nothing, and nobody would miss it: this one leads a sender's partition. Nor
    // does it lead all of them: with its network nothing would go on.
    const key = Buffer.from(`acme/sender-${random.below(LOAD.senders)}`);
    let leaders: readonly number[] = [];
    await until(
      "several brokers lead",
      async () => {
        leaders = await leadersOf(scene.cluster, EVENTS);
        return new Set(leaders).size > 1;
      },
      REPAIR_MS,
    );
    const network = scene.networks[(leaders[partitionOf(key, PARTITIONS)] ?? 1) - 1] as TcpProxy;
    const before = scene.sent.refusals;
    network.mode = mode;
    // Who sends to a partition of this broker is told so: it is not quietly somewhere else.
    await until("somebody is refused", () => scene.sent.refusals > before, REPAIR_MS);
    return async () => {
      network.mode = "open";
    };
  },
});

const PROCESSOR: Fault = {
  name: "processor killed",
  run: async (random) => {
    const processor = random.pick(scene.processors);
    await processor.kill();
    return () => processor.start();
  },
};

/** A member that leaves in order has nothing under way any more. */
const ROLLING: Fault = {
  name: "processor restarted",
  run: async (random) => {
    const processor = random.pick(scene.processors);
    expect(await processor.drain()).toBe(0);
    return () => processor.start();
  },
};

/** At once. */
const all: (...faults: readonly Fault[]) => Fault = (...faults) => ({
  name: faults.map(({ name }) => name).join(" and "),
  run: async (random) => {
    const undo = await Promise.all(faults.map((fault) => fault.run(random)));
    return async () => {
      for (const one of undo) await one();
    };
  },
});

const SHORT_RUN: readonly Fault[] = [
  BROKER(0),
  NETWORK("deaf"),
  all(LEADER, PROCESSOR),
  all(BROKER(1), PROCESSOR),
];
const LONG_RUN: readonly Fault[] = [
  ...[0, 1, 2, 0, 1, 2].map(BROKER),
  ...(["cut", "hole", "deaf", "cut", "deaf"] as const).map(NETWORK),
  ...Array.from({ length: 3 }, () => LEADER),
  ...Array.from({ length: 3 }, () => PROCESSOR),
  ROLLING,
  ROLLING,
  all(BROKER(2), PROCESSOR),
  all(LEADER, PROCESSOR),
];

const onDisk = (node: KafkaNode) => storedLog(node.directory, EVENTS, PARTITIONS);

/** Some more is acknowledged: the fault did not come and go between two requests. */
async function progress(): Promise<void> {
  const goal = scene.sent.answered.size + LOAD.senders + LOAD.journals;
  await until("events go on", () => scene.sent.answered.size >= goal, REPAIR_MS);
}

/** One fault, from its beginning until it is mended. Of one that does not end well, everything that can be known is said. */
async function suffer(fault: Fault, random: Random): Promise<void> {
  try {
    const undo = await fault.run(random);
    await progress();
    await undo();
  } catch (error) {
    const { cluster, sent, processors } = scene;
    const leaders = await leadersOf(cluster, EVENTS).catch(() => []);
    const said = processors.map((processor) => processor.said.slice(-2000)).join("\n---\n");
    const state = `${sent.answered.size} answered, leaders ${leaders.join(",")}`;
    throw new Error(`under "${fault.name}", ${state}\n${said}`, { cause: error });
  }
}

/** The numbers of a long run, for docs/reliability-kafka.md. */
function report(total: number, of: { log: StoredLog; receipts: number; faults: number }): void {
  const { sent, deliveries } = scene;
  const numbers = {
    seed: SEED,
    faults: of.faults,
    sent: total,
    stored: of.log.flat().length,
    delivered: deliveries.lines,
    receipts: of.receipts,
    refusals: sent.refusals,
  };
  process.stderr.write(`${JSON.stringify(numbers)}\n`);
}

describe.skipIf(program === undefined)("the whole way, in chaos", () => {
  test(
    `sent = stored = receipted = delivered, in order by emitter (${LOAD.events} events, seed ${SEED})`,
    { timeout: LONG ? 3_600_000 : 240_000 },
    async () => {
      const random = createRandom(SEED);
      const faults = shuffled(LONG ? LONG_RUN : SHORT_RUN, random);
      scene.begin();
      for (const fault of faults) await suffer(fault, random);
      await scene.finish();
      const { sent, cluster, deliveries, processors } = scene;
      const [first, ...others] = cluster.nodes as [KafkaNode, ...KafkaNode[]];
      const total = sent.made.size + LOAD.journals * 2; // a journal's own `start` and `stop`

      await until("all is delivered", () => deliveries.read().hashes.size >= total, REPAIR_MS);
      for (const processor of processors) expect(await processor.drain()).toBe(0);
      await whole();
      const log = onDisk(first);
      const stored = distinct(log);

      expect(stored.size).toBe(total);
      expect([...sent.made].filter((hash) => !stored.has(hash))).toEqual([]);
      expect([...sent.made].filter((hash) => !sent.answered.has(hash))).toEqual([]);
      expect(sent.partial).toBe(0);
      for (const other of others) expect(fingerprint(onDisk(other))).toBe(fingerprint(log));
      expect(chainFaults(log)).toEqual([]);
      expect(new Set(deliveries.read().hashes)).toEqual(stored);
      const receipts = storedReceipts(first.directory, RECEIPTS);
      expect(receiptFaults(receipts, log, SINK)).toEqual([]);
      expect(storedLog(first.directory, LETTERS, 1)).toEqual([[]]);
      expect(storedLog(first.directory, QUARANTINE, 1)).toEqual([[]]);
      if (LONG) report(total, { log, receipts: receipts.length, faults: faults.length });
      // Chaos that nobody noticed was none.
      expect(sent.refusals).toBeGreaterThan(0);
    },
  );
});

function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  const left = [...items];
  const mixed: Item[] = [];
  while (left.length > 0) mixed.push(...left.splice(random.below(left.length), 1));
  return mixed;
}
