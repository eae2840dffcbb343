import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { createConnection } from "node:net";
import { gzipSync } from "node:zlib";
import { CountersignError, silentLogger } from "@countersign/model";
import {
  type Component,
  type Consumer,
  createMetrics,
  type Logs,
  type Metrics,
  type Traces,
} from "@countersign/pipeline";
import { afterEach, expect, test } from "vitest";
import { decodeProto } from "../otlp/decode-proto.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { RPC_STATUS, TRACE_REQUEST } from "../otlp/message.ts";
import { otlpReceiver } from "./otlp.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Running {
  readonly url: string;
  readonly metrics: Metrics;
  stop(): Promise<void>;
}

const running: Running[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

interface Next {
  readonly traces?: Consumer<Traces>["consume"];
  readonly more?: Consumer<Traces>["consume"];
  readonly logs?: Consumer<Logs>["consume"];
  readonly http?: object;
}

function input<Batch>(
  consume: Consumer<Batch>["consume"] | undefined,
  pipeline: string,
): { pipeline: string; consumer: Consumer<Batch> }[] {
  return consume === undefined ? [] : [{ pipeline, consumer: { consume } }];
}

async function receiver(next: Next): Promise<Running> {
  const metrics = createMetrics();
  const http = {
    endpoint: "127.0.0.1:0",
    max_request_body_size: "64KiB",
    max_decompressed_size: "256KiB",
    max_concurrent_requests: 2,
    header_timeout: "5s",
    read_timeout: "15s",
    ...next.http,
  };
  const runtime = {
    id: "otlp",
    log: silentLogger,
    metrics,
    report: () => undefined,
    service: {} as never,
  };
  const component = otlpReceiver.create({ protocols: { http } } as never, runtime, {
    traces: [...input(next.traces, "traces"), ...input(next.more, "traces/2")],
    logs: input(next.logs, "decisions"),
    decisions: [],
  }) as Component & { readonly url: string };
  await component.start(new AbortController().signal);
  const one = {
    url: component.url,
    metrics,
    stop: () => component.stop(AbortSignal.timeout(5000)),
  };
  running.push(one);
  return one;
}

function post(
  url: string,
  body: Uint8Array | string,
  headers: Record<string, string> = { "content-type": "application/json" },
  method = "POST",
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
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

const PROTO = { "content-type": "application/x-protobuf" };
const JSON_TYPE = { "content-type": "application/json" };
const ok = (): Promise<void> => Promise.resolve();
const spans = { resourceSpans: [{ scopeSpans: [{ spans: [{ name: "a" }, { name: "b" }] }] }] };

test("200 with an empty answer in the request's encoding, gzip or not", async () => {
  const got: Traces[] = [];
  const { url, metrics } = await receiver({ traces: async (batch) => void got.push(batch) });
  const json = await post(`${url}/v1/traces`, JSON.stringify(spans));
  expect([json.status, json.headers["content-type"], json.body.toString()]).toEqual([
    200,
    "application/json",
    "{}",
  ]);
  const bytes = encodeProto(spans, TRACE_REQUEST);
  const proto = await post(`${url}/v1/traces`, gzipSync(bytes), {
    ...PROTO,
    "content-encoding": "gzip",
  });
  expect([proto.status, proto.headers["content-type"], proto.body.length]).toEqual([
    200,
    "application/x-protobuf",
    0,
  ]);
  expect(got.map(({ resourceSpans }) => ({ resourceSpans }))).toEqual([spans, spans]);
  expect(metrics.render()).toContain(
    'countersign_receiver_accepted_spans_total{receiver="otlp"} 4',
  );
});

test.each([
  ["/v1/nothing", "POST", JSON_TYPE, "{}", 404],
  ["/v1/logs", "POST", JSON_TYPE, "{}", 404],
  ["/v1/traces", "GET", JSON_TYPE, "", 405],
  ["/v1/traces", "POST", { "content-type": "text/plain" }, "{}", 415],
  ["/v1/traces", "POST", { ...JSON_TYPE, "content-encoding": "br" }, "{}", 415],
  ["/v1/traces", "POST", { ...JSON_TYPE, host: "evil.example" }, "{}", 403],
  ["/v1/traces", "POST", JSON_TYPE, "{not json", 400],
  ["/v1/traces", "POST", { ...JSON_TYPE, "content-encoding": "gzip" }, "{}", 400],
  [
    "/v1/traces",
    "POST",
    { ...JSON_TYPE, "content-encoding": "gzip" },
    gzipSync("{}").subarray(0, 10),
    400,
  ],
  ["/v1/traces", "POST", JSON_TYPE, "x".repeat(70_000), 413],
  [
    "/v1/traces",
    "POST",
    { ...JSON_TYPE, "content-encoding": "gzip" },
    gzipSync(Buffer.alloc(300_000)),
    413,
  ],
])("%s %s %j is answered with a status in JSON", async (...row) => {
  const [path, method, headers, body, status] = row;
  const { url } = await receiver({ traces: ok });
  const answer = await post(`${url}${path}`, body, headers as Record<string, string>, method);
  expect(answer.status).toBe(status);
  const { code, message } = JSON.parse(answer.body.toString()) as { code: number; message: string };
  expect(code).toBeGreaterThan(0);
  expect(message).not.toBe("");
  expect(answer.headers.allow).toBe(status === 405 ? "POST" : undefined);
});

test("a protobuf request gets its status in protobuf", async () => {
  const { url } = await receiver({ traces: ok });
  const answer = await post(`${url}/v1/traces`, Buffer.from([0xff]), PROTO);
  expect([answer.status, answer.headers["content-type"]]).toEqual([400, "application/x-protobuf"]);
  const { value } = decodeProto<{ code: number; message: string }>(answer.body, RPC_STATUS);
  expect(value.code).toBe(3);
});

test("a body without a length is cut off while it streams", async () => {
  const { url } = await receiver({ traces: ok });
  const answer = await post(`${url}/v1/traces`, "x".repeat(200_000), {
    ...JSON_TYPE,
    "transfer-encoding": "chunked",
  });
  expect(answer.status).toBe(413);
});

test.each([
  [new CountersignError("UNAVAILABLE", "archive: disk full"), 503, "1"],
  [new CountersignError("OVERLOADED", "archive: full", { retryAfterMs: 2500 }), 503, "3"],
  [new CountersignError("INPUT_INVALID", "intake: no"), 400, undefined],
  [new Error("secret payload"), 503, "1"],
])("a failure behind it: %s", async (error, status, retryAfter) => {
  const traces = async (): Promise<void> => {
    throw error;
  };
  const { url } = await receiver({ traces });
  const answer = await post(`${url}/v1/traces`, JSON.stringify(spans));
  expect([answer.status, answer.headers["retry-after"]]).toEqual([status, retryAfter]);
  expect(answer.body.toString()).not.toContain("secret");
});

test("200 only when every pipeline took the batch", async () => {
  const taken: string[] = [];
  const { url } = await receiver({
    traces: async () => void taken.push("first"),
    more: () => Promise.reject(new CountersignError("UNAVAILABLE", "second: down")),
  });
  const answer = await post(`${url}/v1/traces`, JSON.stringify(spans));
  expect([answer.status, taken]).toEqual([503, ["first"]]);
});

test("one request too many is 503 with Retry-After, and then there is room again", async () => {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>();
  let waiting = 0;
  const { url } = await receiver({ traces: async () => ((waiting += 1), await gate) });
  const held = [post(`${url}/v1/traces`, "{}"), post(`${url}/v1/traces`, "{}")];
  await expect.poll(() => waiting).toBe(2);
  const refused = await post(`${url}/v1/traces`, "{}");
  expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "1"]);
  release();
  expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200]);
  expect((await post(`${url}/v1/traces`, "{}")).status).toBe(200);
});

test("stop lets a request under way finish and takes no new one", async () => {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>();
  let waiting = 0;
  const one = await receiver({ traces: async () => ((waiting += 1), await gate) });
  const held = post(`${one.url}/v1/traces`, "{}");
  await expect.poll(() => waiting).toBe(1);
  const stopped = one.stop();
  await expect(post(`${one.url}/v1/traces`, "{}")).rejects.toThrow(/ECONNREFUSED|ECONNRESET/);
  release();
  expect((await held).status).toBe(200);
  await stopped;
});

test("a sender that goes away in the middle of its body is forgotten", async () => {
  const { url, metrics } = await receiver({ traces: ok });
  const socket = createConnection(Number(new URL(url).port), "127.0.0.1");
  socket.write(
    "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
  );
  const inFlight = (): string => /in_flight_requests\S* (\d+)/.exec(metrics.render())?.[1] ?? "";
  await expect.poll(inFlight).toBe("1");
  socket.destroy();
  await expect.poll(inFlight).toBe("0");
});

test("a port that is taken says so", async () => {
  const first = await receiver({ traces: ok });
  const { host } = new URL(first.url);
  await expect(receiver({ traces: ok, http: { endpoint: host } })).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringMatching(
      /^otlp: cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\); free the port/,
    ) as string,
  });
});
