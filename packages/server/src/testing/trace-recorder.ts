import { context, propagation } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import {
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
  TracerProvider,
} from "@opentelemetry/sdk-trace";

/** A real tracer that keeps finished spans, with real context and W3C propagation switched on for one test file. */
export interface TraceRecorder {
  readonly provider: TracerProvider;
  spans(): ReadableSpan[];
  /** The last one of a name. */
  span(name: string): ReadableSpan | undefined;
  reset(): void;
  close(): Promise<void>;
}

/** Undo with `close`: the API's globals are one per process, and test files share it. */
export function recordTraces(): TraceRecorder {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  return {
    provider,
    spans: () => exporter.getFinishedSpans(),
    span: (name) => exporter.getFinishedSpans().findLast((one) => one.name === name),
    reset: () => exporter.reset(),
    close: async () => {
      context.disable();
      propagation.disable();
      await provider.shutdown();
    },
  };
}
