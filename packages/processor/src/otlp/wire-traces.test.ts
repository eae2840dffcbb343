import {
  type Consumer,
  countItems,
  createMetrics,
  createQueue,
  type Traces,
} from "@countersign/pipeline";
import { expect, test } from "vitest";
import { debugExporter } from "../exporters/debug.ts";
import { memoryExporter } from "../exporters/memory.ts";
import { otlpHttpExporter } from "../exporters/otlp-http.ts";
import { redactProcessor } from "../processors/redact.ts";
import {
  backend,
  idsOf,
  newSpans,
  runtimeOf,
  SENDER,
  sender,
  SIGNAL,
} from "../testing/exporters.ts";
import { countSpans } from "./count-spans.ts";
import { encodeProto } from "./encode-proto.ts";
import { TRACE_REQUEST } from "./message.ts";
import { wireOf, wireTraces } from "./wire-traces.ts";

/** Spans that can be counted, and an attribute that is no UTF-8. */
function unsound(): Traces {
  const bytes = encodeProto(
    { resourceSpans: [{ scopeSpans: [{ spans: [{ attributes: [{ key: "?" }] }] }] }] },
    TRACE_REQUEST,
  );
  bytes[bytes.indexOf("?")] = 0xff;
  return wireTraces(bytes);
}

const next: Consumer<Traces> = { consume: () => Promise.resolve() };
const queueOf = (onFull: "refuse" | "drop" | "wait"): Consumer<Traces> =>
  createQueue(next, { id: "q", maxItems: 9, onFull, dropped: createMetrics().counter("x", "") });
const consumer = (component: unknown): Consumer<Traces> => component as Consumer<Traces>;

const TAKERS: Readonly<Record<string, () => Consumer<Traces>>> = {
  redact: () =>
    consumer(
      redactProcessor.create(
        { allow: ["a"], action: "mask" } as never,
        runtimeOf("redact"),
        next as never,
      ),
    ),
  memory: () =>
    consumer(
      memoryExporter.create(
        { traces: 9, spans_per_trace: 9, max_size: "1MiB" } as never,
        runtimeOf("memory"),
      ),
    ),
  debug: () => consumer(debugExporter.create({} as never, runtimeOf("debug"))),
  otlp_http: () =>
    consumer(
      otlpHttpExporter.create(
        { ...SENDER, endpoint: "http://127.0.0.1:9" } as never,
        runtimeOf("otlp_http"),
      ),
    ),
  "a queue": () => queueOf("refuse"),
  "a queue that drops": () => queueOf("drop"),
  "a queue that waits": () => queueOf("wait"),
};

test.each(Object.keys(TAKERS))("%s takes over no bytes that are no request", async (name) => {
  const batch = unsound();
  expect(countItems(batch)).toBe(1);
  await expect(TAKERS[name]?.().consume(batch, SIGNAL)).rejects.toMatchObject({
    code: "INPUT_INVALID",
  });
});

test("requests are joined without being read, and arrive whole", async () => {
  const server = await backend();
  const batches = [newSpans(3), newSpans(4), newSpans(5)];
  const exporter = sender(server.url);
  const bytes = batches.map((batch) => wireOf(batch));
  expect(bytes.map((one) => countSpans(one))).toEqual([3, 4, 5]);
  // Objects and bytes may meet, too.
  const mixed = [
    wireTraces(bytes[0] as Buffer),
    wireTraces(bytes[1] as Buffer),
    batches[2] as Traces,
  ];
  await Promise.all(mixed.map((batch) => exporter.consume(batch, SIGNAL)));
  await exporter.stop(AbortSignal.timeout(5000));
  expect(server.got).toEqual(new Set(batches.flatMap(idsOf)));
  await server.close();
});

test("objects are made once, of what is there", () => {
  const batch = wireTraces(wireOf(newSpans(2)));
  expect(batch.resourceSpans).toBe(batch.resourceSpans);
  expect(idsOf(batch)).toHaveLength(2);
  expect(wireTraces(Buffer.alloc(0)).resourceSpans).toEqual([]);
});
