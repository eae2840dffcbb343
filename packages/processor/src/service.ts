import { type Logger, stderrLogger } from "@countersign/model";
import {
  type Component,
  type Config,
  createGraph,
  createMetrics,
  type Graph,
  type ServiceHealth,
  type Trace,
} from "@countersign/pipeline";

/** What a service needs from its process. */
export interface ServiceOptions {
  /** A logger for a component; default: standard error. */
  readonly logger?: (component: string) => Logger;
  /** The service's own traces; default: none. */
  readonly trace?: Trace;
}

/** A configuration, running. */
export interface Service {
  /** Starts every component. Rejects with the first that cannot; what had started is stopped. */
  start(signal?: AbortSignal): Promise<void>;
  /** Refuses what is new and drains, until `deadline` aborts. Rejects an `AggregateError` when something did not stop in order. */
  stop(deadline: AbortSignal): Promise<void>;
  /** Address of the console with its token; undefined without one, or before the start. */
  readonly consoleUrl: string | undefined;
  /** Where components listen, by id, without tokens: `{ otlp: "http://127.0.0.1:4318", … }`. */
  readonly endpoints: Readonly<Record<string, string>>;
  health(): ServiceHealth;
}

/** Makes a service of a configuration. Nothing runs before `start`. */
export function createService(config: Config, options: ServiceOptions = {}): Service {
  const logger = options.logger ?? ((component: string) => stderrLogger(component));
  const { trace } = options;
  const traced = trace === undefined ? {} : { trace };
  const graph = createGraph({ config, metrics: createMetrics(), logger, ...traced });
  return new GraphService(config, graph);
}

class GraphService implements Service {
  readonly #config: Config;
  readonly #graph: Graph;

  constructor(config: Config, graph: Graph) {
    this.#config = config;
    this.#graph = graph;
  }

  async start(signal: AbortSignal = new AbortController().signal): Promise<void> {
    try {
      await this.#graph.start(signal);
    } catch (error) {
      await this.#graph.stop(AbortSignal.timeout(5000)).catch(() => undefined);
      throw error;
    }
  }

  stop(deadline: AbortSignal): Promise<void> {
    return this.#graph.stop(deadline);
  }

  get consoleUrl(): string | undefined {
    for (const [id, { spec }] of this.#config.extensions) {
      if (spec.type === "console") return urlOf(this.#graph.component("extension", id));
    }
    return undefined;
  }

  get endpoints(): Readonly<Record<string, string>> {
    const ids = [
      ...[...this.#config.receivers.keys()].map((id) => ["receiver", id] as const),
      ...[...this.#config.extensions.keys()].map((id) => ["extension", id] as const),
    ];
    const found = ids.flatMap(([kind, id]) => {
      const url = urlOf(this.#graph.component(kind, id));
      return url === undefined ? [] : [[id, new URL(url).origin] as const];
    });
    return Object.fromEntries(found);
  }

  health(): ServiceHealth {
    return this.#graph.health();
  }
}

function urlOf(component: Component | undefined): string | undefined {
  const url = (component as { url?: unknown } | undefined)?.url;
  return typeof url === "string" && url !== "" ? url : undefined;
}
