// A configuration that was read, as its readers and the graph know it.
import type { Signal } from "./consumer.ts";
import type {
  ClientSpec,
  ComponentKind,
  ComponentSpec,
  ConnectorSpec,
  ExporterSpec,
  ExtensionSpec,
  ProcessorSpec,
  ReceiverSpec,
} from "./spec.ts";

/** A component of a configuration: what it is, and its validated settings with defaults filled in. */
export interface Configured<Spec extends ComponentSpec> {
  readonly id: string;
  readonly spec: Spec;
  readonly config: unknown;
  /** Settings that are one `${file:…}` and nothing else, by their path in `config`, and the file. */
  readonly files?: ReadonlyMap<string, string>;
}

/** A pipeline of a configuration, checked: the batches of each step fit the next. */
export interface ConfiguredPipeline {
  /** `traces`, `decisions/siem`. */
  readonly id: string;
  readonly signal: Signal;
  readonly receivers: readonly string[];
  readonly processors: readonly string[];
  readonly exporters: readonly string[];
  /** What its head does when it is full. `drop` in traces only. */
  readonly onFull: "refuse" | "drop";
}

/** A configuration without a problem. Components that nothing uses are not in it. */
export interface Config {
  readonly receivers: ReadonlyMap<string, Configured<ReceiverSpec>>;
  readonly processors: ReadonlyMap<string, Configured<ProcessorSpec>>;
  readonly exporters: ReadonlyMap<string, Configured<ExporterSpec>>;
  readonly connectors: ReadonlyMap<string, Configured<ConnectorSpec>>;
  readonly extensions: ReadonlyMap<string, Configured<ExtensionSpec>>;
  /** Connections that components share, by their free names. */
  readonly clients: ReadonlyMap<string, Configured<ClientSpec>>;
  readonly pipelines: readonly ConfiguredPipeline[];
  /** How long a stop may take to bring what is under way to its end. */
  readonly drainTimeoutMs: number;
  /** Exporters that keep what can never be accepted, and what must not go on. */
  readonly deadLetter?: string;
  readonly quarantine?: string;
  /** The exporter that keeps receipts of what was delivered from a log. */
  readonly receipts?: string;
}

/** Names that are known elsewhere and not here, and what to do instead. Sentences without a full stop. */
export interface ConfigAdvice {
  /** By kind and type of a component. */
  readonly components: { readonly [Kind in ComponentKind]?: Readonly<Record<string, string>> };
  /** By `<kind>/<type>.<setting>`: `receiver/otlp.protocols.grpc`; `*` stands for any type. */
  readonly settings: Readonly<Record<string, string>>;
}
