// The guards around kafkajs, each against a real broker. What the library does without them is shown beside.
import { type Component, createMetrics } from "@countersign/pipeline";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import type { FeedEvent } from "../../packages/processor/src/kafka/feed-options.ts";
import { createFeed } from "../../packages/processor/src/kafka/kafkajs-feed.ts";
import { createLaneLog } from "../../packages/processor/src/kafka/kafkajs-log.ts";
import type { LogRecord } from "../../packages/processor/src/kafka/port.ts";
import type { Connection } from "../../packages/processor/src/kafka/settings.ts";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { freePort } from "../free-port.ts";
import { findService } from "./find.ts";
import { type KafkaCluster, startKafka } from "./kafka-broker.ts";
import { clientOf, exporterOf, receiverOf, SIGNAL, soonDeadline, until } from "./kafka-parts.ts";
import { recordsOnDisk } from "./kafka-segments.ts";
import { type TcpProxy, tcpProxy } from "./tcp-proxy.ts";

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;

/** Kafka's number of the request that makes a producer idempotent. */
const INIT_PRODUCER_ID = 22;

let cluster: KafkaCluster;
let proxy: TcpProxy;
const warnings: Error[] = [];
const onWarning = (warning: Error): void => void warnings.push(warning);

beforeAll(async () => {
  if (program === undefined) return;
  process.on("warning", onWarning);
  const port = await freePort();
  cluster = await startKafka(program, {
    nodes: 1,
    proxyPorts: [port],
    users: { late: "late-password" },
  });
  const target = Number(cluster.nodes[0]?.proxied.split(":")[1]);
  proxy = await tcpProxy(port, () => target);
});

afterAll(async () => {
  process.off("warning", onWarning);
  await proxy?.close();
  await cluster?.dispose();
});

function connectionTo(brokers: readonly string[], more: Partial<Connection> = {}): Connection {
  return {
    id: "main",
    brokers,
    clientId: "test",
    tls: false,
    sasl: undefined,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 10_000,
    ...more,
  };
}

const recordsOf = (name: string, count: number): LogRecord[] =>
  Array.from({ length: count }, (_, index) => ({
    key: Buffer.from("acme/tickets"),
    value: Buffer.from(`${name}-${index}`),
    headers: [],
  }));

const onDisk = (topic: string, partition = 0) =>
  recordsOnDisk(cluster.nodes[0]?.directory ?? "", topic, partition);
const values = (topic: string, partition = 0): string[] =>
  onDisk(topic, partition).map(({ value }) => String(value));

describe.skipIf(program === undefined)("guards of kafkajs", () => {
  test("a clock that is two hours ahead makes events wait, and costs none", async () => {
    await cluster.topic({ name: "clock" });
    const log = createLaneLog({
      connection: connectionTo([`127.0.0.1:${proxy.port}`]),
      compression: "none",
      maxBatchBytes: 1e6,
    });
    onTestFinished(() => log.close(soonDeadline()));
    const to = { topic: "clock", partition: 0, records: recordsOf("event", 3) };
    const nowMs = Date.now;
    const ahead = vi.spyOn(Date, "now").mockImplementation(() => nowMs() + 7_200_000);
    onTestFinished(() => ahead.mockRestore());
    await expect(log.append(to, 10_000)).rejects.toMatchObject({
      code: "UNAVAILABLE",
      failed: [0, 1, 2],
      message: expect.stringMatching(/INVALID_TIMESTAMP.*clock/) as string,
    });
    ahead.mockRestore();
    await log.append(to, 10_000);
    expect(values("clock")).toEqual(["event-0", "event-1", "event-2"]);
  });

  test("a batch after one of unknown outcome is not taken for its repetition", async () => {
    await cluster.topic({ name: "unknown" });
    const brokers = [`127.0.0.1:${proxy.port}`];
    const log = createLaneLog({
      connection: connectionTo(brokers),
      compression: "none",
      maxBatchBytes: 1e6,
    });
    onTestFinished(() => log.close(soonDeadline()));
    await log.append({ topic: "unknown", partition: 0, records: recordsOf("first", 3) }, 10_000);

    proxy.mode = "deaf";
    const lost = log.append(
      { topic: "unknown", partition: 0, records: recordsOf("second", 3) },
      1500,
    );
    await expect(lost).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(values("unknown").filter((value) => value.startsWith("second"))).toHaveLength(3);
    proxy.mode = "open";

    // Same partition, same number of records: with the same producer it would have the same sequence numbers.
    await log.append({ topic: "unknown", partition: 0, records: recordsOf("third", 3) }, 10_000);
    expect(values("unknown").filter((value) => value.startsWith("third"))).toHaveLength(3);
    const producers = new Set(onDisk("unknown").map(({ producerId }) => producerId));
    expect(producers.size).toBe(2);
  });

  test("what was given up does not come back and write", async () => {
    await cluster.topic({ name: "severed" });
    const requestTimeoutMs = 1500;
    const connection = connectionTo([`127.0.0.1:${proxy.port}`], { requestTimeoutMs });
    const log = createLaneLog({ connection, compression: "none", maxBatchBytes: 1e6 });
    onTestFinished(() => log.close(soonDeadline()));
    const append = (name: string, deadlineMs: number) =>
      log.append({ topic: "severed", partition: 0, records: recordsOf(name, 1) }, deadlineMs);
    await append("first", 10_000);

    proxy.mode = "hole";
    const startedMs = performance.now();
    await expect(append("given-up", 1000)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    proxy.mode = "open";
    // The library waits for its answer, then sends again: it gets the time for it.
    const enoughMs = requestTimeoutMs + 2000;
    let after = 0;
    while (performance.now() - startedMs < enoughMs) await append(`after-${after++}`, 10_000);
    expect(values("severed")).toHaveLength(1 + after);
    expect(values("severed")).not.toContain("given-up-0");
  });

  test("a producer that got no id is not used without one", async () => {
    await cluster.topic({ name: "idempotent" });
    const connection = connectionTo([`127.0.0.1:${proxy.port}`]);
    const log = createLaneLog({ connection, compression: "none", maxBatchBytes: 1e6 });
    onTestFinished(() => log.close(soonDeadline()));
    const append = () =>
      log.append({ topic: "idempotent", partition: 0, records: recordsOf("mine", 2) }, 5000);
    proxy.refuse = INIT_PRODUCER_ID;
    await expect(append()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    proxy.refuse = undefined;
    await append();
    expect(onDisk("idempotent").map(({ producerId }) => producerId >= 0n)).toEqual([true, true]);
  });

  test("a partition that is refused pauses alone: the others go on, and the member stays in the group", async () => {
    await cluster.topic({ name: "pausing", partitions: 2 });
    const log = createLaneLog({
      connection: connectionTo(cluster.brokers),
      compression: "none",
      maxBatchBytes: 1e6,
    });
    onTestFinished(() => log.close(soonDeadline()));
    const notes: FeedEvent[] = [];
    const feed = createFeed({
      id: "kafka",
      connection: connectionTo(cluster.brokers),
      topic: "pausing",
      group: "pausing",
      sessionTimeoutMs: 8000,
      rebalanceTimeoutMs: 8000,
      maxRereadRecords: 0,
      note: (event) => void notes.push(event),
    });
    const seen: Record<number, string[]> = { 0: [], 1: [] };
    let refusals = 0;
    await feed.start(async ({ partition, records }) => {
      if (partition === 0 && refusals < 5) {
        refusals += 1;
        return { retryAfterMs: 50 };
      }
      seen[partition]?.push(...records.map(({ value }) => String(value)));
      return { done: records.at(-1)?.offset ?? -1n };
    });
    await log.append({ topic: "pausing", partition: 0, records: recordsOf("refused", 10) }, 10_000);
    for (let at = 0; at < 5; at += 1) {
      await log.append(
        { topic: "pausing", partition: 1, records: recordsOf(`free-${at}`, 2) },
        10_000,
      );
    }
    await until("all is read", () => seen[0]?.length === 10 && seen[1]?.length === 10);
    await feed.stop(soonDeadline());
    expect(refusals).toBe(5);
    expect(seen[0]).toEqual(recordsOf("refused", 10).map(({ value }) => String(value)));
    expect(seen[1]?.map((value) => value.split("-")[1])).toEqual([
      "0",
      "0",
      "1",
      "1",
      "2",
      "2",
      "3",
      "3",
      "4",
      "4",
    ]);
    // A handler that throws ends the library's consumer: it would be lost and join again.
    const joins = notes.filter(({ kind }) => kind === "joined");
    expect(joins).toHaveLength(1);
    expect(notes.filter(({ kind }) => kind === "lost").slice(1)).toEqual([]);
  });

  test("a batch that takes longer than the session is handed on once, and the member stays", async () => {
    await cluster.topic({ name: "slow" });
    const client = clientOf(cluster.brokers);
    const exporter = exporterOf(client, "slow");
    await exporter.start(SIGNAL);
    await exporter.consume({ events: sealedEvents(5) }, SIGNAL);
    const metrics = createMetrics();
    let times = 0;
    const release = Promise.withResolvers<void>();
    const receiver = receiverOf(client, {
      topic: "slow",
      group: "slow",
      metrics,
      consume: async () => {
        times += 1;
        await release.promise;
      },
    });
    await receiver.start(SIGNAL);
    await until("the batch is there", () => times === 1);
    const heldMs = 10_000; // longer than the session of 8 s
    const held = performance.now();
    await until("the session is over twice", () => performance.now() - held > heldMs, heldMs * 2);
    release.resolve();
    await until("the position is stored", async () => (await committed("slow", "slow")) === 5n);
    await receiver.stop(soonDeadline());
    expect(times).toBe(1);
    expect(metrics.render()).toMatch(/receiver_rebalances_total\{receiver="kafka"\} 1/);
    await stop(exporter, client);
  });

  test("no timer is set in the past", async () => {
    // Everything above ran in this process. Node warns once in its life, in the tick after the cause.
    await new Promise((resolve) => setImmediate(resolve));
    expect(warnings.filter(({ name }) => name === "TimeoutNegativeWarning")).toEqual([]);
  });
});

async function committed(group: string, topic: string): Promise<bigint> {
  const admin = await cluster.admin();
  const [of] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  return BigInt(of?.partitions[0]?.offset ?? -1);
}

async function stop(...components: Component[]): Promise<void> {
  for (const component of components) await component.stop(soonDeadline());
}
