export type { Component } from "./component.ts";
export { countItems } from "./consumer.ts";
export type {
  BatchKind,
  Batches,
  Consumer,
  Decisions,
  EventCarrier,
  Logs,
  Origin,
  Rebuilding,
  SentBy,
  Signal,
  Traces,
  WireSpans,
} from "./consumer.ts";
export type {
  AnyValue,
  KeyValue,
  LogRecord,
  Resource,
  ResourceLogs,
  ResourceSpans,
  Scope,
  ScopeLogs,
  ScopeSpans,
  Span,
  SpanEvent,
  SpanLink,
} from "./otlp-data.ts";
export { createBatcher } from "./batch.ts";
export type { BatchOptions } from "./batch.ts";
export { fanout } from "./fanout.ts";
export { limitConcurrency } from "./limit.ts";
export { createQueue } from "./queue.ts";
export type { Queue, QueueOptions } from "./queue.ts";
export { errorTypeOf } from "./trace.ts";
export type { Trace, Work } from "./trace.ts";
export { saidOf } from "./said-of.ts";
export { createRetry, isTransient } from "./retry.ts";
export type { Retried, RetryOptions } from "./retry.ts";
export { createSender, SENDER_PROPERTIES } from "./sender.ts";
export type { SenderConfig } from "./sender.ts";
export { withTimeout } from "./timeout.ts";
export { pause, throwIfAborted } from "./wait.ts";
export { deadLettering } from "./letters.ts";
export type { Letter, LetterBox } from "./letters.ts";
export { createMerkleTree, merkleRoot } from "./merkle-root.ts";
export type { MerkleTree } from "./merkle-root.ts";
export type { Queryable } from "./queryable.ts";
export type { Acknowledgement, Receipt, ReceiptBox, Receipted } from "./receipts.ts";
export { measureReceiver } from "./measure.ts";
export { createMetrics } from "./metrics.ts";
export type { Counter, Labels, Metrics } from "./metrics.ts";
export {
  DURATION_SCHEMA,
  durationMs,
  parseDuration,
  parseSize,
  SIZE_SCHEMA,
  sizeBytes,
} from "./units.ts";
export type {
  ClientSpec,
  ComponentKind,
  ComponentSpec,
  ComponentState,
  ConfigFault,
  ConnectorSpec,
  ExporterSpec,
  ExtensionSpec,
  JsonSchema,
  PipelineInput,
  PipelineInputs,
  ProcessorSpec,
  ReceiverSpec,
  Reference,
  Runtime,
  ServiceHealth,
  ServiceView,
  SpecBase,
  Stability,
} from "./spec.ts";
export { parseComponentId } from "./component-id.ts";
export type { ComponentId } from "./component-id.ts";
export { parseEndpoint } from "./config-schema.ts";
export type { Endpoint } from "./config-schema.ts";
export { ConfigError, readConfig } from "./config.ts";
export { readJson } from "./json-document.ts";
export type { JsonDocument } from "./json-document.ts";
export type { ConfigSource, LoadedConfig } from "./config.ts";
export type { Config, ConfigAdvice, Configured, ConfiguredPipeline } from "./configured.ts";
export { createGraph } from "./graph.ts";
export type { Graph, GraphOptions } from "./graph.ts";
