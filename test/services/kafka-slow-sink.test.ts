// Two sinks of one topic, each a group of its own; one hangs for the whole run. The other has everything, and what waits is bounded.
import type { SealedEvent } from "@countersign/model";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { findService } from "./find.ts";
import { type KafkaCluster, startKafka } from "./kafka-broker.ts";
import { clientOf, exporterOf, receiverOf, SIGNAL, soonDeadline, until } from "./kafka-parts.ts";

const found = findService("kafka");
const program = found?.kind === "binary" ? found.path : undefined;
const TOPIC = "slow";
const PARTITIONS = 3;
const EVENTS = 3000;
/** Records that a receiver hands on in one piece. */
const PIECE = 512;

let cluster: KafkaCluster;

beforeAll(async () => {
  if (program === undefined) return;
  cluster = await startKafka(program, { nodes: 1 });
  await cluster.topic({ name: TOPIC, partitions: PARTITIONS });
});

afterAll(() => cluster?.dispose());

describe.skipIf(program === undefined)("a slow sink behind Kafka", () => {
  test("delays nobody else, and holds one piece a partition", { timeout: 180_000 }, async () => {
    const kafka = clientOf(cluster.brokers);
    onTestFinished(() => kafka.stop(soonDeadline()));
    const exporter = exporterOf(kafka, TOPIC);
    await exporter.start(SIGNAL);
    let held = 0;
    let mostHeld = 0;
    const hung = receiverOf(kafka, {
      topic: TOPIC,
      group: "hung",
      consume: async ({ events }, signal) => {
        held += events.length;
        mostHeld = Math.max(mostHeld, held);
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
        held -= events.length;
        signal.throwIfAborted();
      },
    });
    const got: string[] = [];
    const good = receiverOf(kafka, {
      topic: TOPIC,
      group: "good",
      consume: async ({ events }) => void got.push(...events.map(({ hash }) => hash)),
    });
    for (const one of [hung, good]) {
      await one.start(SIGNAL);
      onTestFinished(() => one.stop(AbortSignal.timeout(500)));
    }
    const sent: string[] = [];
    for (let at = 0; at < EVENTS; at += 300) {
      const events: readonly SealedEvent[] = sealedEvents(300, {
        emitter: `emitter-${at}`,
        epoch: String(at).padStart(32, "0"),
      });
      sent.push(...events.map(({ hash }) => hash));
      await exporter.consume({ events }, SIGNAL);
    }
    await until("the other sink has everything", () => got.length >= EVENTS, 120_000);
    expect(got.toSorted()).toEqual(sent.toSorted());
    await until("the slow one has begun", () => mostHeld > 0, 60_000);
    expect(mostHeld).toBeLessThanOrEqual(PARTITIONS * PIECE);
    await exporter.stop(soonDeadline());
  });
});
