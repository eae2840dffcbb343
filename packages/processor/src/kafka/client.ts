import { CountersignError } from "@countersign/model";
import type { ClientSpec, Component, Runtime } from "@countersign/pipeline";
import { durationMs } from "@countersign/pipeline";
import type { FeedOptions } from "./feed-options.ts";
import { createFeed } from "./kafkajs-feed.ts";
import { createLaneLog, type LaneLog } from "./kafkajs-log.ts";
import type { Compression } from "./kafkajs-producer.ts";
import type { AuditFeed, AuditLog, TopicFacts } from "./port.ts";
import {
  checkClient,
  CLIENT_SCHEMA,
  type ClientConfig,
  type Connection,
  connectionOf,
} from "./settings.ts";
import { checkTopic } from "./topic-check.ts";

/** A Kafka cluster. */
export const kafkaClient: ClientSpec = {
  kind: "client",
  type: "kafka",
  stability: "beta",
  summary: "A Kafka cluster: its brokers, who we are there, and what its topics must be like.",
  signals: ["decisions"],
  config: CLIENT_SCHEMA,
  check: checkClient,
  create: (config: ClientConfig, runtime) => new KafkaClient(config, runtime),
};

/** A topic that was checked, to write to. */
export interface WritableTopic extends TopicFacts {
  readonly log: AuditLog;
}

/** What the components of a service share of a cluster. */
export interface KafkaHolder {
  /** Checks a topic and opens its first partition. Rejects CONFIG_INVALID, or UNAVAILABLE after `start_timeout`. */
  openTopic(
    topic: string,
    options: { readonly compression: Compression; readonly signal: AbortSignal },
  ): Promise<WritableTopic>;
  /** Checks a topic and makes a feed of it. Rejects as `openTopic` does. */
  openFeed(options: Omit<FeedOptions, "connection">, signal: AbortSignal): Promise<AuditFeed>;
}

/** The cluster that a client stands for; undefined if it is another component. */
export function kafkaOf(component: Component | undefined): KafkaHolder | undefined {
  return component instanceof KafkaClient ? component : undefined;
}

class KafkaClient implements Component, KafkaHolder {
  readonly #config: ClientConfig;
  readonly #connection: Connection;
  readonly #logs: LaneLog[] = [];

  constructor(config: ClientConfig, runtime: Runtime) {
    this.#config = config;
    this.#connection = connectionOf(runtime.id, config);
  }

  /** It connects when somebody opens a topic: what is not used is not asked for. */
  start(): Promise<void> {
    return Promise.resolve();
  }

  async stop(deadline: AbortSignal): Promise<void> {
    await Promise.all(this.#logs.map((log) => log.close(deadline)));
  }

  async openTopic(
    topic: string,
    { compression, signal }: { compression: Compression; signal: AbortSignal },
  ): Promise<WritableTopic> {
    const facts = await this.#check(topic, signal);
    const log = createLaneLog({
      connection: this.#connection,
      compression,
      maxBatchBytes: facts.maxRecordBytes,
    });
    this.#logs.push(log);
    try {
      await log.prepare(topic, 0, durationMs(this.#config.start_timeout));
    } catch (error) {
      throw this.#notWritable(topic, error);
    }
    return { ...facts, log };
  }

  async openFeed(
    options: Omit<FeedOptions, "connection">,
    signal: AbortSignal,
  ): Promise<AuditFeed> {
    await this.#check(options.topic, signal);
    return createFeed({ ...options, connection: this.#connection });
  }

  #check(topic: string, signal: AbortSignal): Promise<TopicFacts> {
    return checkTopic({
      connection: this.#connection,
      require: this.#config.require,
      topic,
      timeoutMs: durationMs(this.#config.start_timeout),
      signal,
    });
  }

  #notWritable(topic: string, error: unknown): unknown {
    if (!(error instanceof CountersignError) || !error.message.includes("AUTHORIZATION"))
      return error;
    return new CountersignError(
      "CONFIG_INVALID",
      `${this.#connection.id}: the user may not write to any topic, ${topic} included; grant Write on it`,
      { cause: error },
    );
  }
}
