import { createServer, type Server, type ServerResponse } from "node:http";
import type { Component, ExtensionSpec, Runtime, ServiceHealth } from "@countersign/pipeline";
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

/** Is it alive, does it work? */
export const healthCheckExtension: ExtensionSpec = {
  kind: "extension",
  type: "health_check",
  stability: "beta",
  summary:
    "HTTP: / and /ready answer 200 when the service works, else 503; /live when the process does.",
  signals: [],
  config: {
    type: "object",
    additionalProperties: false,
    properties: { endpoint: { ...ENDPOINT_SCHEMA, default: "127.0.0.1:13133" } },
  },
  check: ({ endpoint }: Config) => loopbackOnly(endpoint, ["endpoint"]),
  create: (config: Config, runtime) => new HealthCheck(config, runtime),
};

class HealthCheck implements Component {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #server: Server;
  url = "";

  constructor(config: Config, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    this.#server = createServer(
      { requestTimeout: 5000, headersTimeout: 5000, maxHeaderSize: 8192 },
      (request, response) => {
        const path = (request.url ?? "").split("?", 1)[0];
        const read = request.method === "GET" || request.method === "HEAD";
        if (!read || !asksForLoopback(request))
          answer(response, read ? 403 : 405, { status: "refused" });
        else if (path === "/live") answer(response, 200, { status: "alive" });
        else if (path === "/" || path === "/ready") this.#ready(response);
        else answer(response, 404, { status: "unknown path" });
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

  #ready(response: ServerResponse): void {
    const health = this.#runtime.service.health();
    const problems = problemsOf(health);
    const failed = problems.some(({ state }) => state === "failed");
    const ready = health.phase === "running" && !failed;
    answer(response, ready ? 200 : 503, {
      status: ready ? "ready" : failed ? "failed" : health.phase,
      problems,
    });
  }
}

function problemsOf({
  components,
}: ServiceHealth): readonly { component: string; state: string; detail?: string }[] {
  return [...components].flatMap(([component, state]) =>
    state.state === "ok" ? [] : [{ component, ...state }],
  );
}

function answer(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store" });
  response.end(`${JSON.stringify(body)}\n`);
}
