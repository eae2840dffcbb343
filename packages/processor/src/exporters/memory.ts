import type { SpanView, TraceSource } from "@countersign/console";
import {
  type Component,
  type Consumer,
  type ExporterSpec,
  type Runtime,
  sizeBytes,
  type Traces,
} from "@countersign/pipeline";
import { spanView } from "./span-view.ts";

interface Config {
  readonly traces: number;
  readonly spans_per_trace: number;
  readonly max_size: string;
}

/** The newest traces, for the console. */
export const memoryExporter: ExporterSpec = {
  kind: "exporter",
  type: "memory",
  stability: "beta",
  summary: "Keeps the newest traces in memory for the console; the oldest make room.",
  signals: ["traces"],
  takes: ["traces"],
  config: {
    type: "object",
    additionalProperties: false,
    properties: {
      traces: {
        type: "integer",
        minimum: 1,
        maximum: 100_000,
        default: 1000,
        description: "Traces that are kept.",
      },
      spans_per_trace: {
        type: "integer",
        minimum: 1,
        maximum: 10_000,
        default: 512,
        description: "Spans of one trace that are kept; later ones are counted and forgotten.",
      },
      max_size: {
        type: "string",
        format: "size",
        default: "64MiB",
        description: "Memory of all traces, estimated: 64MiB.",
      },
    },
  },
  create: (config: Config, runtime) => new MemoryExporter(config, runtime),
};

/** The traces that a component keeps; undefined if it is another exporter. */
export function tracesOf(component: Component | undefined): TraceSource | undefined {
  return component instanceof MemoryExporter ? component : undefined;
}

interface Held {
  readonly spans: Map<string, SpanView>;
  bytes: number;
}

class MemoryExporter implements Component, Consumer<Traces>, TraceSource {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #maxBytes: number;
  /** Oldest first: by the arrival of a trace's first span. */
  readonly #traces = new Map<string, Held>();
  #bytes = 0;

  constructor(config: Config, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    this.#maxBytes = sizeBytes(config.max_size);
    const labels = { exporter: runtime.id };
    runtime.metrics.gauge(
      "exporter_memory_traces",
      "Traces that are kept.",
      labels,
      () => this.#traces.size,
    );
    runtime.metrics.gauge(
      "exporter_memory_bytes",
      "Their size, estimated.",
      labels,
      () => this.#bytes,
    );
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  async consume(batch: Traces): Promise<void> {
    for (const { resource, scopeSpans = [] } of batch.resourceSpans) {
      const service = resource?.attributes?.find(({ key }) => key === "service.name")?.value
        ?.stringValue;
      for (const { spans = [] } of scopeSpans) {
        for (const span of spans)
          if (span.traceId !== undefined) this.#hold(span.traceId, spanView(span, service));
      }
    }
  }

  trace(traceId: string): Promise<readonly SpanView[]> {
    return Promise.resolve([...(this.#traces.get(traceId.toLowerCase())?.spans.values() ?? [])]);
  }

  #hold(traceId: string, view: SpanView): void {
    let held = this.#traces.get(traceId);
    if (held === undefined) {
      held = { spans: new Map(), bytes: 0 };
      this.#traces.set(traceId, held);
    }
    const known = held.spans.get(view.spanId);
    if (known === undefined && held.spans.size >= this.#config.spans_per_trace) {
      this.#forgotten(1);
      return;
    }
    const grown = sizeOf(view) - (known === undefined ? 0 : sizeOf(known));
    held.spans.set(view.spanId, view);
    held.bytes += grown;
    this.#bytes += grown;
    this.#evict();
  }

  /** The newest trace stays even if it alone is over the size: it is bounded by its spans. */
  #evict(): void {
    for (const [traceId, { bytes, spans }] of this.#traces) {
      const full = this.#traces.size > this.#config.traces || this.#bytes > this.#maxBytes;
      if (!full || this.#traces.size === 1) return;
      this.#traces.delete(traceId);
      this.#bytes -= bytes;
      this.#forgotten(spans.size);
    }
  }

  #forgotten(spans: number): void {
    const help = "Spans that made room, or were over the bound of their trace.";
    this.#runtime.metrics
      .counter("exporter_memory_evicted_spans", help, { exporter: this.#runtime.id })
      .add(spans);
  }
}

const SPAN_OVERHEAD = 300;
const ATTRIBUTE_OVERHEAD = 60;

/** Two bytes for each character, and what objects cost. */
function sizeOf(view: SpanView): number {
  let size = SPAN_OVERHEAD + 2 * (view.name.length + (view.service?.length ?? 0));
  for (const [key, value] of Object.entries(view.attributes)) {
    size += ATTRIBUTE_OVERHEAD + 2 * (key.length + (typeof value === "string" ? value.length : 4));
  }
  return size;
}
