// A cluster of three real brokers: leaders that move, partitions without one, brokers that die under load.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type SealedEvent, silentLogger } from "@countersign/model";
import { merkleRoot, type Receipt } from "@countersign/pipeline";
import { createService, loadConfig, type Service } from "@countersign/processor";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createLaneLog, type LaneLog } from "../../packages/processor/src/kafka/kafkajs-log.ts";
import { partitionOf } from "../../packages/processor/src/kafka/partitioner.ts";
import type { LogRecord } from "../../packages/processor/src/kafka/port.ts";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { type Running, startProcessor } from "../e2e/processor-process.ts";
import { findService } from "./find.ts";
import { client, type KafkaCluster, type KafkaNode, startKafka } from "./kafka-broker.ts";
import { clientOf, exporterOf, SIGNAL, soonDeadline, until } from "./kafka-parts.ts";
import { type DiskRecord, recordsOnDisk } from "./kafka-segments.ts";

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;
const LONG = process.env["COUNTERSIGN_LONG"] === "1";

let cluster: KafkaCluster;

beforeAll(async () => {
  if (program !== undefined) cluster = await startKafka(program, { nodes: 3 });
});
afterAll(async () => {
  await cluster?.dispose();
});

const node = (id: number): KafkaNode => cluster.nodes[id - 1] as KafkaNode;

async function leaders(topic: string): Promise<readonly number[]> {
  const admin = await cluster.admin();
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  const partitions = topics[0]?.partitions ?? [];
  return partitions.toSorted((a, b) => a.partitionId - b.partitionId).map(({ leader }) => leader);
}

async function inSync(topic: string): Promise<boolean> {
  const admin = await cluster.admin();
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  return (topics[0]?.partitions ?? []).every(({ isr, replicas }) => isr.length === replicas.length);
}

async function move(topic: string, partition: number, to: number): Promise<void> {
  const admin = await cluster.admin();
  await admin.alterPartitionReassignments({
    topics: [{ topic, partitionAssignment: [{ partition, replicas: [to] }] }],
  });
  await until("the leader has moved", async () => (await leaders(topic))[partition] === to);
}

function logTo(brokers: readonly string[]): LaneLog {
  const connection = {
    id: "main",
    brokers,
    clientId: "test",
    tls: false,
    sasl: undefined,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 10_000,
  };
  const log = createLaneLog({ connection, compression: "none", maxBatchBytes: 1e6 });
  onTestFinished(() => log.close(soonDeadline()));
  return log;
}

const record = (value: string): LogRecord => ({
  key: Buffer.from("k"),
  value: Buffer.from(value),
  headers: [],
});

const values = (of: KafkaNode, topic: string, partition: number): string[] =>
  recordsOnDisk(of.directory, topic, partition).map(({ value }) => String(value));

const both = (name: string) =>
  [0, 1].map((partition) => ({ partition, value: `${name}-${partition}` }));

/** Whether the library acknowledged what it did not send. With the guard, everything is there. */
async function losesAlone(topic: string): Promise<boolean> {
  const config = { "min.insync.replicas": "1" };
  await cluster.topic({ name: topic, assignment: [[1], [2]], config });
  const producer = client(cluster.brokers).producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  onTestFinished(() => producer.disconnect());
  await producer.send({ topic, messages: both("before") });
  const log = logTo(cluster.brokers);
  const append = (name: string) =>
    Promise.all(
      [0, 1].map((partition) => log.append({ topic, partition, records: [record(name)] }, 15_000)),
    );
  await append("warm");

  // Both know by now that broker 2 leads partition 1. Broker 1 will answer for partition 0 before anybody learns better.
  await move(topic, 1, 1);
  const answer = await producer.send({ topic, messages: both("alone") });
  await append("guarded");

  expect(values(node(1), topic, 0)).toEqual(expect.arrayContaining(["alone-0", "guarded"]));
  expect(values(node(1), topic, 1)).toContain("guarded");
  const named = answer.some(({ partition }) => partition === 1);
  return !named && !values(node(1), topic, 1).includes("alone-1");
}

describe.skipIf(program === undefined)("three brokers", () => {
  test("kafkajs alone resolves for a partition that it never sent; one partition a send does not", async () => {
    // It depends on which of two brokers answers first, so it gets some tries.
    let lost = false;
    for (let at = 0; at < 8 && !lost; at += 1) lost = await losesAlone(`moving-${at}`);
    // When this fails, kafkajs was mended: one partition a send is then a precaution only.
    expect(lost).toBe(true);
  });

  test("a partition without a leader fails alone, and is written to when the leader is back", async () => {
    await cluster.topic({
      name: "leaderless",
      assignment: [[3], [2]],
      config: { "min.insync.replicas": "1" },
    });
    await node(3).kill();
    await until("partition 0 has no leader", async () => (await leaders("leaderless"))[0] === -1);
    const log = logTo(cluster.brokers);
    const stuck = log.append(
      { topic: "leaderless", partition: 0, records: [record("stuck")] },
      3000,
    );
    // In a metadata answer of this topic one partition has an error: whoever asks now must learn of the other all the same.
    const free = log.append(
      { topic: "leaderless", partition: 1, records: [record("free")] },
      15_000,
    );
    await expect(stuck).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await free;
    expect(values(node(2), "leaderless", 1)).toEqual(["free"]);

    node(3).start();
    await cluster.ready(3);
    await log.append({ topic: "leaderless", partition: 0, records: [record("back")] }, 30_000);
    expect(values(node(3), "leaderless", 0)).toContain("back");
  });

  test(
    "brokers die under load, members come and go: sent = stored = receipted = delivered, in order by emitter",
    async () => {
      const scene = await chaosScene(LONG ? 100_000 : 10_000);
      await scene.send(0.1);
      const second = await scene.processor();
      const third = await scene.child();
      for (const victim of LONG ? [1, 2, 3, 1, 2, 3] : [2, 1]) {
        const sending = scene.send(LONG ? 0.07 : 0.2);
        await node(victim).kill();
        await third.end("SIGKILL");
        await sending;
        node(victim).start();
        const more = scene.send(LONG ? 0.07 : 0.2);
        await cluster.ready(3);
        await until("all replicas are in sync", () => inSync(EVENTS), 60_000);
        await more;
      }
      await second.stop(soonDeadline());
      await scene.send(1);
      await until("everything is delivered", () => scene.delivered().size === scene.total, 60_000);
      await scene.stop();

      const stored = scene.stored();
      expect(new Set(stored.map(({ headers }) => headers.get("cs_hash"))).size).toBe(scene.total);
      expect(disorder(stored)).toEqual([]);
      expect(gaps(receiptsOf(), stored)).toEqual([]);
      expect(scene.refusals).toBeGreaterThanOrEqual(0);
    },
    LONG ? 900_000 : 180_000,
  );
});

const EVENTS = "countersign.events.v1";
const PARTITIONS = 6;
const EMITTERS = 20;
const BATCH = 25;

interface Chaos {
  readonly total: number;
  /** Sends up to this share of what is left, every emitter its own chain, one batch at a time, again until it is acknowledged. */
  send(share: number): Promise<void>;
  /** One more replica of the processor: in this process, or in one that can be killed. */
  processor(): Promise<Service>;
  child(): Promise<Running>;
  stop(): Promise<void>;
  stored(): DiskRecord[];
  delivered(): ReadonlySet<string>;
  /** Batches that had to be sent again. */
  readonly refusals: number;
}

async function chaosScene(total: number): Promise<Chaos> {
  await cluster.topic({ name: EVENTS, partitions: PARTITIONS });
  await cluster.topic({ name: "countersign.receipts.v1", partitions: 1 });
  await cluster.topic({ name: "countersign.dlq.v1", partitions: 1 });
  const directory = mkdtempSync(join(tmpdir(), "countersign-chaos-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const kafka = clientOf(cluster.brokers);
  const exporter = exporterOf(kafka, EVENTS);
  await exporter.start(SIGNAL);
  const chains = Array.from({ length: EMITTERS }, (_, at) =>
    sealedEvents(total / EMITTERS, { emitter: `emitter-${at}` }),
  );
  const services: Service[] = [];
  let replicas = 0;
  const place = (): string => join(directory, String(replicas++));
  let refusals = 0;
  const sendChain = async (chain: SealedEvent[], count: number): Promise<void> => {
    for (let left = count; left > 0 && chain.length > 0; left -= BATCH) {
      const events = chain.splice(0, BATCH);
      for (;;) {
        const refused = await exporter.consume({ events }, SIGNAL).then(
          () => false,
          () => true,
        );
        if (!refused) break;
        refusals += 1;
      }
    }
  };
  const processor = async (): Promise<Service> => {
    const { config } = loadConfig(configOf(place()), "chaos.yaml", {});
    const service = createService(config, { logger: () => silentLogger });
    await service.start();
    services.push(service);
    return service;
  };
  await processor();
  return {
    total,
    send: async (share) => {
      await Promise.all(
        chains.map((chain) => sendChain(chain, Math.ceil((share * total) / EMITTERS))),
      );
    },
    processor,
    child: async () => {
      const own = place();
      const file = `${own}.yaml`;
      writeFileSync(file, configOf(own));
      return await startProcessor(file);
    },
    stop: async () => {
      for (const service of services) await service.stop(soonDeadline());
      await exporter.stop(soonDeadline());
      await kafka.stop(soonDeadline());
    },
    stored: () =>
      Array.from({ length: PARTITIONS }, (_, at) =>
        recordsOnDisk(node(1).directory, EVENTS, at),
      ).flat(),
    delivered: () =>
      new Set(
        Array.from({ length: replicas }, (_, at) => linesIn(join(directory, String(at)))).flat(),
      ),
    get refusals() {
      return refusals;
    },
  };
}

function configOf(directory: string): string {
  return `
clients:
  main: { brokers: [${cluster.brokers.join(", ")}], require: { min_insync_replicas: 2, replication: 3 } }
receivers:
  kafka/siem: { client: main, group: siem, session_timeout: 8s, rebalance_timeout: 10s }
exporters:
  file/siem: { directory: ${directory}, format: native }
  kafka/dead_letter: { client: main, topic: countersign.dlq.v1 }
  kafka/receipts: { client: main, topic: countersign.receipts.v1 }
service:
  dead_letter: kafka/dead_letter
  receipts: kafka/receipts
  pipelines:
    decisions/siem: { receivers: [kafka/siem], exporters: [file/siem] }
`;
}

function linesIn(directory: string): string[] {
  return readdirSync(directory)
    .flatMap((file) => readFileSync(join(directory, file), "utf8").split("\n").slice(0, -1))
    .map((line) => (JSON.parse(line) as { id: string }).id);
}

/** Emitters whose events do not stand in the order of their chain, where each is first seen. */
function disorder(stored: readonly DiskRecord[]): string[] {
  const next = new Map<string, number>();
  const wrong = new Set<string>();
  for (const { value, key } of stored) {
    const { chain } = (
      JSON.parse(String(value)) as { data: { chain: { emitter: string; seq: number } } }
    ).data;
    const expected = next.get(chain.emitter) ?? 0;
    if (chain.seq > expected || String(key) !== `acme/${chain.emitter}`) wrong.add(chain.emitter);
    if (chain.seq === expected) next.set(chain.emitter, expected + 1);
  }
  return [...wrong];
}

function receiptsOf(): Receipt[] {
  return recordsOnDisk(node(1).directory, "countersign.receipts.v1", 0).map(
    ({ value }) => JSON.parse(String(value)) as Receipt,
  );
}

/** Offsets that no receipt covers, and receipts whose count or root is not that of their range. */
function gaps(receipts: readonly Receipt[], stored: readonly DiskRecord[]): string[] {
  const wrong: string[] = [];
  const perPartition = Map.groupBy(stored, ({ key }) =>
    partitionOf(key ?? Buffer.alloc(0), PARTITIONS),
  );
  for (const [partition, records] of perPartition) {
    const own = receipts.filter((receipt) => receipt.partition === partition);
    const covered = new Set<bigint>();
    for (const receipt of own) {
      const [first, last] = [BigInt(receipt.firstOffset), BigInt(receipt.lastOffset)];
      const range = records.filter(({ offset }) => offset >= first && offset <= last);
      for (const { offset } of range) covered.add(offset);
      const root = merkleRoot(range.map(({ value }) => value ?? Buffer.alloc(0)));
      if (
        root !== receipt.root ||
        range.length !== receipt.delivered ||
        receipt.sink !== "file/siem"
      )
        wrong.push(`${partition}: ${first} to ${last}`);
    }
    for (const { offset } of records)
      if (!covered.has(offset)) wrong.push(`${partition}: ${offset}`);
  }
  return wrong;
}
