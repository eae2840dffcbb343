// The shipper's own requests make no spans under a real OpenTelemetry SDK. What an HTTP instrumentation does is done here by
// hand: patch http.request, and ask the SDK for a span in the context that is active then.
import http from "node:http";
import { syncBuiltinESMExports } from "node:module";
import { context, trace } from "@opentelemetry/api";
import { NodeSDK } from "@opentelemetry/sdk-node";
import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace";
import { expect, test } from "vitest";
import { decision, scratch, soon } from "../../packages/journal/src/testing/journal-fixture.ts";
import { startOtlpReceiver } from "../../packages/journal/src/testing/otlp-receiver.ts";

test("requests run in a context in which the SDK makes no spans", async () => {
  const exporter = new InMemorySpanExporter();
  const sdk = new NodeSDK({
    spanProcessors: [new SimpleSpanProcessor({ exporter })],
    instrumentations: [],
    autoDetectResources: false,
  });
  sdk.start();
  const seen: boolean[] = [];
  const { request } = http;
  http.request = ((...args: Parameters<typeof request>) => {
    const span = trace.getTracer("test").startSpan("POST");
    seen.push(span.isRecording());
    span.end();
    return request(...args);
  }) as typeof request;
  syncBuiltinESMExports();
  using s = scratch();
  const receiver = await startOtlpReceiver();
  try {
    const outside = trace.getTracer("test").startSpan("tools/call");
    expect(outside.isRecording()).toBe(true);
    const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
    await context.with(trace.setSpan(context.active(), outside), async () => {
      expect(await journal.acknowledged(await journal.append(decision()), 10_000)).toBe(true);
    });
    await journal.stop("shutdown", soon());
    expect(seen.length).toBeGreaterThan(0);
    expect(seen).not.toContain(true);
    outside.end();
    expect(exporter.getFinishedSpans().map((span) => span.name)).toEqual(["tools/call"]);
    expect(receiver.violations).toEqual([]);
  } finally {
    http.request = request;
    syncBuiltinESMExports();
    await receiver.stop();
    await sdk.shutdown();
  }
});
