import type { Logger } from "@countersign/model";
import type { Component } from "./component.ts";
import type { BatchKind, Batches, Consumer, Rebuilding, Signal } from "./consumer.ts";
import type { LetterBox } from "./letters.ts";
import type { Metrics } from "./metrics.ts";
import type { Queryable } from "./queryable.ts";
import type { ReceiptBox, Receipted } from "./receipts.ts";
import type { Retried } from "./retry.ts";
import type { Trace } from "./trace.ts";

/** What a component is for. */
export type ComponentKind =
  | "receiver"
  | "processor"
  | "exporter"
  | "connector"
  | "extension"
  | "client";

/** How far a component may be trusted to stay as it is. */
export type Stability = "experimental" | "beta" | "stable";

/** A JSON Schema (2020-12). Formats `duration` and `size` are known; members with a `default` are filled in. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** Names another component in a configuration. */
export interface Reference {
  /** Where in the component's configuration. */
  readonly path: readonly (string | number)[];
  readonly id: string;
  readonly kind: ComponentKind;
  /** The types it may have. Absent: any. */
  readonly types?: readonly string[];
  /** The component takes its data from there: together with a pipeline this can make a loop. */
  readonly feeds?: true;
}

/** Something a schema cannot see. */
export interface ConfigFault {
  readonly path: readonly (string | number)[];
  readonly message: string;
  /** What to do. */
  readonly fix: string;
  /** Surely not meant, or worth knowing, but it runs. */
  readonly severity?: "warning";
}

/** Health of a component: `degraded` works on it, `failed` needs somebody. */
export interface ComponentState {
  readonly state: "ok" | "degraded" | "failed";
  /** A constant sentence. */
  readonly detail?: string;
}

/** What every component gets from the service. */
export interface Runtime {
  /** `type` or `type/name`; messages start with it. */
  readonly id: string;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Says how it is; the last report counts. */
  report(state: ComponentState): void;
  readonly service: ServiceView;
  /** Settings that are one `${file:…}` and nothing else, by their path (`tls.cert`), and the file: it can be read again. */
  readonly files?: ReadonlyMap<string, string>;
  /** The service's own traces; absent: none are wanted. */
  readonly trace?: Trace;
  /**
   * Set by `replay` and `dlq redrive`, which run beside the service: what can have one writer only (a file) is written under
   * its own name with this behind it. Lower-case letters, digits, dots.
   */
  readonly beside?: string;
}

/** The rest of the service, as a component may see it. */
export interface ServiceView {
  /** A running exporter, for what reads from it or shows it. Known from the start on. */
  exporter(id: string): Component | undefined;
  /** A connection of the section `clients`, shared by what names it. Started before everything else, stopped last. */
  client(id: string): Component | undefined;
  /** An extension, for who is served by it. Known before receivers are made. */
  extension(id: string): Component | undefined;
  readonly deadLetters: LetterBox;
  readonly quarantine: LetterBox;
  /** Whether the service works, and the components that do not. */
  health(): ServiceHealth;
}

/** State of the whole service. */
export interface ServiceHealth {
  readonly phase: "starting" | "running" | "stopping";
  /** By kind and id: `exporter splunk_hec/soc`. */
  readonly components: ReadonlyMap<string, ComponentState>;
  /** Those of them that no sender is refused for, whatever their state: what is for them waits in a log, or may be dropped. */
  readonly beside: ReadonlySet<string>;
}

/** The head of a pipeline. */
export interface PipelineInput<Batch> {
  /** `decisions/siem`. */
  readonly pipeline: string;
  readonly consumer: Consumer<Batch>;
  /** What the pipeline ends in has a state to rebuild: a receiver that keeps its place reads from there again. */
  readonly rebuilding?: Rebuilding;
}

/** Heads of the pipelines that a receiver feeds, by what they take. */
export type PipelineInputs = {
  readonly [Kind in BatchKind]: readonly PipelineInput<Batches[Kind]>[];
};

/** What all specs have. */
export interface SpecBase {
  /** `lower_snake_case`, as configurations name it. */
  readonly type: string;
  readonly stability: Stability;
  /** One sentence. */
  readonly summary: string;
  readonly signals: readonly Signal[];
  /** Configuration: validation, documentation, and defaults. */
  readonly config: JsonSchema;
  /** What the schema cannot see. Called with a configuration that it accepts. */
  check?(config: never): readonly ConfigFault[];
  /** Other components that the configuration names. */
  references?(config: never): readonly Reference[];
  /**
   * What a receiver reads, or an exporter writes, outside of this service: names that are equal where it is the same thing.
   * Together with pipelines this can make a loop. `settingsOf` gives the settings of a client.
   */
  streams?(config: never, settingsOf: (client: string) => unknown): readonly string[];
}

/** Data comes in here. */
export interface ReceiverSpec extends SpecBase {
  readonly kind: "receiver";
  /** What it hands to a pipeline of a signal. */
  readonly gives: { readonly [S in Signal]?: BatchKind };
  /** It reads at its own pace and keeps its place: exporters behind it are retried without end. */
  readonly pulls?: true;
  /** Where its place is kept, if all its pipelines have one together: who names the same shares it. */
  position?(config: never): string;
  create(config: never, runtime: Runtime, next: PipelineInputs): Component;
}

/** One step of a pipeline; every pipeline has its own. */
export interface ProcessorSpec extends SpecBase {
  readonly kind: "processor";
  readonly takes: BatchKind;
  /** It takes these too where they come beside what it takes, and gives them on. */
  readonly passes?: BatchKind;
  readonly gives: BatchKind;
  create(config: never, runtime: Runtime, next: Consumer<never>): Component & Consumer<never>;
}

/** Data goes out here. One instance, however many pipelines end in it. */
export interface ExporterSpec extends SpecBase {
  readonly kind: "exporter";
  readonly takes: readonly BatchKind[];
  /** It keeps letters too: `service.dead_letter` and `service.quarantine` may name it. */
  readonly keepsLetters?: true;
  /** It keeps receipts too: `service.receipts` may name it. */
  readonly keepsReceipts?: true;
  /** The sink keeps one of each event however often it comes, at any distance: sending again makes no duplicate. */
  readonly deduplicates?: true;
  create(
    config: never,
    runtime: Runtime,
  ): Component &
    Consumer<never> &
    Partial<LetterBox> &
    Partial<ReceiptBox> &
    Receipted &
    Retried &
    Queryable;
}

/** Ends some pipelines and begins others: what it gives is made of what it takes. One instance, whatever ends or begins in it. */
export interface ConnectorSpec extends SpecBase {
  readonly kind: "connector";
  /** Pipelines that may end in it, and those that may begin in it. */
  readonly from: Signal;
  readonly to: Signal;
  /** What it hands to the pipelines that begin in it. */
  readonly gives: BatchKind;
  /** It makes its state of a log: the pipelines that end in it read from one, and end in nothing else. */
  readonly readsLog?: true;
  /** It makes nothing of what it made itself: what it gives may come back to it by way of a log. */
  readonly endsLoops?: true;
  create(
    config: never,
    runtime: Runtime,
    next: PipelineInputs,
  ): Component & Consumer<never> & Partial<Rebuilding>;
}

/** Serves the service, not the data. */
export interface ExtensionSpec extends SpecBase {
  readonly kind: "extension";
  create(config: never, runtime: Runtime): Component;
}

/** A connection that several components share. Its id in the section `clients` is a free name: a build has one type of client. */
export interface ClientSpec extends SpecBase {
  readonly kind: "client";
  create(config: never, runtime: Runtime): Component;
}

/** One component: its schema, what it is, how it is made. */
export type ComponentSpec =
  | ReceiverSpec
  | ProcessorSpec
  | ExporterSpec
  | ConnectorSpec
  | ExtensionSpec
  | ClientSpec;
