// The Kafka exporter and receiver with a real broker: what goes in comes out, and what cannot is said.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CountersignError, type SealedEvent, unseal } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  createMetrics,
  type Decisions,
  type Letter,
} from "@countersign/pipeline";
import { type DestinationMood, exporterContract } from "@countersign/pipeline/testing";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { freePort } from "../free-port.ts";
import { findService } from "./find.ts";
import { client, type KafkaCluster, startKafka } from "./kafka-broker.ts";
import { clientOf, exporterOf, receiverOf, SIGNAL, soonDeadline, until } from "./kafka-parts.ts";
import { type DiskRecord, recordsOnDisk } from "./kafka-segments.ts";
import { type TcpProxy, tcpProxy } from "./tcp-proxy.ts";

const found = findService("kafka");
const RECEIPT = join(import.meta.dirname, "fixtures", "receipt.json");
const program = found?.kind === "binary" ? found.path : undefined;

let cluster: KafkaCluster;
let proxy: TcpProxy;
let kafka: Component;

beforeAll(async () => {
  if (program === undefined) return;
  const port = await freePort();
  cluster = await startKafka(program, { nodes: 1, proxyPorts: [port] });
  const target = Number(cluster.nodes[0]?.proxied.split(":")[1]);
  proxy = await tcpProxy(port, () => target);
  kafka = clientOf(cluster.brokers);
});

afterAll(async () => {
  await kafka?.stop(soonDeadline());
  await proxy?.close();
  await cluster?.dispose();
});

const onDisk = (topic: string, partition = 0): DiskRecord[] =>
  recordsOnDisk(cluster.nodes[0]?.directory ?? "", topic, partition);

let epochs = 0;
function eventsOf(count: number, emitter = "tickets-test"): SealedEvent[] {
  epochs += 1;
  return sealedEvents(count, { emitter, epoch: epochs.toString(16).padStart(32, "0") });
}

async function started<Started extends Component>(component: Started): Promise<Started> {
  await component.start(SIGNAL);
  onTestFinished(() => component.stop(soonDeadline()));
  return component;
}

async function committed(group: string, topic: string, partition = 0): Promise<bigint> {
  const admin = await cluster.admin();
  const [of] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  return BigInt(of?.partitions.find((one) => one.partition === partition)?.offset ?? -1);
}

/** Records that no exporter of ours would write. */
async function write(topic: string, values: readonly (Buffer | null)[]): Promise<void> {
  const producer = client(cluster.brokers).producer();
  await producer.connect();
  await producer.send({
    topic,
    messages: values.map((value) => ({ key: "x", value, partition: 0 })),
  });
  await producer.disconnect();
}

/** Larger than the topic of the contract takes, and no event; the name is that of the original. */
const tooLarge = (sealed: SealedEvent): SealedEvent => ({
  ...sealed,
  bytes: Buffer.alloc(5000, 0x61),
});

describe.skipIf(program === undefined)("the contract: kafka", () => {
  const checks = exporterContract<Decisions>(async () => {
    await cluster
      .topic({ name: "contract", config: { "max.message.bytes": "4000" } })
      .catch(() => undefined);
    const behind = clientOf([`127.0.0.1:${proxy.port}`]);
    let current: DestinationMood = "well";
    return {
      create: () => exporterOf(behind, "contract", { timeout: "3s" }),
      batch: (size) => {
        const events = eventsOf(size);
        if (current === "permanent") return { events: events.map(tooLarge) };
        if (current !== "partial") return { events };
        return { events: events.map((event, at) => (at % 2 === 0 ? event : tooLarge(event))) };
      },
      delivered: (batch) => {
        const stored = new Set(onDisk("contract").map(({ headers }) => headers.get("cs_hash")));
        return batch.events.filter(({ hash }) => stored.has(hash)).length;
      },
      mood: (mood) => {
        current = mood;
        proxy.mode = mood === "transient" ? "cut" : "open";
      },
      moods: ["well", "transient", "permanent", "partial"],
      close: () => behind.stop(soonDeadline()),
    };
  });
  test.each([...checks])("$name", async (check) => {
    expect(await check.run()).toBeUndefined();
  });
});

describe.skipIf(program === undefined)("exporter and receiver", () => {
  test.each(["none", "gzip", "zstd"])(
    "events come out as they went in, byte for byte (compression %s)",
    async (compression) => {
      const topic = `trip-${compression}`;
      await cluster.topic({ name: topic });
      const startedMs = Date.now();
      const exporter = await started(exporterOf(kafka, topic, { compression }));
      const sent = eventsOf(60).map(({ bytes }) => unseal(bytes));
      const parsed = sent.map(({ event }) => event);
      await exporter.consume({ events: sent }, SIGNAL);
      // While the brokers had them there were bytes and nothing else.
      expect(sent.some(({ event }, at) => event === parsed[at])).toBe(false);
      expect(sent.map(({ event }) => event)).toEqual(parsed);
      const got: Decisions[] = [];
      await started(
        receiverOf(kafka, { topic, group: topic, consume: async (batch) => void got.push(batch) }),
      );
      await until("all is read", () => got.flatMap(({ events }) => events).length === 60);
      const read = got.flatMap(({ events }) => events);
      expect(read.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(
        sent.map(({ bytes }) => Buffer.from(bytes).toString()),
      );
      expect(got[0]?.origin).toMatchObject({ log: topic, partition: 0, first: 0n });
      expect(got.at(-1)?.origin?.last).toBe(59n);
      await until("the position is stored", async () => (await committed(topic, topic)) === 60n);
      if (compression !== "none") return;
      const [record] = onDisk(topic);
      expect(record?.value?.equals(sent[0]?.bytes ?? Buffer.alloc(0))).toBe(true);
      expect(String(record?.key)).toBe("acme/tickets-test");
      expect(record?.headers.get("ce_id")).toBe(sent[0]?.event.id);
      // Time of production: with the event's own, an old event would expire on arrival.
      expect(record?.timestampMs).toBeGreaterThanOrEqual(startedMs);
      expect(record?.producerId).toBeGreaterThanOrEqual(0n);
    },
  );

  test("of events for several partitions, exactly the one that will never fit is refused", async () => {
    const config = { "max.message.bytes": "4000" };
    await cluster.topic({ name: "mixed", partitions: 4, config });
    const exporter = await started(exporterOf(kafka, "mixed"));
    const emitters = Array.from({ length: 8 }, (_, at) => `emitter-${at}`);
    const chains = emitters.map((emitter) => eventsOf(2, emitter));
    const events = [0, 1].flatMap((seq) => chains.flatMap((chain) => chain[seq] ?? []));
    const mixed = events.map((event, at) => (at === 11 ? tooLarge(event) : event));
    await expect(exporter.consume({ events: mixed }, SIGNAL)).rejects.toMatchObject({
      code: "REJECTED",
      message: expect.stringContaining("max.message.bytes") as string,
      failed: [11],
    });
    const partitions = [0, 1, 2, 3].map((partition) => onDisk("mixed", partition));
    expect(partitions.filter((records) => records.length > 0).length).toBeGreaterThan(1);
    const stored = new Set(partitions.flat().map(({ headers }) => headers.get("cs_hash")));
    expect(events.map(({ hash }) => stored.has(hash))).toEqual(events.map((_, at) => at !== 11));
  });

  test("letters and receipts are records too", async () => {
    await cluster.topic({ name: "letters" });
    const exporter = await started(exporterOf(kafka, "letters"));
    const letter: Letter = {
      reason: "hash_mismatch",
      component: "intake",
      timeMs: 0,
      bytes: Buffer.from("{}"),
    };
    await exporter.deposit([letter], SIGNAL);
    await exporter.keep([JSON.parse(readFileSync(RECEIPT, "utf8")) as never], SIGNAL);
    const [dead, receipt] = onDisk("letters");
    expect(dead?.headers.get("cs_dlq_reason")).toBe("hash_mismatch");
    expect(String(receipt?.key)).toBe("splunk_hec/soc/countersign.events.v1/5");
  });

  test("poisoned records become dead letters, the rest goes on, and the position moves only when they are kept", async () => {
    await cluster.topic({ name: "poison" });
    const exporter = await started(exporterOf(kafka, "poison"));
    const good = eventsOf(2);
    await exporter.consume({ events: good.slice(0, 1) }, SIGNAL);
    await write("poison", [null, Buffer.from("not an event"), Buffer.from("{}")]);
    await exporter.consume({ events: good.slice(1) }, SIGNAL);
    const letters: Letter[] = [];
    const states: ComponentState[] = [];
    const metrics = createMetrics();
    const hashes: string[] = [];
    let refusals = 0;
    await started(
      receiverOf(kafka, {
        topic: "poison",
        group: "poison",
        metrics,
        states,
        consume: async ({ events }) => void hashes.push(...events.map(({ hash }) => hash)),
        deposit: async (some) => {
          refusals += 1;
          if (refusals < 3) throw new CountersignError("UNAVAILABLE", "file: the disk is full");
          letters.push(...some);
        },
      }),
    );
    await until("letters were refused", () => refusals === 2);
    expect(await committed("poison", "poison")).toBe(-1n);
    expect(states.at(-1)).toMatchObject({ state: "failed" });
    await until("the position is stored", async () => (await committed("poison", "poison")) === 5n);
    expect(letters.map(({ reason, place }) => [reason, place?.offset])).toEqual([
      ["value_missing", 1n],
      ["not_sealed", 2n],
      ["schema_invalid", 3n],
    ]);
    expect(hashes).toEqual(good.map(({ hash }) => hash));
    expect(metrics.render()).toMatch(/receiver_poison_records_total\{receiver="kafka"\} 3/);
    expect(states.at(-1)).toEqual({ state: "ok" });
  });

  test("a pipeline that is full gets the same events again, in order, after the pause that it asked for", async () => {
    await cluster.topic({ name: "full" });
    const exporter = await started(exporterOf(kafka, "full"));
    const sent = eventsOf(30);
    await exporter.consume({ events: sent }, SIGNAL);
    const got: string[] = [];
    const asked: number[] = [];
    await started(
      receiverOf(kafka, {
        topic: "full",
        group: "full",
        consume: async ({ events }) => {
          asked.push(performance.now());
          if (asked.length < 3)
            throw new CountersignError("OVERLOADED", "x: full", { retryAfterMs: 300 });
          got.push(...events.map(({ hash }) => hash));
        },
      }),
    );
    await until("the position is stored", async () => (await committed("full", "full")) === 30n);
    expect(got).toEqual(sent.map(({ hash }) => hash));
    expect(asked).toHaveLength(3);
  });

  test("members come and go: every event arrives, each emitter's in order", async () => {
    await cluster.topic({ name: "members", partitions: 4 });
    const exporter = await started(exporterOf(kafka, "members"));
    const emitters = Array.from({ length: 10 }, (_, at) => `emitter-${at}`);
    const seen = new Map<string, number[]>();
    const member = () =>
      receiverOf(kafka, {
        topic: "members",
        group: "members",
        consume: async ({ events }) => {
          for (const { event } of events) {
            const { emitter, seq } = (event.data as { chain: { emitter: string; seq: number } })
              .chain;
            seen.set(emitter, [...(seen.get(emitter) ?? []), seq]);
          }
        },
      });
    const chains = new Map(emitters.map((emitter) => [emitter, eventsOf(60, emitter)]));
    const send = (count: number) =>
      Promise.all(
        [...chains.values()].map((chain) =>
          exporter.consume({ events: chain.splice(0, count) }, SIGNAL),
        ),
      );
    const distinct = () => [...seen.values()].reduce((sum, seqs) => sum + new Set(seqs).size, 0);
    const first = member();
    await first.start(SIGNAL);
    await send(15);
    const second = await started(member());
    await send(15);
    await until("half is read", () => distinct() === 300);
    const leaving = first.stop(soonDeadline());
    await send(15);
    await leaving;
    await send(15);
    await until("all is read", () => distinct() === 600);
    for (const seqs of seen.values()) {
      const firsts = seqs.filter((seq, at) => seqs.indexOf(seq) === at);
      expect(firsts).toEqual(Array.from({ length: 60 }, (_, seq) => seq));
    }
    expect(second).toBeDefined();
  });

  test("the broker dies and comes back: nothing acknowledged is lost, and both sides go on", async () => {
    await cluster.topic({ name: "outage" });
    const exporter = await started(exporterOf(kafka, "outage", { timeout: "2s" }));
    const got = new Set<string>();
    let refusing = false;
    await started(
      receiverOf(kafka, {
        topic: "outage",
        group: "outage",
        consume: async ({ events }) => {
          // Paused and resumed all the while, also as the connection goes.
          if (refusing) throw new CountersignError("OVERLOADED", "x: full", { retryAfterMs: 20 });
          for (const { hash } of events) got.add(hash);
        },
      }),
    );
    const before = eventsOf(10);
    await exporter.consume({ events: before }, SIGNAL);
    await until("what was sent is read", () => got.size === 10);
    refusing = true;
    const waiting = eventsOf(5);
    await exporter.consume({ events: waiting }, SIGNAL);
    await cluster.nodes[0]?.kill();
    const during = eventsOf(10);
    await expect(exporter.consume({ events: during }, SIGNAL)).rejects.toMatchObject({
      code: "UNAVAILABLE",
      failed: Array.from({ length: 10 }, (_, at) => at),
    });
    cluster.nodes[0]?.start();
    await cluster.ready();
    await until("the broker takes events again", () =>
      exporter.consume({ events: during }, SIGNAL).then(
        () => true,
        () => false,
      ),
    );
    refusing = false;
    await until(
      "all is read",
      () => [...before, ...waiting, ...during].every(({ hash }) => got.has(hash)),
      60_000,
    );
  });
});
