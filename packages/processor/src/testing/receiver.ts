// A running OTLP receiver, and requests to it, for tests.
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest, type RequestOptions } from "node:https";
import { silentLogger } from "@countersign/model";
import {
  type Component,
  type ComponentState,
  type Consumer,
  createMetrics,
  type Logs,
  type Metrics,
  type Runtime,
  type Traces,
} from "@countersign/pipeline";
import { otlpReceiver } from "../receivers/otlp.ts";

/** What came back. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A receiver that runs. */
export interface RunningReceiver {
  readonly url: string;
  readonly port: number;
  readonly metrics: Metrics;
  readonly states: readonly ComponentState[];
  /** A line of the metrics that begins like this; its value. */
  metric(name: string): number;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** What is behind it, and how it is set. */
export interface ReceiverParts {
  readonly traces?: Consumer<Traces>["consume"];
  readonly more?: Consumer<Traces>["consume"];
  readonly logs?: Consumer<Logs>["consume"];
  readonly http?: object;
  readonly extension?: Component;
  readonly files?: ReadonlyMap<string, string>;
  readonly log?: Runtime["log"];
}

function input<Batch>(
  consume: Consumer<Batch>["consume"] | undefined,
  pipeline: string,
): { pipeline: string; consumer: Consumer<Batch> }[] {
  return consume === undefined ? [] : [{ pipeline, consumer: { consume } }];
}

/** Starts one on a free port; `await using` stops it. */
export async function startReceiver(parts: ReceiverParts): Promise<RunningReceiver> {
  const metrics = createMetrics();
  const states: ComponentState[] = [];
  const http = {
    endpoint: "127.0.0.1:0",
    max_request_body_size: "64KiB",
    max_decompressed_size: "256KiB",
    max_concurrent_requests: 2,
    max_connections: 64,
    header_timeout: "5s",
    read_timeout: "15s",
    idle_timeout: "60s",
    ...parts.http,
  };
  const runtime: Runtime = {
    id: "otlp",
    log: parts.log ?? silentLogger,
    metrics,
    report: (state) => void states.push(state),
    service: { extension: () => parts.extension } as never,
    ...(parts.files === undefined ? {} : { files: parts.files }),
  };
  const component = otlpReceiver.create({ protocols: { http } } as never, runtime, {
    traces: [...input(parts.traces, "traces"), ...input(parts.more, "traces/2")],
    logs: input(parts.logs, "decisions"),
    decisions: [],
  }) as Component & { readonly url: string };
  await component.start(new AbortController().signal);
  const stop = (): Promise<void> => component.stop(AbortSignal.timeout(5000));
  return {
    url: component.url,
    port: Number(new URL(component.url).port),
    metrics,
    states,
    metric: (name) => metricOf(metrics, name),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The value of the series that begins with `countersign_<name>`; 0 without one. */
function metricOf(metrics: Metrics, name: string): number {
  const line = metrics
    .render()
    .split("\n")
    .find((one) => one.startsWith(`countersign_${name}`));
  return line === undefined ? 0 : Number(line.slice(line.lastIndexOf(" ") + 1));
}

/** A request, by default with a JSON body, on a connection of its own. */
export function post(
  url: string,
  body: Uint8Array | string,
  headers: Record<string, string | string[]> = { "content-type": "application/json" },
  options: RequestOptions = {},
): Promise<Answer> {
  const start = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const all = { method: "POST", headers, agent: false as const, ...options };
    const request = start(url, all, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
        }),
      );
    });
    request.on("error", reject);
    request.end(body);
  });
}
