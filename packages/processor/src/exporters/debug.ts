import { kindOf } from "@countersign/model";
import {
  type Component,
  type Consumer,
  countItems,
  type Decisions,
  type ExporterSpec,
  type Runtime,
  type Traces,
} from "@countersign/pipeline";

/** Counts and ids in the log, to see that data flows. */
export const debugExporter: ExporterSpec = {
  kind: "exporter",
  type: "debug",
  stability: "beta",
  summary: "Logs how many spans or events passed, and an id; never what is in them.",
  signals: ["traces", "decisions"],
  takes: ["traces", "decisions"],
  config: { type: "object", additionalProperties: false, properties: {} },
  create: (_config: object, runtime) => new DebugExporter(runtime),
};

class DebugExporter implements Component, Consumer<Traces | Decisions> {
  readonly #runtime: Runtime;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  async consume(batch: Traces | Decisions): Promise<void> {
    if ("events" in batch) this.#logEvents(batch);
    else this.#logSpans(batch);
  }

  #logEvents({ events }: Decisions): void {
    const [first] = events;
    if (first === undefined) return;
    const kinds = new Set(events.map(({ event }) => kindOf(event.type) ?? "other"));
    this.#runtime.log.info("events", {
      count: events.length,
      kinds: [...kinds].join(","),
      first: first.event.id,
    });
  }

  #logSpans(batch: Traces): void {
    const count = countItems(batch);
    if (count === 0) return;
    const trace = batch.resourceSpans
      .flatMap((one) => one.scopeSpans ?? [])
      .flatMap((one) => one.spans ?? [])[0]?.traceId;
    this.#runtime.log.info("spans", { count, first: trace ?? "none" });
  }
}
