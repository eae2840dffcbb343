import { CountersignError } from "@countersign/model";
import { formatProblem, parseDocument, type Problem } from "@countersign/model/document";
import { checkComponents } from "./config-components.ts";
import { expandVariables } from "./config-expand.ts";
import { checkPipelines } from "./config-pipelines.ts";
import { createReport } from "./config-report.ts";
import { checkShape } from "./config-shape.ts";
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

/** What came of reading a configuration. With a problem there is no config. */
export interface LoadedConfig {
  readonly config?: Config;
  readonly problems: readonly Problem[];
  /** Nothing wrong, but surely not meant. */
  readonly warnings: readonly Problem[];
}

/** Where a configuration comes from. */
export interface ConfigSource {
  readonly text: string;
  /** For messages. */
  readonly file: string;
  /** What this build contains. */
  readonly components: readonly ComponentSpec[];
  /** For `${env:X}`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What to do instead, for those who come from another service with configurations like ours. */
  readonly advice?: ConfigAdvice;
}

/** Names that are known elsewhere and not here, and what to do instead. Sentences without a full stop. */
export interface ConfigAdvice {
  /** By kind and type of a component. */
  readonly components: { readonly [Kind in ComponentKind]?: Readonly<Record<string, string>> };
  /** By `<kind>/<type>.<setting>`: `receiver/otlp.protocols.grpc`; `*` stands for any type. */
  readonly settings: Readonly<Record<string, string>>;
}

/** Reads a configuration and finds every problem in it, each with its place and what to do. Never throws. */
export function readConfig(source: ConfigSource): LoadedConfig {
  const document = parseDocument(source.text, source.file);
  if (document.problems.length > 0) return { problems: document.problems, warnings: [] };
  const report = createReport(document);
  const expanded = expandVariables(document.value, source.env, report);
  const shape = checkShape(expanded.value, report);
  if (shape === undefined) return report.done();
  const components = checkComponents(shape, {
    specs: source.components,
    expanded,
    report,
    advice: source.advice ?? { components: {}, settings: {} },
  });
  const pipelines = checkPipelines(shape, components, report);
  const { problems, warnings } = report.done();
  if (problems.length > 0 || pipelines === undefined) return { problems, warnings };
  return { config: pipelines, problems, warnings };
}

/** A configuration that cannot be used: CONFIG_INVALID, with every problem. */
export class ConfigError extends CountersignError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super("CONFIG_INVALID", `config: ${problems.map(formatProblem).join("\n")}`);
    this.problems = problems;
  }
}
