// From exporters back to the head of each pipeline.
import type { Component } from "./component.ts";
import type { Config, ConfiguredPipeline } from "./configured.ts";
import type { Consumer, Decisions, Rebuilding, Traces } from "./consumer.ts";
import { fanout } from "./fanout.ts";
import type { Host } from "./host.ts";
import { deadLettering } from "./letters.ts";
import { measureExporter } from "./measure.ts";
import { createQueue } from "./queue.ts";
import { createReceiptBook, type Receipt, type ReceiptBook, type Receipted } from "./receipts.ts";
import { createRetry, type Retried } from "./retry.ts";
import { tracedExporter } from "./trace.ts";

/** A pipeline without its receivers. */
export interface BuiltPipeline {
  readonly shape: ConfiguredPipeline;
  readonly head: Consumer<never>;
  /** What stands between receivers and exporters, head first. */
  readonly parts: readonly Component[];
  readonly retries: readonly Component[];
  /** The connector at its end that rebuilds its state, if there is one. */
  readonly rebuilding?: Rebuilding;
}

/** What pipelines end in: an exporter, or a connector, which others begin in. */
type End = Component & Consumer<never> & Partial<Rebuilding>;

interface Context {
  readonly config: Config;
  readonly host: Host;
  readonly exporters: ReadonlyMap<string, Consumer<never>>;
  readonly connectors: Map<string, End>;
}

/** The pipelines of a configuration, and the connectors between them. */
export interface BuiltPipelines {
  /** In the order of the configuration. */
  readonly pipelines: readonly BuiltPipeline[];
  readonly connectors: ReadonlyMap<string, Component>;
  /** What stands between receivers and exporters, one after the other: whoever takes comes before whoever gives. */
  readonly stages: readonly Component[];
}

/** Spans that wait at the head of a pipeline that may drop. */
const DROP_QUEUE_SPANS = 8192;

/** Makes the pipelines of a configuration, from the exporters back; a connector when all that begins in it is there. */
export function buildPipelines(given: Omit<Context, "connectors">): BuiltPipelines {
  const context: Context = { ...given, connectors: new Map() };
  const built = new Map<ConfiguredPipeline, BuiltPipeline>();
  const stages: Component[] = [];
  const build = (shape: ConfiguredPipeline): void => {
    if (built.has(shape)) return;
    for (const id of shape.exporters.filter((one) => given.config.connectors.has(one))) {
      if (context.connectors.has(id)) continue;
      const begun = given.config.pipelines.filter(({ receivers }) => receivers.includes(id));
      for (const one of begun) build(one);
      const connector = createConnector(
        id,
        begun.map((one) => built.get(one) ?? missing(one.id)),
        context,
      );
      context.connectors.set(id, connector);
      stages.push(connector);
    }
    const pipeline = buildPipeline(shape, context);
    built.set(shape, pipeline);
    stages.push(...pipeline.parts.toReversed());
  };
  for (const shape of given.config.pipelines) build(shape);
  const pipelines = given.config.pipelines.map((shape) => built.get(shape) ?? missing(shape.id));
  return { pipelines, connectors: context.connectors, stages };
}

function createConnector(
  id: string,
  begun: readonly BuiltPipeline[],
  { config, host }: Context,
): End {
  const { spec, config: settings } = config.connectors.get(id) ?? missing(id);
  const inputs = begun.map(({ shape, head }) => ({ pipeline: shape.id, consumer: head }));
  const next = { traces: [], logs: [], decisions: [], [spec.gives]: inputs };
  return spec.create(settings as never, host.runtime("connector", id), next);
}

function buildPipeline(shape: ConfiguredPipeline, context: Context): BuiltPipeline {
  const retries: Component[] = [];
  const parts: Component[] = [];
  const book = bookOf(shape, context, retries);
  const edges = shape.exporters.map((id): Consumer<never> =>
    shape.signal === "traces"
      ? measureExporter<Traces>(
          tracedExporter<Traces>(exporterOf(id, context), id, context.host.trace),
          id,
          context.host.metrics,
        )
      : decisionsEdge(id, { shape, context, retries, book }),
  );
  let head: Consumer<never> = fanout(edges);
  for (const id of shape.processors.toReversed()) {
    const { spec, config } = context.config.processors.get(id) ?? missing(id);
    const processor = spec.create(config as never, context.host.runtime("processor", id), head);
    parts.unshift(processor);
    head = processor;
  }
  head = book?.head(head) ?? head;
  if (shape.onFull === "drop") {
    const queue = dropQueue(head, shape, context);
    parts.unshift(queue);
    head = queue;
  }
  const rebuilding = shape.exporters.flatMap((id) => rebuildingOf(context.connectors.get(id)))[0];
  return { shape, head, parts, retries, ...(rebuilding === undefined ? {} : { rebuilding }) };
}

function rebuildingOf(end: End | undefined): readonly Rebuilding[] {
  return end?.rebuildFrom === undefined ? [] : [end as Rebuilding];
}

function exporterOf(
  id: string,
  { exporters, connectors }: Context,
): Consumer<Traces> & Consumer<Decisions> & Receipted & Retried {
  return exporters.get(id) ?? connectors.get(id) ?? missing(id);
}

/** Decisions: refused for good means dead letter; behind a receiver that keeps its place, failures are tried again without end. */
function decisionsEdge(
  id: string,
  pipeline: {
    shape: ConfiguredPipeline;
    context: Context;
    retries: Component[];
    book: ReceiptBook | undefined;
  },
): Consumer<Decisions> {
  const { shape, context, retries, book } = pipeline;
  const { host } = context;
  const exporter = exporterOf(id, context);
  const counted = book?.within(id, exporter) ?? exporter;
  const traced = tracedExporter<Decisions>(counted, id, host.trace);
  const measured = measureExporter<Decisions>(traced, id, host.metrics);
  // What a connector cannot give on is not the fault of the events that it was made of.
  const lettered = context.connectors.has(id)
    ? measured
    : deadLettering(measured, id, host.view.deadLetters);
  if (!readsFromLog(shape, context)) return lettered;
  const retry = createRetry<Decisions>(lettered, {
    id,
    pick: pickEvents,
    log: host.logger(id),
    ...exporter.retry,
  });
  retries.push(retry);
  // A range of a log may hold no event: it has its receipt, and there is nothing to send. Who follows the log wants to know.
  const follows = context.connectors.has(id);
  const some: Consumer<Decisions> = {
    consume: async (batch, signal) => {
      if (batch.events.length > 0 || follows) await retry.consume(batch, signal);
    },
  };
  return book?.edge(id, some) ?? some;
}

function readsFromLog(shape: ConfiguredPipeline, { config }: Context): boolean {
  return shape.receivers.some((id) => config.receivers.get(id)?.spec.pulls === true);
}

/** Receipts are of what was read from a log, and only where the configuration names a place for them. */
function bookOf(
  shape: ConfiguredPipeline,
  context: Context,
  retries: Component[],
): ReceiptBook | undefined {
  const { host, exporters } = context;
  const box = host.receipts;
  if (box === undefined || shape.signal !== "decisions" || !readsFromLog(shape, context))
    return undefined;
  const keeper = createRetry<readonly Receipt[]>(
    { consume: (receipts, signal) => box.keep(receipts, signal) },
    { id: `receipts of ${shape.id}`, log: host.logger(shape.id) },
  );
  retries.push(keeper);
  // A connector delivers nothing: what is made in it has receipts of its own.
  const sinks = shape.exporters.flatMap((id) => {
    const exporter = exporters.get(id) as Receipted | undefined;
    return exporter === undefined ? [] : [[id, exporter] as const];
  });
  if (sinks.length === 0) return undefined;
  return createReceiptBook(new Map(sinks), keeper);
}

/** A part of a batch. Its origin stays: the receipt of a range is one whatever had to be sent twice. */
function pickEvents(batch: Decisions, indexes: readonly number[]): Decisions {
  const wanted = new Set(indexes);
  return { ...batch, events: batch.events.filter((_, index) => wanted.has(index)) };
}

function dropQueue(
  next: Consumer<never>,
  shape: ConfiguredPipeline,
  { host }: Context,
): Component & Consumer<Traces> {
  const labels = { pipeline: shape.id };
  const queue = createQueue(next, {
    id: shape.id,
    maxItems: DROP_QUEUE_SPANS,
    concurrency: 4,
    onFull: "drop",
    dropped: host.metrics.counter(
      "pipeline_dropped_spans",
      "Spans dropped: `on_full: drop`.",
      labels,
    ),
    log: host.logger(shape.id),
  });
  host.metrics.gauge("pipeline_queue_size", "Spans that wait.", labels, () => queue.depth);
  host.metrics.gauge(
    "pipeline_queue_capacity",
    "Spans that may wait.",
    labels,
    () => queue.capacity,
  );
  return queue;
}

function missing(id: string): never {
  throw new Error(`graph: ${id} is not configured; validate the configuration first`);
}
