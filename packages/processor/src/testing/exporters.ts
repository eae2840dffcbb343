// What tests of exporters have in common: a runtime, batches, a directory, a backend that speaks OTLP.
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { silentLogger, uuidv7 } from "@countersign/model";
import {
  type Component,
  type Consumer,
  createMetrics,
  type Decisions,
  type Metrics,
  type Runtime,
  type Traces,
} from "@countersign/pipeline";
import { onTestFinished } from "vitest";
import { otlpHttpExporter } from "../exporters/otlp-http.ts";
import { decodeProto } from "../otlp/decode-proto.ts";
import { TRACE_REQUEST } from "../otlp/message.ts";
import { sealedEvents } from "./events.ts";

/** Never aborts. */
export const SIGNAL: AbortSignal = new AbortController().signal;

export function runtimeOf(id: string, metrics: Metrics = createMetrics()): Runtime {
  return { id, log: silentLogger, metrics, report: () => undefined, service: {} as never };
}

export function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "countersign-exporter-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

let epochs = 0;
export function newEvents(size: number): Decisions {
  epochs += 1;
  return { events: sealedEvents(size, { epoch: epochs.toString(16).padStart(32, "0") }) };
}

export function newSpans(size: number): Traces {
  const traceId = uuidv7().replaceAll("-", "");
  const spans = Array.from({ length: size }, (_, index) => ({
    traceId,
    spanId: (index + 1).toString(16).padStart(16, "0"),
    name: "tools/call",
    startTimeUnixNano: "1795338003412000001",
    endTimeUnixNano: "1795338003413000001",
  }));
  return { resourceSpans: [{ scopeSpans: [{ spans }] }] };
}

export const idsOf = (batch: Traces): readonly (string | undefined)[] =>
  batch.resourceSpans
    .flatMap((one) => one.scopeSpans ?? [])
    .flatMap((one) => one.spans ?? [])
    .map((span) => `${span.traceId}/${span.spanId}`);

export interface Backend {
  readonly url: string;
  readonly got: Set<string | undefined>;
  answers: number[];
  close(): Promise<void>;
}

export async function backend(answer?: (response: ServerResponse) => boolean): Promise<Backend> {
  const got = new Set<string | undefined>();
  const one: Backend = { url: "", got, answers: [], close: () => Promise.resolve() };
  const server = createServer((request: IncomingMessage, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const status = one.answers.shift() ?? 200;
      response.statusCode = status;
      if (status === 200 && answer?.(response) !== true) {
        const { value } = decodeProto<Traces>(gunzipSync(Buffer.concat(chunks)), TRACE_REQUEST);
        for (const id of idsOf(value)) got.add(id);
      }
      if (!response.writableEnded) response.end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  return Object.assign(one, {
    url: `http://127.0.0.1:${port}`,
    close: () =>
      new Promise<void>((resolve) => (server.close(() => resolve()), server.closeAllConnections())),
  });
}

export const SENDER = {
  encoding: "proto",
  compression: "gzip",
  headers: { "x-scope": "a" },
  timeout: "5s",
  sending_queue: { queue_size: 1000, num_consumers: 2 },
  retry_on_failure: { initial_interval: "1ms", max_interval: "20ms", max_elapsed_time: "5s" },
  batch: { max_spans: 100, max_wait: "5ms" },
};

/** Settings of `splunk_hec`, but for endpoint and token. */
export const SPLUNK = {
  insecure: false,
  timeout: "2s",
  compression: "none",
  retry: { initial: "1ms", max: "5ms" },
  format: "native",
  acknowledge: false,
  acknowledge_timeout: "10s",
  max_body: "1MiB",
  max_events: 1000,
};

/** Settings of `webhook`, but for the endpoint. */
export const WEBHOOK = {
  insecure: false,
  timeout: "2s",
  compression: "none",
  retry: { initial: "1ms", max: "5ms" },
  keys: [{ id: "test", secret: "a-secret-of-at-least-32-characters" }],
  format: "native",
  headers: {},
  max_body: "1MiB",
  max_events: 1000,
};

export function sender(
  endpoint: string,
  metrics = createMetrics(),
  more: object = {},
): Component & Consumer<Traces> {
  return otlpHttpExporter.create(
    { ...SENDER, endpoint, ...more } as never,
    runtimeOf("otlp_http", metrics),
  );
}
