import type { ExtensionSpec, Runtime } from "@countersign/pipeline";
import { ENDPOINT_SCHEMA, openToNetwork } from "../listen.ts";
import { eventLoopDelay } from "./event-loop-delay.ts";
import { createReadServer, type Page, type ReadServer } from "./read-server.ts";

interface Config {
  readonly endpoint: string;
}

/** Figures for Prometheus. */
export const metricsExtension: ExtensionSpec = {
  kind: "extension",
  type: "metrics",
  stability: "beta",
  summary: "Prometheus text at /metrics, with the Collector's names after `countersign_`.",
  signals: [],
  config: {
    type: "object",
    additionalProperties: false,
    properties: { endpoint: { ...ENDPOINT_SCHEMA, default: "127.0.0.1:8888" } },
  },
  check: ({ endpoint }: Config) => openToNetwork(endpoint, ["endpoint"]),
  create: ({ endpoint }: Config, runtime) => metricsServer(endpoint, runtime),
};

function metricsServer(endpoint: string, runtime: Runtime): ReadServer {
  processGauges(runtime);
  const delay = eventLoopDelay(runtime.metrics);
  const page = (): Page => {
    const body = runtime.metrics.render();
    delay.reset();
    return { status: 200, type: "text/plain; version=0.0.4; charset=utf-8", body };
  };
  const server = createReadServer({ endpoint, runtime, pages: new Map([["/metrics", page]]) });
  return {
    get url() {
      return server.url;
    },
    start: async (signal) => {
      delay.start();
      await server.start(signal);
    },
    stop: async (deadline) => {
      delay.stop();
      await server.stop(deadline);
    },
  };
}

function processGauges({ metrics }: Runtime): void {
  metrics.gauge("process_uptime_seconds", "Since the process began.", {}, () => process.uptime());
  metrics.gauge("process_memory_rss", "Resident memory in bytes.", {}, () =>
    process.memoryUsage.rss(),
  );
  metrics.gauge(
    "process_runtime_heap_alloc_bytes",
    "Heap in use.",
    {},
    () => process.memoryUsage().heapUsed,
  );
  metrics.gauge("process_cpu_seconds", "CPU time, user and system.", {}, () => {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
  });
}
