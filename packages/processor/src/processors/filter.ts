import { type EventKind, kindOf } from "@countersign/model";
import type { Component, Consumer, Decisions, ProcessorSpec, Runtime } from "@countersign/pipeline";

interface Config {
  readonly types: readonly EventKind[];
}

const KINDS: readonly EventKind[] = [
  "start",
  "decision",
  "outcome",
  "heartbeat",
  "lost",
  "stop",
  "withheld",
  "finding",
];

/** Lets events of some kinds through. */
export const filterProcessor: ProcessorSpec = {
  kind: "processor",
  type: "filter",
  stability: "beta",
  summary: "Lets events of the listed kinds through; the others end here, counted.",
  signals: ["decisions"],
  takes: "decisions",
  gives: "decisions",
  config: {
    type: "object",
    additionalProperties: false,
    required: ["types"],
    properties: {
      types: {
        type: "array",
        minItems: 1,
        uniqueItems: true,
        items: { enum: KINDS },
        description: `Kinds that pass: ${KINDS.join(", ")}.`,
        examples: [["decision", "withheld"]],
      },
    },
  },
  create: (config: Config, runtime, next) => new Filter(config, runtime, next),
};

class Filter implements Component, Consumer<Decisions> {
  readonly #types: ReadonlySet<EventKind>;
  readonly #runtime: Runtime;
  readonly #next: Consumer<Decisions>;

  constructor(config: Config, runtime: Runtime, next: Consumer<Decisions>) {
    this.#types = new Set(config.types);
    this.#runtime = runtime;
    this.#next = next;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** The origin stays: a receipt names the range that was read, filtered or not. */
  async consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    const events = batch.events.filter(({ event }) => {
      const kind = kindOf(event.type);
      return kind !== undefined && this.#types.has(kind);
    });
    if (events.length > 0) await this.#next.consume({ ...batch, events }, signal);
    const filtered = batch.events.length - events.length;
    if (filtered === 0) return;
    const help = "Events of kinds that are not let through.";
    this.#runtime.metrics
      .counter("processor_filtered_log_records", help, { processor: this.#runtime.id })
      .add(filtered);
  }
}
