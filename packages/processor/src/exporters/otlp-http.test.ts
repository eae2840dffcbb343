import { createMetrics } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { encodeProto } from "../otlp/encode-proto.ts";
import { TRACE_RESPONSE } from "../otlp/message.ts";
import { backend, idsOf, newSpans, SENDER, sender, SIGNAL } from "../testing/exporters.ts";

test("failures for now are tried again until the spans are there", async () => {
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

test("what is refused for good is dropped and counted; what comes after it is not", async () => {
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

test("after max_elapsed_time the spans are given up", async () => {
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

test("a full queue is OVERLOADED", async () => {
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

test("a partial success is counted and not sent again", async () => {
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

test("stop ends a wait for the next try, and what waits is sent at once", async () => {
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
