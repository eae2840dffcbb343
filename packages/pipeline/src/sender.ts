// What stands between a pipeline and a destination on the network: queue, joining, retry, time limit.
import type { Component } from "./component.ts";
import { createBatcher } from "./batch.ts";
import { type Consumer, countItems, joinTraces, type Traces } from "./consumer.ts";
import { limitConcurrency } from "./limit.ts";
import { createQueue } from "./queue.ts";
import { createRetry } from "./retry.ts";
import type { JsonSchema, Runtime } from "./spec.ts";
import { withTimeout } from "./timeout.ts";
import { DURATION_SCHEMA, durationMs } from "./units.ts";

/** Settings that every exporter of traces over the network has, with the Collector's names. */
export const SENDER_PROPERTIES: JsonSchema = {
  timeout: { ...DURATION_SCHEMA, default: "10s", description: "Time for one attempt: 500ms, 10s." },
  sending_queue: {
    type: "object",
    additionalProperties: false,
    default: {},
    description:
      "Spans that wait in memory; enabled: false takes over nothing before the destination has it.",
    properties: {
      enabled: {
        type: "boolean",
        default: true,
        description: "false: a sender is answered when the destination has its spans.",
      },
      block_on_overflow: {
        type: "boolean",
        default: false,
        description:
          "Full: the sender's request waits for room (true), or is answered 503 (false).",
      },
      queue_size: {
        type: "integer",
        minimum: 1,
        maximum: 1_000_000,
        default: 8192,
        description: "Spans that may wait.",
      },
      num_consumers: {
        type: "integer",
        minimum: 1,
        maximum: 64,
        default: 4,
        description: "Requests to the destination at once.",
      },
    },
  },
  retry_on_failure: {
    type: "object",
    additionalProperties: false,
    default: {},
    description:
      "Failures for now are tried again, up to `max_elapsed_time`; then the spans are dropped and counted.",
    properties: {
      initial_interval: {
        ...DURATION_SCHEMA,
        default: "1s",
        description: "First wait: 500ms, 1s.",
      },
      max_interval: { ...DURATION_SCHEMA, default: "30s", description: "Longest wait: 30s." },
      max_elapsed_time: {
        ...DURATION_SCHEMA,
        default: "5m",
        description: "Time after which spans are given up: 5m.",
      },
    },
  },
  batch: {
    type: "object",
    additionalProperties: false,
    default: {},
    description: "Small batches are joined.",
    properties: {
      max_spans: {
        type: "integer",
        minimum: 1,
        maximum: 65_536,
        default: 512,
        description: "Spans in one request.",
      },
      max_wait: {
        ...DURATION_SCHEMA,
        default: "200ms",
        description: "Longest wait for others: 200ms.",
      },
    },
  },
};

/** Validated settings of {@link SENDER_PROPERTIES}. */
export interface SenderConfig {
  readonly timeout: string;
  readonly sending_queue: {
    readonly enabled?: boolean;
    readonly block_on_overflow?: boolean;
    readonly queue_size: number;
    readonly num_consumers: number;
  };
  readonly retry_on_failure: {
    readonly initial_interval: string;
    readonly max_interval: string;
    readonly max_elapsed_time: string;
  };
  readonly batch: { readonly max_spans: number; readonly max_wait: string };
}

/**
 * Stacks queue → batch → concurrency → retry → timeout before `push`; with the queue disabled, retry → timeout. `stop` ends
 * the retries first, so that the queue drains without waiting.
 */
export function createSender(
  push: Consumer<Traces>,
  config: SenderConfig,
  runtime: Runtime,
): Component & Consumer<Traces> {
  const { id, log } = runtime;
  const limited = withTimeout(push, { id, timeoutMs: durationMs(config.timeout) });
  const retry = createRetry(limited, {
    id,
    log,
    initialMs: durationMs(config.retry_on_failure.initial_interval),
    maxMs: durationMs(config.retry_on_failure.max_interval),
    maxElapsedMs: durationMs(config.retry_on_failure.max_elapsed_time),
  });
  // Batches of several callers are not joined then: each is told what became of its own.
  if (config.sending_queue.enabled === false) return retry;
  const { num_consumers: concurrency } = config.sending_queue;
  const batcher = createBatcher<Traces>(limitConcurrency(retry, { id, concurrency }), {
    maxItems: config.batch.max_spans,
    maxWaitMs: durationMs(config.batch.max_wait),
    count: countItems,
    join: joinTraces,
  });
  const labels = { exporter: id };
  const queue = createQueue(batcher, {
    id,
    log,
    maxItems: config.sending_queue.queue_size,
    // Everything that waits may be joined.
    concurrency: Number.POSITIVE_INFINITY,
    onFull: config.sending_queue.block_on_overflow === true ? "wait" : "refuse",
    dropped: runtime.metrics.counter(
      "exporter_dropped_spans",
      "Spans given up after `max_elapsed_time`, or at the stop.",
      labels,
    ),
  });
  runtime.metrics.gauge("exporter_queue_size", "Spans that wait.", labels, () => queue.depth);
  runtime.metrics.gauge(
    "exporter_queue_capacity",
    "Spans that may wait.",
    labels,
    () => queue.capacity,
  );
  return {
    start: () => Promise.resolve(),
    consume: (batch, signal) => queue.consume(batch, signal),
    async stop(deadline) {
      await retry.stop(deadline);
      await Promise.all([queue.stop(deadline), batcher.stop(deadline)]);
    },
  };
}
