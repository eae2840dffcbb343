import type { ExtensionSpec, Runtime } from "@countersign/pipeline";
import { ENDPOINT_SCHEMA, openToNetwork } from "../listen.ts";
import { createReadServer } from "./read-server.ts";

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
  create: ({ endpoint }: Config, runtime) => {
    processGauges(runtime);
    const type = "text/plain; version=0.0.4; charset=utf-8";
    const page = (): { status: number; type: string; body: string } => ({
      status: 200,
      type,
      body: runtime.metrics.render(),
    });
    return createReadServer({ endpoint, runtime, pages: new Map([["/metrics", page]]) });
  },
};

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
