// Every exporter against the one contract, each with its real destination.
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type LogFields, silentLogger, uuidv7 } from "@countersign/model";
import {
  type Component,
  type Consumer,
  countItems,
  createMetrics,
  type Decisions,
  type ExporterSpec,
  type Metrics,
  type Runtime,
  type Traces,
} from "@countersign/pipeline";
import {
  type DestinationMood,
  exporterContract,
  type ExporterFixture,
} from "@countersign/pipeline/testing";
import { afterAll, describe, expect, test } from "vitest";
import { COMPONENTS } from "../components.ts";
import { decodeProto } from "../otlp/decode-proto.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { TRACE_REQUEST, TRACE_RESPONSE } from "../otlp/message.ts";
import { sealedEvents } from "../testing/events.ts";
import { archiveExporter, archiveOf } from "./archive.ts";
import { debugExporter } from "./debug.ts";
import { fileExporter } from "./file.ts";
import { memoryExporter, tracesOf } from "./memory.ts";
import { otlpHttpExporter } from "./otlp-http.ts";

const SIGNAL = new AbortController().signal;
const COVERED = new Set<string>();

function runtimeOf(id: string, metrics: Metrics = createMetrics()): Runtime {
  return { id, log: silentLogger, metrics, report: () => undefined, service: {} as never };
}

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "countersign-exporter-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function contract<Batch>(
  spec: ExporterSpec,
  name: string,
  make: () => ExporterFixture<Batch> | Promise<ExporterFixture<Batch>>,
): void {
  COVERED.add(spec.type);
  describe(name, () => {
    for (const { name: what, run } of exporterContract(make)) test(what, run);
  });
}

let epochs = 0;
function newEvents(size: number): Decisions {
  epochs += 1;
  return { events: sealedEvents(size, { epoch: epochs.toString(16).padStart(32, "0") }) };
}

function newSpans(size: number): Traces {
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

const idsOf = (batch: Traces): readonly (string | undefined)[] =>
  batch.resourceSpans
    .flatMap((one) => one.scopeSpans ?? [])
    .flatMap((one) => one.spans ?? [])
    .map((span) => `${span.traceId}/${span.spanId}`);

contract<Decisions>(archiveExporter, "archive", () => {
  const directory = join(scratch(), "archive");
  let opened: (Component & Consumer<Decisions>) | undefined;
  const stored = new Set<string>();
  const look = async (): Promise<void> => {
    const other = opened === undefined ? undefined : archiveOf(opened);
    let log;
    try {
      log = other?.log;
    } catch {
      // It was stopped: open what it left behind.
    }
    const { openArchive } = await import("@countersign/archive");
    const reading = log ?? (await openArchive({ directory, origin: "test.example/a" }));
    for (const { event } of await reading.read(0n, 1024)) stored.add(event.hash);
    if (log === undefined) await reading.close();
  };
  return {
    create: () => {
      opened = archiveExporter.create(
        { directory, origin: "test.example/a" } as never,
        runtimeOf("archive"),
      ) as never;
      return opened as Component & Consumer<Decisions>;
    },
    batch: newEvents,
    delivered: async (batch) => {
      await look();
      return batch.events.filter(({ hash }) => stored.has(hash)).length;
    },
    mood: () => undefined,
    moods: ["well"],
    close: () => opened?.stop(SIGNAL),
  };
});

for (const format of ["native", "ocsf"] as const) {
  contract<Decisions>(fileExporter, `file, ${format}`, () => {
    const directory = join(scratch(), "out");
    const config = { directory, format, mode: "0640", max_file_size: "4KiB" };
    const keyOf = (line: string): string => {
      const value = JSON.parse(line) as { id?: string; metadata?: { uid: string } };
      return value.id ?? value.metadata?.uid ?? "";
    };
    const lines = (): string[] =>
      readdirSync(directory).flatMap((file) =>
        readFileSync(join(directory, file), "utf8").split("\n").slice(0, -1),
      );
    let current: DestinationMood = "well";
    return {
      create: () =>
        fileExporter.create(config as never, runtimeOf("file/test")) as unknown as Component &
          Consumer<Decisions>,
      // For `partial` and `permanent`: what the format cannot express validly.
      batch: (size) => {
        const batch = newEvents(size);
        if (format === "native" || current === "well") return batch;
        return {
          events: batch.events.map((event, index) =>
            current === "partial" && index % 2 === 0 ? event : spoil(event),
          ),
        };
      },
      delivered: (batch) => {
        const keys = new Set(lines().map(keyOf));
        return batch.events.filter(({ event }) => keys.has(event.id)).length;
      },
      mood: (mood) => void (current = mood),
      moods: format === "ocsf" ? ["well", "permanent", "partial"] : ["well"],
      close: () => undefined,
    };
  });
}

/** An event whose time is none: valid JSON, no valid OCSF. */
function spoil(sealed: Decisions["events"][number]): Decisions["events"][number] {
  return { ...sealed, event: { ...sealed.event, time: "never" } };
}

contract<Traces>(memoryExporter, "memory", () => {
  const config = { traces: 100, spans_per_trace: 100, max_size: "1MiB" };
  const exporter = memoryExporter.create(
    config as never,
    runtimeOf("memory"),
  ) as unknown as Component & Consumer<Traces>;
  return {
    create: () => exporter,
    batch: newSpans,
    delivered: async (batch) => {
      const trace = await tracesOf(exporter)?.trace(idsOf(batch)[0]?.split("/")[0] ?? "");
      return trace?.length ?? 0;
    },
    mood: () => undefined,
    moods: ["well"],
    close: () => undefined,
  };
});

contract<Decisions>(debugExporter, "debug", () => {
  let logged = 0;
  const log = {
    ...silentLogger,
    info: (_message: string, fields?: LogFields) => void (logged = Number(fields?.["count"])),
  };
  return {
    create: () =>
      debugExporter.create({} as never, { ...runtimeOf("debug"), log }) as unknown as Component &
        Consumer<Decisions>,
    batch: newEvents,
    // It keeps nothing: what it logged last is all there is to see.
    delivered: (batch) => (logged > 0 ? batch.events.length : 0),
    mood: () => undefined,
    moods: ["well"],
    close: () => undefined,
  };
});

interface Backend {
  readonly url: string;
  readonly got: Set<string | undefined>;
  answers: number[];
  close(): Promise<void>;
}

async function backend(answer?: (response: ServerResponse) => boolean): Promise<Backend> {
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

const SENDER = {
  encoding: "proto",
  compression: "gzip",
  headers: { "x-scope": "a" },
  timeout: "5s",
  sending_queue: { queue_size: 1000, num_consumers: 2 },
  retry_on_failure: { initial_interval: "1ms", max_interval: "20ms", max_elapsed_time: "5s" },
  batch: { max_spans: 100, max_wait: "5ms" },
};

function sender(
  endpoint: string,
  metrics = createMetrics(),
  more: object = {},
): Component & Consumer<Traces> {
  return otlpHttpExporter.create(
    { ...SENDER, endpoint, ...more } as never,
    runtimeOf("otlp_http", metrics),
  ) as unknown as Component & Consumer<Traces>;
}

contract<Traces>(otlpHttpExporter, "otlp_http", async () => {
  const server = await backend();
  return {
    create: () => sender(server.url),
    batch: newSpans,
    delivered: (batch) => idsOf(batch).filter((id) => server.got.has(id)).length,
    mood: () => undefined,
    moods: ["well"],
    queued: true,
    close: () => server.close(),
  };
});

test("otlp_http: failures for now are tried again until the spans are there", async () => {
  const server = await backend();
  server.answers = [503, 429, 500, 502, 401];
  const exporter = sender(server.url);
  const batch = newSpans(7);
  await exporter.start(SIGNAL);
  await exporter.consume(batch, SIGNAL);
  await expect.poll(() => server.got.size, { timeout: 5000 }).toBe(7);
  await exporter.stop(AbortSignal.timeout(5000));
  await server.close();
});

test("otlp_http: what is refused for good is dropped and counted; what comes after it is not", async () => {
  const server = await backend();
  server.answers = [400];
  const metrics = createMetrics();
  const exporter = sender(server.url, metrics);
  await exporter.consume(newSpans(3), SIGNAL);
  const dropped = (): string | undefined =>
    /dropped_spans_total\S* (\d+)/.exec(metrics.render())?.[1];
  await expect.poll(dropped).toBe("3");
  await exporter.consume(newSpans(2), SIGNAL);
  await exporter.stop(AbortSignal.timeout(5000));
  expect([dropped(), server.got.size]).toEqual(["3", 2]);
  await server.close();
});

test("otlp_http: after max_elapsed_time the spans are given up", async () => {
  const server = await backend();
  server.answers = Array.from({ length: 1000 }, () => 503);
  const metrics = createMetrics();
  const exporter = sender(server.url, metrics, {
    retry_on_failure: { ...SENDER.retry_on_failure, max_elapsed_time: "50ms" },
  });
  await exporter.consume(newSpans(4), SIGNAL);
  await expect.poll(() => /dropped_spans_total\S* (\d+)/.exec(metrics.render())?.[1]).toBe("4");
  await exporter.stop(AbortSignal.timeout(5000));
  await server.close();
});

test("otlp_http: a full queue is OVERLOADED", async () => {
  const server = await backend();
  server.answers = Array.from({ length: 1000 }, () => 503);
  const exporter = sender(server.url, createMetrics(), {
    sending_queue: { queue_size: 5, num_consumers: 1 },
  });
  await exporter.consume(newSpans(5), SIGNAL);
  await expect(exporter.consume(newSpans(1), SIGNAL)).rejects.toMatchObject({ code: "OVERLOADED" });
  await exporter.stop(AbortSignal.abort());
  await server.close();
});

test("otlp_http: a partial success is counted and not sent again", async () => {
  const server = await backend((response) => {
    response.end(
      encodeProto({ partialSuccess: { rejectedSpans: "2", errorMessage: "no" } }, TRACE_RESPONSE),
    );
    return true;
  });
  const metrics = createMetrics();
  const exporter = sender(server.url, metrics);
  await exporter.consume(newSpans(5), SIGNAL);
  await exporter.stop(AbortSignal.timeout(5000));
  expect(metrics.render()).toMatch(/exporter_rejected_spans_total\S* 2/);
  await server.close();
});

test("otlp_http: stop ends a wait for the next try, and what waits is sent at once", async () => {
  const server = await backend();
  server.answers = [503];
  const exporter = sender(server.url, createMetrics(), {
    sending_queue: { queue_size: 100, num_consumers: 1 },
    retry_on_failure: { initial_interval: "1h", max_interval: "1h", max_elapsed_time: "2h" },
  });
  const waiting = newSpans(2);
  await exporter.consume(newSpans(1), SIGNAL);
  await expect.poll(() => server.answers.length).toBe(0);
  await exporter.consume(waiting, SIGNAL);
  await exporter.stop(AbortSignal.timeout(5000));
  expect(idsOf(waiting).every((id) => server.got.has(id))).toBe(true);
  await server.close();
});

test("memory: the oldest traces make room, a trace is bounded, a span that comes twice is one", async () => {
  const metrics = createMetrics();
  const config = { traces: 3, spans_per_trace: 4, max_size: "1MiB" };
  const exporter = memoryExporter.create(
    config as never,
    runtimeOf("memory", metrics),
  ) as unknown as Component & Consumer<Traces>;
  const batches = [newSpans(1), newSpans(10), newSpans(1), newSpans(1)];
  for (const batch of batches) await exporter.consume(batch, SIGNAL);
  await exporter.consume(batches[3] as Traces, SIGNAL);
  const held = await Promise.all(
    batches.map(
      async (batch) =>
        (await tracesOf(exporter)?.trace(idsOf(batch)[0]?.split("/")[0] ?? ""))?.length,
    ),
  );
  expect(held).toEqual([0, 4, 1, 1]);
  expect(metrics.render()).toMatch(/evicted_spans_total\S* 7/);
});

test("memory: the size bounds what is kept", async () => {
  const metrics = createMetrics();
  const config = { traces: 1000, spans_per_trace: 100, max_size: "16KiB" };
  const exporter = memoryExporter.create(
    config as never,
    runtimeOf("memory", metrics),
  ) as unknown as Component & Consumer<Traces>;
  for (let count = 0; count < 100; count += 1) await exporter.consume(newSpans(2), SIGNAL);
  const bytes = Number(/memory_bytes\S* (\d+)/.exec(metrics.render())?.[1]);
  expect(bytes).toBeGreaterThan(8000);
  expect(bytes).toBeLessThanOrEqual(16_384);
});

test("memory: nanoseconds become microseconds, and what an attacker named __proto__ is a name", async () => {
  const config = { traces: 3, spans_per_trace: 4, max_size: "1MiB" };
  const exporter = memoryExporter.create(
    config as never,
    runtimeOf("memory"),
  ) as unknown as Component & Consumer<Traces>;
  const span = {
    traceId: "AB".repeat(16).toLowerCase(),
    spanId: "1".repeat(16),
    parentSpanId: "",
    name: "tools/call",
    kind: 2,
    startTimeUnixNano: "1795338003412345679",
    endTimeUnixNano: "1795338003413000679",
    status: { code: 2 },
    attributes: [
      { key: "__proto__", value: { stringValue: "x" } },
      { key: "n", value: { intValue: "9007199254740993" } },
      { key: "l", value: { arrayValue: { values: [{ stringValue: "a" }, { intValue: "2" }] } } },
    ],
  };
  const resource = { attributes: [{ key: "service.name", value: { stringValue: "tickets" } }] };
  await exporter.consume(
    { resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] },
    SIGNAL,
  );
  const [view] = (await tracesOf(exporter)?.trace("AB".repeat(16))) ?? [];
  expect(view).toMatchObject({
    kind: "server",
    service: "tickets",
    status: "error",
    startUs: 1_795_338_003_412_345,
    durationUs: 655,
  });
  expect(view).not.toHaveProperty("parentSpanId");
  expect(Object.entries(view?.attributes ?? {})).toEqual([
    ["__proto__", "x"],
    ["n", "9007199254740993"],
    ["l", "a, 2"],
  ]);
});

test("archive: a fork is REJECTED by its index, the first stays; duplicates are taken", async () => {
  const exporter = archiveExporter.create(
    { directory: join(scratch(), "a"), origin: "test.example/a" } as never,
    runtimeOf("archive"),
  ) as unknown as Component & Consumer<Decisions>;
  await exporter.start(SIGNAL);
  const first = { events: sealedEvents(2) };
  const other = { events: sealedEvents(2) };
  await exporter.consume(first, SIGNAL);
  await exporter.consume(first, SIGNAL);
  await expect(exporter.consume(other, SIGNAL)).rejects.toMatchObject({
    code: "REJECTED",
    failed: [0, 1],
  });
  expect(archiveOf(exporter)?.log.size).toBe(2n);
  await exporter.stop(SIGNAL);
});

test("archive: what has no place in a chain does not keep the rest out", async () => {
  const exporter = archiveExporter.create(
    { directory: join(scratch(), "a"), origin: "test.example/a" } as never,
    runtimeOf("archive"),
  ) as unknown as Component & Consumer<Decisions>;
  await exporter.start(SIGNAL);
  const [good, bad] = sealedEvents(2) as [Decisions["events"][number], Decisions["events"][number]];
  const { chain: _chain, ...data } = bad.event.data as { chain: object };
  const placeless = { ...bad, event: { ...bad.event, data } } as unknown as typeof bad;
  await expect(exporter.consume({ events: [placeless, good] }, SIGNAL)).rejects.toMatchObject({
    code: "REJECTED",
    failed: [0],
  });
  expect(archiveOf(exporter)?.log.size).toBe(1n);
  await exporter.stop(SIGNAL);
});

test("file: a directory that takes no bytes is UNAVAILABLE, and nothing is lost when it does again", async () => {
  const directory = join(scratch(), "full");
  const config = { directory, format: "native", mode: "0600", max_file_size: "1KiB" };
  const exporter = fileExporter.create(
    config as never,
    runtimeOf("file/x"),
  ) as unknown as Component & Consumer<Decisions>;
  await exporter.start(SIGNAL);
  rmSync(directory, { recursive: true });
  const batch = newEvents(3);
  await expect(exporter.consume(batch, SIGNAL)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  const { mkdirSync } = await import("node:fs");
  mkdirSync(directory);
  chmodSync(directory, 0o700);
  await exporter.consume(batch, SIGNAL);
  const lines = readdirSync(directory).flatMap((file) =>
    readFileSync(join(directory, file), "utf8").trimEnd().split("\n"),
  );
  expect(lines).toHaveLength(3);
  await exporter.stop(SIGNAL);
});

test("every exporter of this build is here", () => {
  const types = COMPONENTS.filter(({ kind }) => kind === "exporter").map(({ type }) => type);
  expect([...COVERED].toSorted()).toEqual(types.toSorted());
  expect(countItems(newSpans(3))).toBe(3);
});
