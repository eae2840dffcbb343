// Reading a topic from given offsets, without a group: no position anywhere is touched, and no right on a group is needed. The
// client library has this only inside its consumer, so its cluster and brokers are used directly; it is tied to the one version.
import { createRequire } from "node:module";
import { setTimeout as delay } from "node:timers/promises";
import { CountersignError } from "@countersign/model";
import { throwIfAborted } from "@countersign/pipeline";
import type { Admin, Batch, Kafka } from "kafkajs";
import { faultOf, kafkaError } from "./kafka-fault.ts";
import { severableClient } from "./kafkajs-connection.ts";
import type { PartitionBounds, StoredRecord, TopicReader } from "./port.ts";
import type { Connection } from "./settings.ts";
import { storedRecords } from "./stored-records.ts";

const require = createRequire(import.meta.url);

const FETCH_BYTES = 1024 ** 2;
const FETCH_WAIT_MS = 500;
const RETRY_MS = 300;
/** Kafka's `read_committed`, as the receiver reads. */
const READ_COMMITTED = 1;

/** What a reader needs. */
export interface TopicReaderOptions {
  readonly connection: Connection;
  readonly topic: string;
  /** How long the cluster may give no answer; then what was asked rejects UNAVAILABLE. */
  readonly timeoutMs: number;
}

interface Broker {
  fetch(request: object): Promise<{
    readonly responses: readonly { readonly partitions: readonly object[] }[];
  }>;
}

/** The part of the library's inner cluster that is used. */
interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  refreshMetadata(): Promise<void>;
  findLeaderForPartitions(topic: string, partitions: readonly number[]): Record<string, number[]>;
  findBroker(of: { nodeId: string }): Promise<Broker>;
}

type BatchMaker = new (topic: string, fetchedOffset: string, partition: object) => Batch;

/** Opens a reader. Rejects UNAVAILABLE when no broker answers, CONFIG_INVALID when the topic may not be read. */
export async function openTopicReader(options: TopicReaderOptions): Promise<TopicReader> {
  const { kafka, sever } = severableClient(options.connection);
  const reader = new ClusterReader(options, {
    cluster: clusterOf(kafka),
    admin: kafka.admin(),
    sever,
    Batch: require("kafkajs/src/consumer/batch.js") as BatchMaker,
  });
  try {
    await reader.connect();
    return reader;
  } catch (error) {
    await reader.close();
    throw error;
  }
}

function clusterOf(kafka: Kafka): Cluster {
  const name = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === "private:Kafka:createCluster",
  );
  const create = name && (kafka as unknown as Record<symbol, unknown>)[name];
  if (typeof create !== "function")
    throw new CountersignError("BUG", "kafka: this kafkajs makes its clusters another way");
  return (create as (settings: object) => Cluster)({
    metadataMaxAge: 300_000,
    allowAutoTopicCreation: false,
    isolationLevel: READ_COMMITTED,
  });
}

interface Parts {
  readonly cluster: Cluster;
  readonly admin: Admin;
  readonly sever: () => void;
  readonly Batch: BatchMaker;
}

class ClusterReader implements TopicReader {
  readonly topic: string;
  readonly #options: TopicReaderOptions;
  readonly #parts: Parts;

  constructor(options: TopicReaderOptions, parts: Parts) {
    this.topic = options.topic;
    this.#options = options;
    this.#parts = parts;
  }

  async connect(): Promise<void> {
    const { cluster, admin } = this.#parts;
    await this.#persist("cannot read", async () => {
      await admin.connect();
      await cluster.connect();
      await cluster.addTargetTopic(this.topic);
    });
  }

  async close(): Promise<void> {
    const { cluster, admin, sever } = this.#parts;
    await admin.disconnect().catch(() => undefined);
    await cluster.disconnect().catch(() => undefined);
    sever();
  }

  async bounds(): Promise<readonly PartitionBounds[]> {
    const offsets = await this.#persist("cannot ask for the offsets of", () =>
      this.#parts.admin.fetchTopicOffsets(this.topic),
    );
    return offsets
      .map(({ partition, low, high }) => ({ partition, first: BigInt(low), end: BigInt(high) }))
      .toSorted((a, b) => a.partition - b.partition);
  }

  async firstAt(timestampMs: number): Promise<ReadonlyMap<number, bigint>> {
    const found = await this.#persist("cannot ask for the offsets of", () =>
      this.#parts.admin.fetchTopicOffsetsByTimestamp(this.topic, timestampMs),
    );
    return new Map(found.map(({ partition, offset }) => [partition, BigInt(offset)]));
  }

  async *read(
    { partition, first, end }: PartitionBounds,
    signal: AbortSignal,
  ): AsyncGenerator<readonly StoredRecord[]> {
    let at = first;
    while (at < end) {
      throwIfAborted(signal, this.#options.connection.id);
      const batch = await this.#persist(`cannot read partition ${partition} of`, () =>
        this.#fetch(partition, at),
      );
      const records = storedRecords(batch).filter(({ offset }) => offset < end);
      if (records.length > 0) yield records;
      const next = BigInt(batch.lastOffset()) + 1n;
      // An answer without a record within what was there when it began: it was deleted meanwhile.
      at = next > at ? next : at + 1n;
    }
  }

  async #fetch(partition: number, offset: bigint): Promise<Batch> {
    const { cluster, Batch: Made } = this.#parts;
    const [leader] = Object.keys(cluster.findLeaderForPartitions(this.topic, [partition]));
    const broker = await cluster.findBroker({ nodeId: leader ?? "-1" });
    const one = { partition, fetchOffset: String(offset), maxBytes: FETCH_BYTES };
    const { responses } = await broker.fetch({
      replicaId: -1,
      isolationLevel: READ_COMMITTED,
      maxWaitTime: FETCH_WAIT_MS,
      minBytes: 1,
      maxBytes: FETCH_BYTES,
      topics: [{ topic: this.topic, partitions: [one] }],
    });
    const [found] = responses[0]?.partitions ?? [];
    if (found === undefined)
      throw new CountersignError("UNAVAILABLE", "kafka: the broker's answer names no partition");
    return new Made(this.topic, String(offset), found);
  }

  /** Again and again until the cluster gives an answer, or the time is over. */
  async #persist<Answer>(what: string, ask: () => Promise<Answer>): Promise<Answer> {
    const { connection, timeoutMs } = this.#options;
    const startedMs = performance.now();
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        const { kind, type } = faultOf(error);
        if (kind === "forbidden" || kind === "missing") {
          throw new CountersignError(
            "CONFIG_INVALID",
            `${connection.id}: the user may not read topic ${this.topic}, or it is not there (${type}); grant Read and Describe on it`,
            { cause: error },
          );
        }
        if (performance.now() - startedMs + RETRY_MS > timeoutMs)
          throw kafkaError(connection.id, `${what} ${this.topic}`, error);
        await delay(RETRY_MS);
        await this.#parts.cluster.refreshMetadata().catch(() => undefined);
      }
    }
  }
}
