import { CountersignError, type SealedEvent } from "@countersign/model";
import {
  type Component,
  createRetry,
  DURATION_SCHEMA,
  durationMs,
  fanout,
  type Letter,
  measureReceiver,
  type PipelineInputs,
  type Decisions,
  type Consumer,
  type Rebuilding,
  type ReceiverSpec,
  type Runtime,
} from "@countersign/pipeline";
import { kafkaOf } from "../kafka/client.ts";
import { FeedNotes } from "../kafka/feed-notes.ts";
import type { AuditFeed, FeedBatch, Outcome, Rereading } from "../kafka/port.ts";
import { placeOf, poisonLetter, readRecord } from "../kafka/record.ts";
import { topicStreams } from "../kafka/settings.ts";

interface Config {
  readonly client: string;
  readonly topic: string;
  readonly group: string;
  readonly session_timeout: string;
  readonly rebalance_timeout: string;
  readonly max_reread: number;
}

/** Reads a topic as a member of a group. */
export const kafkaReceiver: ReceiverSpec = {
  kind: "receiver",
  type: "kafka",
  stability: "beta",
  summary:
    "Reads a Kafka topic as a member of a group: in order by partition; moves on when the pipeline took the events.",
  signals: ["decisions"],
  gives: { decisions: "decisions" },
  pulls: true,
  config: {
    type: "object",
    additionalProperties: false,
    required: ["client", "group"],
    properties: {
      client: {
        type: "string",
        description: "Name of the cluster under `clients`.",
        examples: ["main"],
      },
      topic: {
        type: "string",
        pattern: "^[A-Za-z0-9._-]{1,249}$",
        default: "countersign.events.v1",
        description: "The topic of events. It must exist: it is checked at the start.",
      },
      group: {
        type: "string",
        pattern: "^[A-Za-z0-9._-]{1,249}$",
        description:
          "The consumer group, one for each pipeline: its position is kept by the brokers.",
        examples: ["countersign-siem"],
      },
      session_timeout: {
        ...DURATION_SCHEMA,
        default: "45s",
        description: "A member that is not heard of for so long loses its partitions.",
      },
      rebalance_timeout: {
        ...DURATION_SCHEMA,
        default: "60s",
        description: "How long members may take to hand over their partitions.",
      },
      max_reread: {
        type: "integer",
        minimum: 0,
        maximum: 1_000_000_000,
        default: 10_000_000,
        description:
          "Records of a partition, the newest, that are read again at most for a connector that rebuilds its state.",
      },
    },
  },
  position: ({ client, topic, group }: Config) => JSON.stringify([client, topic, group]),
  references: ({ client }: Config) => [{ path: ["client"], id: client, kind: "client" }],
  streams: topicStreams,
  create: (config: Config, runtime, next) => new KafkaReceiver(config, runtime, next),
};

const offsetOf = (event: SealedEvent): bigint | undefined => placeOf(event)?.offset;

class KafkaReceiver implements Component {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #pipelines: Consumer<Decisions>;
  /** Of those, the ones whose end rebuilds its state of the log. */
  readonly #rebuilt: readonly RebuiltInput[];
  readonly #notes: FeedNotes;
  /** Letters are tried again until they are kept: the partition stands still for so long. */
  readonly #letters: Consumer<readonly Letter[]> & Component;
  #feed: AuditFeed | undefined;

  constructor(config: Config, runtime: Runtime, next: PipelineInputs) {
    this.#config = config;
    this.#runtime = runtime;
    this.#notes = new FeedNotes(runtime);
    const heads = next.decisions.map(({ consumer }) => consumer);
    this.#pipelines = measureReceiver(fanout(heads), runtime.id, runtime.metrics);
    this.#rebuilt = next.decisions.flatMap(({ consumer, rebuilding }) =>
      rebuilding === undefined ? [] : [{ consumer, rebuilding }],
    );
    this.#letters = createRetry<readonly Letter[]>(
      { consume: (letters, signal) => this.#deposit(letters, signal) },
      { id: runtime.id, log: runtime.log },
    );
  }

  async start(signal: AbortSignal): Promise<void> {
    const { client, topic, group, session_timeout, rebalance_timeout, max_reread } = this.#config;
    const { id, service, metrics } = this.#runtime;
    const holder = kafkaOf(service.client(client));
    if (holder === undefined)
      throw new CountersignError("BUG", `${id}: ${client} is no Kafka client`);
    const feed = await holder.openFeed(
      {
        id,
        topic,
        group,
        sessionTimeoutMs: durationMs(session_timeout),
        rebalanceTimeoutMs: durationMs(rebalance_timeout),
        maxRereadRecords: max_reread,
        note: (event) => this.#notes.note(event),
      },
      signal,
    );
    this.#feed = feed;
    const help = "Records of our partitions that the pipeline has not taken yet.";
    metrics.gauge("receiver_lag", help, { receiver: id }, () => feed.lag);
    await feed.start(
      (batch, cancelled) =>
        batch.again === true ? this.#handOnAgain(batch, cancelled) : this.#handOn(batch, cancelled),
      this.#rereading(),
    );
  }

  /** For everybody behind us at once: what one of them has already, it is not given. */
  #rereading(): Rereading | undefined {
    const { topic } = this.#config;
    const all = this.#rebuilt.map(({ rebuilding }) => rebuilding);
    const [one, ...others] = all;
    if (one === undefined) return undefined;
    return {
      from: (partition) =>
        others.reduce(
          (least, other) => {
            const from = other.rebuildFrom(topic, partition);
            return from < least ? from : least;
          },
          one.rebuildFrom(topic, partition),
        ),
      complete: (partition) => {
        for (const rebuilding of all) rebuilding.rebuilt(topic, partition);
      },
      released: (partition) => {
        for (const rebuilding of all) rebuilding.released(topic, partition);
      },
    };
  }

  async stop(deadline: AbortSignal): Promise<void> {
    await this.#letters.stop(deadline);
    await this.#feed?.stop(deadline);
  }

  /** What the group is past, for those whose state lacks it. Its letters were kept, its receipts written. */
  async #handOnAgain(batch: FeedBatch, signal: AbortSignal): Promise<Outcome> {
    const { topic, partition, records } = batch;
    const { last } = this.#rangeOf(batch);
    for (const { consumer, rebuilding } of this.#rebuilt) {
      const from = rebuilding.rebuildFrom(topic, partition);
      const wanted = records.filter(({ offset }) => offset >= from);
      const first = wanted[0]?.offset;
      if (first === undefined) continue;
      const events = wanted.flatMap((record) => {
        const read = readRecord(record);
        return "event" in read ? [read.event] : [];
      });
      const origin = { log: topic, partition, first, last };
      await consumer.consume({ events, origin, again: true }, signal);
    }
    this.#notes.reread(partition, records.length, last);
    return { done: last };
  }

  #rangeOf({ records }: FeedBatch): { readonly first: bigint; readonly last: bigint } {
    const first = records[0]?.offset;
    const last = records.at(-1)?.offset;
    if (first === undefined || last === undefined)
      throw new CountersignError("BUG", `${this.#runtime.id}: an empty batch`);
    return { first, last };
  }

  /** Events first, letters after, as at intake; then the position may move. */
  async #handOn(batch: FeedBatch, signal: AbortSignal): Promise<Outcome> {
    const { topic, partition, records } = batch;
    const { first, last } = this.#rangeOf(batch);
    const events: SealedEvent[] = [];
    const letters: Letter[] = [];
    for (const record of records) {
      const read = readRecord(record);
      if ("event" in read) events.push(read.event);
      else letters.push(poisonLetter(record, read, this.#runtime.id));
    }
    await this.#pipelines.consume(
      { events, origin: { log: topic, partition, first, last, offsetOf } },
      signal,
    );
    if (letters.length > 0) await this.#letters.consume(letters, signal);
    this.#runtime.report({ state: "ok" });
    return { done: last };
  }

  async #deposit(letters: readonly Letter[], signal: AbortSignal): Promise<void> {
    try {
      await this.#runtime.service.deadLetters.deposit(letters, signal);
    } catch (error) {
      const detail =
        "a record that is no event cannot be dead-lettered; its partition stands still";
      this.#runtime.report({ state: "failed", detail });
      throw error;
    }
    const help = "Records that were no events, dead-lettered.";
    const { id, metrics } = this.#runtime;
    metrics.counter("receiver_poison_records", help, { receiver: id }).add(letters.length);
  }
}

/** A pipeline whose end rebuilds its state. */
interface RebuiltInput {
  readonly consumer: Consumer<Decisions>;
  readonly rebuilding: Rebuilding;
}
