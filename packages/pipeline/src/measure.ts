import { errorCode } from "@countersign/model";
import { type Consumer, countItems, type Decisions, type Logs, type Traces } from "./consumer.ts";
import type { Metrics } from "./metrics.ts";

type AnyBatch = Traces | Logs | Decisions;

/** The Collector's word for what a batch holds, as its metric names end. */
function noun(batch: AnyBatch): "spans" | "log_records" {
  return "resourceSpans" in batch ? "spans" : "log_records";
}

/** Counts what an exporter sent and what it could not send. */
export function measureExporter<Batch extends AnyBatch>(
  next: Consumer<Batch>,
  exporter: string,
  metrics: Metrics,
): Consumer<Batch> {
  return {
    async consume(batch, signal) {
      const items = countItems(batch);
      try {
        await next.consume(batch, signal);
        metrics
          .counter(`exporter_sent_${noun(batch)}`, "Items that the destination took over.", {
            exporter,
          })
          .add(items);
      } catch (error) {
        const failed = (error as { failed?: readonly number[] }).failed?.length ?? items;
        metrics
          .counter(
            `exporter_send_failed_${noun(batch)}`,
            "Items in attempts that failed; those for now are sent again.",
            { exporter },
          )
          .add(failed);
        if (failed < items) {
          metrics
            .counter(`exporter_sent_${noun(batch)}`, "Items that the destination took over.", {
              exporter,
            })
            .add(items - failed);
        }
        throw error;
      }
    },
  };
}

/** Counts what a receiver handed on, what was refused for good, and what the sender has to send again. */
export function measureReceiver<Batch extends AnyBatch>(
  next: Consumer<Batch>,
  receiver: string,
  metrics: Metrics,
): Consumer<Batch> {
  const count = (batch: AnyBatch, what: "accepted" | "refused" | "failed", items: number): void => {
    metrics
      .counter(`receiver_${what}_${noun(batch)}`, RECEIVER_HELP[what], { receiver })
      .add(items);
  };
  return {
    async consume(batch, signal) {
      const items = countItems(batch);
      try {
        await next.consume(batch, signal);
        count(batch, "accepted", items);
      } catch (error) {
        const permanent = errorCode(error) === "INPUT_INVALID" || errorCode(error) === "REJECTED";
        count(batch, permanent ? "failed" : "refused", items);
        throw error;
      }
    },
  };
}

const RECEIVER_HELP = {
  accepted: "Items for which every pipeline took responsibility.",
  refused: "Items that the sender was asked to send again.",
  failed: "Items that were refused for good.",
} as const;
