import { type Component, type Consumer, createMetrics, type Traces } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { idsOf, newSpans, runtimeOf, SIGNAL } from "../testing/exporters.ts";
import { memoryExporter, tracesOf } from "./memory.ts";

test("the oldest traces make room, a trace is bounded, a span that comes twice is one", async () => {
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

test("the size bounds what is kept", async () => {
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

test("nanoseconds become microseconds, and what an attacker named __proto__ is a name", async () => {
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
