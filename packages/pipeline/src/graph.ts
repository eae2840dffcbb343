// A configuration, running. Consumers start before producers; receivers stop first.
import type { Logger } from "@countersign/model";
import type { Component } from "./component.ts";
import type { Config, Configured } from "./configured.ts";
import type { BatchKind, Batches, Consumer } from "./consumer.ts";
import { buildPipelines, type BuiltPipeline } from "./graph-pipelines.ts";
import { createHost, type Host } from "./host.ts";
import type { Metrics } from "./metrics.ts";
import type {
  ComponentSpec,
  PipelineInput,
  PipelineInputs,
  ReceiverSpec,
  ServiceHealth,
} from "./spec.ts";
import type { Trace } from "./trace.ts";

/** What a graph needs from the service. */
export interface GraphOptions {
  readonly config: Config;
  readonly metrics: Metrics;
  /** A logger for a component. */
  readonly logger: (id: string) => Logger;
  /** The service's own traces; absent: none. */
  readonly trace?: Trace;
  /** Set when the service itself may run in another process: see `Runtime.beside`. */
  readonly beside?: string;
}

/** Every component of a configuration, connected. */
export interface Graph extends Component {
  /** A component that runs, for those who ask for more than its contract. */
  component(kind: ComponentSpec["kind"], id: string): Component | undefined;
  health(): ServiceHealth;
}

/** Makes every component of a configuration and connects them. Nothing runs before `start`. */
export function createGraph(options: GraphOptions): Graph {
  const host = createHost(options);
  const clients = new Map<string, Component>();
  for (const [id, { spec, config }] of options.config.clients) {
    clients.set(id, spec.create(config as never, host.runtime("client", id)));
  }
  const exporters = new Map<string, Component & Consumer<never>>();
  for (const [id, { spec, config }] of options.config.exporters) {
    exporters.set(id, spec.create(config as never, host.runtime("exporter", id)));
  }
  const extensions = new Map<string, Component>();
  host.connect({ exporters, clients, extensions }, options.config);
  const { pipelines, connectors, stages } = buildPipelines({
    config: options.config,
    host,
    exporters,
  });
  for (const [id, { spec, config, files }] of options.config.extensions) {
    extensions.set(id, spec.create(config as never, host.runtime("extension", id, files)));
  }
  const receivers = new Map<string, Component>();
  for (const [id, receiver] of options.config.receivers) {
    receivers.set(id, createReceiver(receiver, pipelines, host));
  }
  return new RunningGraph({
    host,
    clients,
    exporters,
    pipelines,
    connectors,
    stages,
    extensions,
    receivers,
  });
}

function createReceiver(
  { id, spec, config, files }: Configured<ReceiverSpec>,
  pipelines: readonly BuiltPipeline[],
  host: Host,
): Component {
  const inputs = (kind: BatchKind): readonly PipelineInput<Batches[BatchKind]>[] =>
    pipelines
      .filter(({ shape }) => shape.receivers.includes(id) && spec.gives[shape.signal] === kind)
      .map(({ shape, head, rebuilding }) => ({
        pipeline: shape.id,
        consumer: head,
        ...(rebuilding === undefined ? {} : { rebuilding }),
      }));
  const next = {
    traces: inputs("traces"),
    logs: inputs("logs"),
    decisions: inputs("decisions"),
  } as unknown as PipelineInputs;
  return spec.create(config as never, host.runtime("receiver", id, files), next);
}

interface Parts {
  readonly host: Host;
  readonly clients: ReadonlyMap<string, Component>;
  readonly exporters: ReadonlyMap<string, Component>;
  readonly pipelines: readonly BuiltPipeline[];
  readonly connectors: ReadonlyMap<string, Component>;
  readonly stages: readonly Component[];
  readonly extensions: ReadonlyMap<string, Component>;
  readonly receivers: ReadonlyMap<string, Component>;
}

class RunningGraph implements Graph {
  readonly #parts: Parts;
  #stopped: Promise<void> | undefined;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  component(kind: ComponentSpec["kind"], id: string): Component | undefined {
    const { clients, exporters, connectors, extensions, receivers } = this.#parts;
    if (kind === "connector") return connectors.get(id);
    if (kind === "client") return clients.get(id);
    if (kind === "exporter") return exporters.get(id);
    if (kind === "extension") return extensions.get(id);
    return kind === "receiver" ? receivers.get(id) : undefined;
  }

  health(): ServiceHealth {
    return this.#parts.host.health();
  }

  async start(signal: AbortSignal): Promise<void> {
    const { host, clients, exporters, stages, extensions, receivers } = this.#parts;
    const inOrder = [
      ...clients.values(),
      ...exporters.values(),
      ...stages,
      ...extensions.values(),
      ...receivers.values(),
    ];
    for (const component of inOrder) await component.start(signal);
    host.enter("running");
  }

  stop(deadline: AbortSignal): Promise<void> {
    this.#stopped ??= this.#stop(deadline);
    return this.#stopped;
  }

  /** Each stage drains into one that still works. One failure does not keep the rest from stopping. */
  async #stop(deadline: AbortSignal): Promise<void> {
    const { host, clients, exporters, pipelines, stages, extensions, receivers } = this.#parts;
    host.enter("stopping");
    const failures: unknown[] = [];
    const all = async (components: Iterable<Component>): Promise<void> => {
      const stops = [...components].map((component) => component.stop(deadline));
      for (const result of await Promise.allSettled(stops)) {
        if (result.status === "rejected") failures.push(result.reason);
      }
    };
    // Whoever waits to try again gives up now, so that nothing below waits for it.
    await all(pipelines.flatMap(({ retries }) => retries));
    await all(receivers.values());
    for (const stage of stages.toReversed()) await all([stage]);
    await all(extensions.values());
    await all(exporters.values());
    await all(clients.values());
    if (failures.length > 0)
      throw new AggregateError(failures, "service: not everything stopped in order");
  }
}
