import { CountersignError, errorCode, type SealedEvent } from "@countersign/model";
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
  type ReceiverSpec,
  type Runtime,
} from "@countersign/pipeline";
import { kafkaOf } from "../kafka/client.ts";
import type { FeedEvent } from "../kafka/kafkajs-feed.ts";
import type { AuditFeed, FeedBatch, Outcome } from "../kafka/port.ts";
import { placeOf, poisonLetter, readRecord } from "../kafka/record.ts";

interface Config {
  readonly client: string;
  readonly topic: string;
  readonly group: string;
  readonly session_timeout: string;
  readonly rebalance_timeout: string;
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
    },
  },
  references: ({ client }: Config) => [{ path: ["client"], id: client, kind: "client" }],
  create: (config: Config, runtime, next) => new KafkaReceiver(config, runtime, next),
};

const offsetOf = (event: SealedEvent): bigint | undefined => placeOf(event)?.offset;

class KafkaReceiver implements Component {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #pipelines: Consumer<Decisions>;
  /** Letters are tried again until they are kept: the partition stands still for so long. */
  readonly #letters: Consumer<readonly Letter[]> & Component;
  #feed: AuditFeed | undefined;

  constructor(config: Config, runtime: Runtime, next: PipelineInputs) {
    this.#config = config;
    this.#runtime = runtime;
    const heads = next.decisions.map(({ consumer }) => consumer);
    this.#pipelines = measureReceiver(fanout(heads), runtime.id, runtime.metrics);
    this.#letters = createRetry<readonly Letter[]>(
      { consume: (letters, signal) => this.#deposit(letters, signal) },
      { id: runtime.id, log: runtime.log },
    );
  }

  async start(signal: AbortSignal): Promise<void> {
    const { client, topic, group, session_timeout, rebalance_timeout } = this.#config;
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
        note: (event) => this.#note(event),
      },
      signal,
    );
    this.#feed = feed;
    const help = "Records of our partitions that the pipeline has not taken yet.";
    metrics.gauge("receiver_lag", help, { receiver: id }, () => feed.lag);
    await feed.start((batch, cancelled) => this.#handOn(batch, cancelled));
  }

  async stop(deadline: AbortSignal): Promise<void> {
    await this.#letters.stop(deadline);
    await this.#feed?.stop(deadline);
  }

  /** Events first, letters after, as at intake; then the position may move. */
  async #handOn({ topic, partition, records }: FeedBatch, signal: AbortSignal): Promise<Outcome> {
    const first = records[0]?.offset;
    const last = records.at(-1)?.offset;
    if (first === undefined || last === undefined)
      throw new CountersignError("BUG", `${this.#runtime.id}: an empty batch`);
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

  #note(event: FeedEvent): void {
    const { log, metrics, id } = this.#runtime;
    const labels = { receiver: id };
    switch (event.kind) {
      case "joined":
        metrics.counter("receiver_rebalances", "Assignments of partitions.", labels).add();
        log.info("reads partitions", { partitions: event.partitions.join(",") || "none" });
        this.#runtime.report({ state: "ok" });
        return;
      case "lost":
        this.#lost(event.fault.kind === "forbidden" || event.fault.kind === "missing");
        log.warn("lost the group, joins again", { reason: event.fault.type });
        return;
      case "skipped":
        metrics
          .counter(
            "receiver_skipped_offsets",
            "Offsets that had nothing to read: expired, or foreign marks.",
            labels,
          )
          .add(Number(event.offsets));
        log.error("offsets are missing: did records expire before they were read?", {
          partition: event.partition,
          offsets: Number(event.offsets),
        });
        return;
      case "uncommitted":
        log.warn("a position could not be stored; the next one covers it", {
          partition: event.partition,
          reason: event.fault.type,
        });
        return;
      case "handed_back":
      case "halted":
        this.#refused(event);
        return;
      default:
        event satisfies never;
    }
  }

  #lost(needsSomebody: boolean): void {
    this.#runtime.report(
      needsSomebody
        ? { state: "failed", detail: "the user may not read the topic, or it is not there" }
        : { state: "degraded", detail: "the group was lost and is joined again" },
    );
  }

  #refused(event: Extract<FeedEvent, { kind: "handed_back" | "halted" }>): void {
    const { log } = this.#runtime;
    const halted = event.kind === "halted";
    if (!halted && errorCode(event.error) === "CANCELLED") return;
    this.#runtime.report({
      state: halted ? "failed" : "degraded",
      detail: halted
        ? "a partition stands still after a fault of ours"
        : "the pipeline does not take a partition; it is tried again",
    });
    const { partition, error } = event;
    log.warn(halted ? "a partition stands still" : "a partition pauses", {
      partition,
      code: errorCode(error) ?? "unknown",
      reason: error instanceof Error ? error.message : "not an error",
    });
  }
}
