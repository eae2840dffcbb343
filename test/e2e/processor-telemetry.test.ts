// What the service says of itself: its own traces, and its log as JSON. As a process, since an SDK is one per process.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { freePort } from "../free-port.ts";
import { embeddedHome, startProcessor } from "./processor-process.ts";

interface SpanSeen {
  readonly name: string;
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly attributes: readonly { readonly key: string; readonly value: object }[];
}

interface Sink {
  readonly url: string;
  readonly texts: readonly string[];
  spans(): readonly SpanSeen[];
  [Symbol.asyncDispose](): Promise<void>;
}

async function sink(): Promise<Sink> {
  const texts: string[] = [];
  const server: Server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk: Buffer) => (text += chunk.toString()));
    request.on("end", () => {
      texts.push(text);
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    texts,
    spans: () =>
      texts.flatMap((text) => {
        const { resourceSpans } = JSON.parse(text) as {
          resourceSpans: { scopeSpans: { spans: SpanSeen[] }[] }[];
        };
        return resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
      }),
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const CANARY = "4111 1111 1111 1111 alice@example.com";

async function postSpan(url: string): Promise<number> {
  const spans = [{ name: CANARY, traceId: "1".repeat(32), spanId: "2".repeat(16) }];
  const body = JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] });
  const headers = {
    "content-type": "application/json",
    traceparent: `00-${"3".repeat(32)}-${"4".repeat(16)}-01`,
  };
  return (
    await fetch(`${url}/v1/traces?secret=${encodeURIComponent(CANARY)}`, {
      method: "POST",
      body,
      headers,
    })
  ).status;
}

const FAST = { OTEL_BSP_SCHEDULE_DELAY: "50", OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" };

test("its own spans say what it did and nothing of what went through it", async () => {
  await using to = await sink();
  using home = embeddedHome(await freePort());
  const processor = await startProcessor(home.config, {
    ...FAST,
    OTEL_EXPORTER_OTLP_ENDPOINT: to.url,
    OTEL_LOG_LEVEL: "debug",
  });
  let output = "";
  processor.child.stdout?.on("data", (chunk: Buffer) => (output += chunk.toString()));
  expect(await postSpan(processor.endpoints["otlp"] as string)).toBe(200);
  expect(await processor.end("SIGTERM")).toBe(0);
  const [receive] = to.spans().filter(({ name }) => name === "POST /v1/traces");
  const [send] = to.spans().filter(({ name }) => name === "export memory");
  expect(receive).toMatchObject({ kind: 2 });
  expect(receive?.parentSpanId ?? "").toBe("");
  expect(receive?.attributes).toContainEqual({
    key: "http.response.status_code",
    value: { intValue: 200 },
  });
  expect(send).toMatchObject({ traceId: receive?.traceId, parentSpanId: receive?.spanId });
  const everything = to.texts.join("\n");
  expect(everything).toContain("countersign-processor");
  for (const leak of ["4111", "alice", "secret", "33333333", process.execPath])
    expect(everything).not.toContain(leak);
  expect(output).toBe("");
});

test("traces that would come back to its own receiver are refused, and it works", async () => {
  const port = await freePort();
  using home = embeddedHome(port);
  const processor = await startProcessor(home.config, {
    ...FAST,
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://localhost:${port}`,
  });
  expect(await postSpan(processor.endpoints["otlp"] as string)).toBe(200);
  expect(await processor.end("SIGTERM")).toBe(0);
  expect(processor.errors()).toContain("is this service's own receiver");
  expect(processor.errors()).not.toContain("traces of the service itself are on");
});

test("COUNTERSIGN_LOG_FORMAT=json: every line is an object with the same members", async () => {
  using home = embeddedHome(await freePort());
  const processor = await startProcessor(home.config, { COUNTERSIGN_LOG_FORMAT: "json" });
  expect(await processor.end("SIGTERM")).toBe(0);
  const lines = processor.errors().trim().split("\n");
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(parsed.length).toBeGreaterThan(2);
  for (const line of parsed) {
    expect(line).toMatchObject({
      time: expect.stringMatching(/Z$/) as string,
      level: expect.stringMatching(/^(info|warn|error)$/) as string,
      component: expect.any(String) as string,
      message: expect.any(String) as string,
    });
  }
  expect(parsed.map(({ message }) => message)).toContain("stopped");
});
