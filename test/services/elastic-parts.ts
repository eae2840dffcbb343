// The elasticsearch exporter before a real engine, with the retries that the service puts around it.
import { createServer, request as httpRequest, type Server } from "node:http";
import type { SealedEvent } from "@countersign/model";
import { silentLogger } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  type Consumer,
  createMetrics,
  createRetry,
  type Decisions,
  type Queryable,
  type Retried,
} from "@countersign/pipeline";
import { elasticsearchExporter } from "../../packages/processor/src/exporters/elasticsearch.ts";
import type { ElasticsearchConfig } from "../../packages/processor/src/exporters/elasticsearch/settings.ts";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { runtimeOf, SIGNAL } from "../../packages/processor/src/testing/exporters.ts";
import type { SearchEngine } from "./search-engine.ts";

/** An exporter that runs. */
export interface Delivery {
  readonly exporter: Component & Consumer<Decisions> & Retried & Required<Queryable>;
  /** Tries again without end, as in the service: only what failed. */
  readonly lasting: Consumer<Decisions>;
  readonly states: readonly ComponentState[];
  readonly duplicates: number;
  stop(): Promise<void>;
}

/** Starts one. */
export async function deliveryTo(
  endpoint: string,
  stream: string,
  more: Partial<ElasticsearchConfig> = {},
): Promise<Delivery> {
  const metrics = createMetrics();
  const states: ComponentState[] = [];
  const config: ElasticsearchConfig = {
    endpoint,
    data_stream: stream,
    format: "ecs",
    insecure: false,
    timeout: "30s",
    compression: "gzip",
    retry: { initial: "50ms", max: "500ms" },
    max_events: 1000,
    max_body: "5MiB",
    deduplicate: "restart",
    ...more,
  };
  const runtime = {
    ...runtimeOf("elasticsearch/test", metrics),
    log: silentLogger,
    report: (state: ComponentState) => void states.push(state),
  };
  const exporter = elasticsearchExporter.create(
    config as never,
    runtime,
  ) as unknown as Delivery["exporter"];
  await exporter.start(SIGNAL);
  const retry = createRetry<Decisions>(exporter, {
    id: "elasticsearch/test",
    ...exporter.retry,
    pick: ({ events, ...batch }, indexes) => ({
      ...batch,
      events: indexes.map((index) => events[index] as SealedEvent),
    }),
  });
  return {
    exporter,
    lasting: retry,
    states,
    get duplicates() {
      const labels = { exporter: "elasticsearch/test" };
      return metrics.counter("exporter_duplicate_log_records", "", labels).value;
    },
    stop: async () => {
      await retry.stop(AbortSignal.timeout(1000));
      await exporter.stop(AbortSignal.timeout(10_000));
    },
  };
}

let epochs = 0;

/** Batches as a log hands them on, `size` events each, in order. */
export function batchesOfLog(count: number, size: number): readonly Decisions[] {
  epochs += 1;
  const epoch = epochs.toString(16).padStart(32, "0");
  const events = sealedEvents(count * size, { epoch });
  return Array.from({ length: count }, (_, at) => ({
    events: events.slice(at * size, (at + 1) * size),
    origin: {
      log: `log-${epochs}`,
      partition: 0,
      first: BigInt(at * size),
      last: BigInt((at + 1) * size - 1),
    },
  }));
}

/** What a data stream has: documents, and how many different events they are. */
export async function counted(
  engine: SearchEngine,
  delivery: Delivery,
  stream: string,
): Promise<{ documents: number; distinct: number }> {
  const ids: string[] = [];
  const range = { fromMs: 0, untilMs: Date.UTC(2100, 0) };
  for await (const id of delivery.exporter.held(range, SIGNAL)) ids.push(id);
  const { body } = await engine.ask("GET", `/${stream}/_count`);
  return { documents: (body as { count: number }).count, distinct: new Set(ids).size };
}

/** A proxy that answers the next requests to `_bulk` itself, or after it passed them on. */
export interface RefusingProxy {
  readonly url: string;
  /** Status for each of the next bulk requests. `after: true`: the engine has carried it out. */
  readonly refusals: { status: number; after?: boolean; retryAfter?: string }[];
  close(): Promise<void>;
}

/** Listens on loopback before an engine without TLS. */
export async function refusingProxy(engine: SearchEngine): Promise<RefusingProxy> {
  const refusals: RefusingProxy["refusals"] = [];
  const server: Server = createServer((request, response) => {
    const refusal = request.url?.includes("/_bulk") === true ? refusals.shift() : undefined;
    const refuse = (status: number, retryAfter = "0"): void =>
      void response.writeHead(status, { "retry-after": retryAfter }).end("<html>no</html>");
    if (refusal !== undefined && refusal.after !== true) {
      request.resume().once("end", () => refuse(refusal.status, refusal.retryAfter));
      return;
    }
    const { method, headers, url } = request;
    const to = { host: "127.0.0.1", port: engine.port, path: url, method, headers };
    const passed = httpRequest(to, (answer) => {
      if (refusal !== undefined) {
        answer.resume().once("end", () => refuse(refusal.status));
        return;
      }
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    request.pipe(passed);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    refusals,
    close: () =>
      new Promise((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  };
}
