import { CountersignError, errorCode, letGoOfParsed } from "@countersign/model";
import {
  type Component,
  type Consumer,
  type Decisions,
  DURATION_SCHEMA,
  durationMs,
  type ExporterSpec,
  type Letter,
  type LetterBox,
  type Receipt,
  type ReceiptBox,
  type Runtime,
  throwIfAborted,
} from "@countersign/pipeline";
import { kafkaOf, type WritableTopic } from "../kafka/client.ts";
import type { Compression } from "../kafka/kafkajs-producer.ts";
import { partitionOf } from "../kafka/partitioner.ts";
import type { LogRecord } from "../kafka/port.ts";
import { eventRecords, letterRecord, receiptRecord } from "../kafka/record.ts";
import { topicStreams } from "../kafka/settings.ts";

interface Config {
  readonly client: string;
  readonly topic: string;
  readonly timeout: string;
  readonly compression: Compression;
}

/** Events, letters and receipts into a topic. */
export const kafkaExporter: ExporterSpec = {
  kind: "exporter",
  type: "kafka",
  stability: "beta",
  summary:
    "Writes events to a Kafka topic: acknowledged by all replicas, in order by emitter. Keeps dead letters, quarantine and receipts.",
  signals: ["decisions"],
  takes: ["decisions"],
  keepsLetters: true,
  keepsReceipts: true,
  config: {
    type: "object",
    additionalProperties: false,
    required: ["client", "topic"],
    properties: {
      client: {
        type: "string",
        description: "Name of the cluster under `clients`.",
        examples: ["main"],
      },
      topic: {
        type: "string",
        pattern: "^[A-Za-z0-9._-]{1,249}$",
        description:
          "Letters, digits, dots, underscores, hyphens. It must exist: it is checked at the start.",
        examples: ["countersign.events.v1"],
      },
      timeout: {
        ...DURATION_SCHEMA,
        default: "15s",
        description:
          "How long the brokers may take to acknowledge; then the sender is asked to come again.",
      },
      compression: {
        enum: ["none", "gzip", "zstd"],
        default: "none",
        description: "Of the records, as the brokers keep them.",
      },
    },
  },
  references: ({ client }: Config) => [{ path: ["client"], id: client, kind: "client" }],
  streams: topicStreams,
  create: (config: Config, runtime) => new KafkaExporter(config, runtime),
};

class KafkaExporter implements Component, Consumer<Decisions>, LetterBox, ReceiptBox {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #timeoutMs: number;
  readonly #running = new Set<Promise<unknown>>();
  #topic: WritableTopic | undefined;

  constructor(config: Config, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    this.#timeoutMs = durationMs(config.timeout);
  }

  async start(signal: AbortSignal): Promise<void> {
    const { client, topic, compression } = this.#config;
    const { id, service } = this.#runtime;
    const holder = kafkaOf(service.client(client));
    if (holder === undefined)
      throw new CountersignError("BUG", `${id}: ${client} is no Kafka client`);
    this.#topic = await holder.openTopic(topic, { compression, signal });
  }

  /** Waits for what is under way; every append has a deadline of its own. */
  async stop(): Promise<void> {
    this.#topic = undefined;
    await Promise.allSettled(this.#running);
  }

  /** `failed` names the events of the partitions that did not acknowledge. */
  async consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    const records = eventRecords(batch.events, Date.now());
    // The brokers get bytes, and many batches wait for them.
    letGoOfParsed(batch.events);
    await this.#write(records, signal);
  }

  async deposit(letters: readonly Letter[], signal: AbortSignal): Promise<void> {
    await this.#keep(letters.map(letterRecord), signal);
  }

  async keep(receipts: readonly Receipt[], signal: AbortSignal): Promise<void> {
    await this.#keep(receipts.map(receiptRecord), signal);
  }

  /** What is kept aside has no further place to go: for good or for now, it cannot be written. */
  async #keep(records: readonly LogRecord[], signal: AbortSignal): Promise<void> {
    try {
      await this.#write(records, signal);
    } catch (error) {
      if (errorCode(error) !== "REJECTED") throw error;
      throw new CountersignError("UNAVAILABLE", (error as Error).message, { cause: error });
    }
  }

  async #write(records: readonly LogRecord[], signal: AbortSignal): Promise<void> {
    const { id } = this.#runtime;
    throwIfAborted(signal, id);
    const target = this.#topic;
    if (target === undefined)
      throw new CountersignError("UNAVAILABLE", `${id}: not started, or stopped`);
    const lanes = byPartition(records, target.partitions);
    const writing = Promise.allSettled(
      [...lanes].map(([partition, indexes]) => this.#append(target, partition, indexes, records)),
    );
    this.#running.add(writing);
    void writing.finally(() => this.#running.delete(writing));
    const failures = (await unlessAborted(writing, signal, id)).flatMap((one) =>
      one.status === "rejected" ? [one.reason as CountersignError] : [],
    );
    this.#report(failures);
    if (failures.length > 0) throw joined(failures);
  }

  /** Failed indexes are those of the whole batch. */
  async #append(
    { log }: WritableTopic,
    partition: number,
    indexes: readonly number[],
    records: readonly LogRecord[],
  ): Promise<void> {
    const own = indexes.map((index) => records[index] as LogRecord);
    try {
      await log.append({ topic: this.#config.topic, partition, records: own }, this.#timeoutMs);
    } catch (error) {
      if (!(error instanceof CountersignError)) throw error;
      const failed = (error.failed ?? [...own.keys()]).map((at) => indexes[at] as number);
      const { retryAfterMs } = error;
      throw new CountersignError(error.code, `${this.#runtime.id}: ${error.message}`, {
        cause: error.cause,
        failed,
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      });
    }
  }

  #report(failures: readonly CountersignError[]): void {
    const away = failures.some(({ code }) => code === "UNAVAILABLE");
    if (!away) this.#runtime.report({ state: "ok" });
    else this.#runtime.report({ state: "failed", detail: "a partition does not acknowledge" });
  }
}

/** Indexes of the records of each partition, in their order. */
function byPartition(
  records: readonly LogRecord[],
  partitions: number,
): ReadonlyMap<number, number[]> {
  const lanes = new Map<number, number[]>();
  for (const [index, { key }] of records.entries()) {
    const partition = partitionOf(key ?? new Uint8Array(), partitions);
    const lane = lanes.get(partition);
    if (lane === undefined) lanes.set(partition, [index]);
    else lane.push(index);
  }
  return lanes;
}

/** Who gives up is told so; what is on its way arrives all the same. */
async function unlessAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
  id: string,
): Promise<Value> {
  const aborted = Promise.withResolvers<never>();
  const cancel = (): void =>
    aborted.reject(new CountersignError("CANCELLED", `${id}: stopped while the brokers had it`));
  signal.addEventListener("abort", cancel, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/** One error of several partitions. A failure for now wins: what is bad for good stays alone when the rest has gone. */
function joined(failures: readonly CountersignError[]): CountersignError {
  const leading = failures.find(({ code }) => code !== "REJECTED") ?? failures[0];
  if (leading === undefined) throw new CountersignError("BUG", "kafka: no failure to join");
  const failed = failures.flatMap((failure) => failure.failed ?? []).toSorted((a, b) => a - b);
  const { retryAfterMs } = leading;
  return new CountersignError(leading.code, leading.message, {
    cause: leading.cause,
    failed,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}
