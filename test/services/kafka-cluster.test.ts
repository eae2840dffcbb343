// A cluster of three real brokers: leaders that move, partitions without one. What dies under load is in kafka-chaos.test.ts.
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { createLaneLog, type LaneLog } from "../../packages/processor/src/kafka/kafkajs-log.ts";
import type { LogRecord } from "../../packages/processor/src/kafka/port.ts";
import { findService } from "./find.ts";
import { client, type KafkaCluster, type KafkaNode, startKafka } from "./kafka-broker.ts";
import { soonDeadline, until } from "./kafka-parts.ts";
import { recordsOnDisk } from "./kafka-segments.ts";
import { leadersOf, reassign } from "./kafka-topology.ts";

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;

let cluster: KafkaCluster;

beforeAll(async () => {
  if (program !== undefined) cluster = await startKafka(program, { nodes: 3 });
});
afterAll(async () => {
  await cluster?.dispose();
});

const node = (id: number): KafkaNode => cluster.nodes[id - 1] as KafkaNode;

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
  await reassign(cluster, { topic, partition: 1 }, [1]);
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
    await until(
      "partition 0 has no leader",
      async () => (await leadersOf(cluster, "leaderless"))[0] === -1,
    );
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
});
