import { createServer, type Server } from "node:http";
import type { Component, ExtensionSpec, Runtime } from "@countersign/pipeline";
import {
  asksForLoopback,
  ENDPOINT_SCHEMA,
  endpointOf,
  listen,
  loopbackOnly,
  stopListening,
} from "../listen.ts";

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
  check: ({ endpoint }: Config) => loopbackOnly(endpoint, ["endpoint"]),
  create: (config: Config, runtime) => new MetricsServer(config, runtime),
};

class MetricsServer implements Component {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #server: Server;
  url = "";

  constructor(config: Config, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    processGauges(runtime);
    this.#server = createServer(
      { requestTimeout: 5000, headersTimeout: 5000, maxHeaderSize: 8192 },
      (request, response) => {
        const path = (request.url ?? "").split("?", 1)[0];
        const read = request.method === "GET" || request.method === "HEAD";
        const known = path === "/metrics" && read && asksForLoopback(request);
        response.writeHead(known ? 200 : 404, {
          "content-type": "text/plain; version=0.0.4; charset=utf-8",
        });
        response.end(known ? runtime.metrics.render() : "GET /metrics\n");
      },
    );
    this.#server.maxConnections = 64;
  }

  async start(): Promise<void> {
    this.url = await listen(this.#server, endpointOf(this.#config.endpoint), this.#runtime.id);
  }

  async stop(deadline: AbortSignal): Promise<void> {
    await stopListening(this.#server, deadline);
  }
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
