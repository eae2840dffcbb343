// The Kafka parts of the processor, made as the service makes them, for tests that look at one of them.
import { setTimeout as delay } from "node:timers/promises";
import { silentLogger } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  type Consumer,
  createMetrics,
  type Decisions,
  type Letter,
  type LetterBox,
  type Metrics,
  type ReceiptBox,
  type Runtime,
} from "@countersign/pipeline";
import { kafkaExporter } from "../../packages/processor/src/exporters/kafka.ts";
import { kafkaClient } from "../../packages/processor/src/kafka/client.ts";
import type { ClientConfig } from "../../packages/processor/src/kafka/settings.ts";
import { kafkaReceiver } from "../../packages/processor/src/receivers/kafka.ts";

export const SIGNAL: AbortSignal = new AbortController().signal;
export const soonDeadline = (): AbortSignal => AbortSignal.timeout(10_000);

/** A client of a cluster, with the defaults that the configuration would fill in. */
export function clientOf(brokers: readonly string[], more: Partial<ClientConfig> = {}): Component {
  const config: ClientConfig = {
    brokers,
    client_id: "countersign",
    tls: false,
    require: { cleanup_policy: "delete" },
    connect_timeout: "5s",
    request_timeout: "10s",
    start_timeout: "20s",
    ...more,
  };
  return kafkaClient.create(config as never, runtimeOf("main", {}));
}

/** What a component sees of a service, and what it says of itself. */
export interface Surroundings {
  readonly client?: Component;
  readonly metrics?: Metrics;
  readonly states?: ComponentState[];
  readonly deposit?: (letters: readonly Letter[]) => Promise<void>;
}

function runtimeOf(id: string, around: Surroundings): Runtime {
  const box: LetterBox = {
    deposit: around.deposit ?? (() => Promise.reject(new Error("no letters here"))),
  };
  return {
    id,
    log: silentLogger,
    metrics: around.metrics ?? createMetrics(),
    report: (state) => void around.states?.push(state),
    service: {
      exporter: () => undefined,
      client: () => around.client,
      extension: () => undefined,
      deadLetters: box,
      quarantine: box,
      health: () => ({ phase: "running", components: new Map(), beside: new Set<string>() }),
    },
  };
}

type KafkaExporter = Component & Consumer<Decisions> & LetterBox & ReceiptBox;

/** An exporter, not started. */
export function exporterOf(
  client: Component,
  topic: string,
  more: { timeout?: string; compression?: string } & Surroundings = {},
): KafkaExporter {
  const { timeout = "15s", compression = "none", ...around } = more;
  const config = { client: "main", topic, timeout, compression };
  return kafkaExporter.create(
    config as never,
    runtimeOf("kafka", { ...around, client }),
  ) as unknown as KafkaExporter;
}

/** A receiver before one pipeline, not started. */
export function receiverOf(
  client: Component,
  read: { topic: string; group: string; consume: Consumer<Decisions>["consume"] } & Surroundings,
): Component {
  const { topic, group, consume, ...around } = read;
  const config = {
    client: "main",
    topic,
    group,
    session_timeout: "8s",
    rebalance_timeout: "10s",
  };
  const inputs = {
    traces: [],
    logs: [],
    decisions: [{ pipeline: "decisions", consumer: { consume } }],
  };
  return kafkaReceiver.create(config as never, runtimeOf("kafka", { ...around, client }), inputs);
}

/** Asks until it is so, or the deadline passes. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not in ${timeoutMs} ms: ${what}`);
    await delay(50);
  }
}
