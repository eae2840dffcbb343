import { createConnection } from "node:net";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { CountersignError } from "@countersign/model";
import type { Traces } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { decodeProto } from "../otlp/decode-proto.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { RPC_STATUS, TRACE_REQUEST } from "../otlp/message.ts";
import { post, startReceiver } from "../testing/receiver.ts";

const PROTO = { "content-type": "application/x-protobuf" };
const JSON_TYPE = { "content-type": "application/json" };
const ok = (): Promise<void> => Promise.resolve();
const spans = { resourceSpans: [{ scopeSpans: [{ spans: [{ name: "a" }, { name: "b" }] }] }] };

test("200 with an empty answer in the request's encoding, gzip or not", async () => {
  const got: Traces[] = [];
  await using one = await startReceiver({ traces: async (batch) => void got.push(batch) });
  const json = await post(`${one.url}/v1/traces`, JSON.stringify(spans));
  expect([json.status, json.headers["content-type"], json.body.toString()]).toEqual([
    200,
    "application/json",
    "{}",
  ]);
  const bytes = encodeProto(spans, TRACE_REQUEST);
  const proto = await post(`${one.url}/v1/traces`, gzipSync(bytes), {
    ...PROTO,
    "content-encoding": "gzip",
  });
  expect([proto.status, proto.headers["content-type"], proto.body.length]).toEqual([
    200,
    "application/x-protobuf",
    0,
  ]);
  expect(got.map(({ resourceSpans }) => ({ resourceSpans }))).toEqual([spans, spans]);
  expect(one.metrics.render()).toContain(
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
  ["/v1/traces", "POST", { ...JSON_TYPE, "content-encoding": "zstd" }, "{}", 400],
  ["/v1/traces", "POST", { ...JSON_TYPE, "content-encoding": "zstd" }, "", 400],
  [
    "/v1/traces",
    "POST",
    { ...JSON_TYPE, "content-encoding": "zstd" },
    zstdCompressSync("{}").subarray(0, 8),
    400,
  ],
  [
    "/v1/traces",
    "POST",
    { ...JSON_TYPE, "content-encoding": "zstd" },
    zstdCompressSync(Buffer.alloc(300_000)),
    413,
  ],
  ["/v1/traces", "POST", { "content-type": "application/grpc" }, "", 415],
  ["/v1/traces", "POST", { "content-type": "application/grpc-web+proto" }, "", 415],
])("%s %s %j is answered with a status in JSON", async (...row) => {
  const [path, method, headers, body, status] = row;
  await using one = await startReceiver({ traces: ok });
  const answer = await post(`${one.url}${path}`, body, headers as Record<string, string>, {
    method,
  });
  expect(answer.status).toBe(status);
  const { code, message } = JSON.parse(answer.body.toString()) as { code: number; message: string };
  expect(code).toBeGreaterThan(0);
  expect(message).not.toBe("");
  const isEncoding = status === 415 && "content-encoding" in headers;
  expect(answer.headers["accept-encoding"]).toBe(isEncoding ? "gzip, zstd" : undefined);
  expect(answer.headers.allow).toBe(status === 405 ? "POST" : undefined);
});

test("a protobuf request gets its status in protobuf", async () => {
  await using one = await startReceiver({ traces: ok });
  const answer = await post(`${one.url}/v1/traces`, Buffer.from([0xff]), PROTO);
  expect([answer.status, answer.headers["content-type"]]).toEqual([400, "application/x-protobuf"]);
  const { value } = decodeProto<{ code: number; message: string }>(answer.body, RPC_STATUS);
  expect(value.code).toBe(3);
});

test("a body without a length is cut off while it streams", async () => {
  await using one = await startReceiver({ traces: ok });
  const answer = await post(`${one.url}/v1/traces`, "x".repeat(200_000), {
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
  await using one = await startReceiver({ traces });
  const answer = await post(`${one.url}/v1/traces`, JSON.stringify(spans));
  expect([answer.status, answer.headers["retry-after"]]).toEqual([status, retryAfter]);
  expect(answer.body.toString()).not.toContain("secret");
});

test("200 only when every pipeline took the batch", async () => {
  const taken: string[] = [];
  await using one = await startReceiver({
    traces: async () => void taken.push("first"),
    more: () => Promise.reject(new CountersignError("UNAVAILABLE", "second: down")),
  });
  const answer = await post(`${one.url}/v1/traces`, JSON.stringify(spans));
  expect([answer.status, taken]).toEqual([503, ["first"]]);
});

test("one request too many is 503 with Retry-After, and then there is room again", async () => {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>();
  let waiting = 0;
  await using one = await startReceiver({ traces: async () => ((waiting += 1), await gate) });
  const held = [post(`${one.url}/v1/traces`, "{}"), post(`${one.url}/v1/traces`, "{}")];
  await expect.poll(() => waiting).toBe(2);
  const refused = await post(`${one.url}/v1/traces`, "{}");
  expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "1"]);
  release();
  expect((await Promise.all(held)).map(({ status }) => status)).toEqual([200, 200]);
  expect((await post(`${one.url}/v1/traces`, "{}")).status).toBe(200);
});

test("stop lets a request under way finish and takes no new one", async () => {
  const { promise: gate, resolve: release } = Promise.withResolvers<void>();
  let waiting = 0;
  await using one = await startReceiver({ traces: async () => ((waiting += 1), await gate) });
  const held = post(`${one.url}/v1/traces`, "{}");
  await expect.poll(() => waiting).toBe(1);
  const stopped = one.stop();
  await expect(post(`${one.url}/v1/traces`, "{}")).rejects.toThrow(/ECONNREFUSED|ECONNRESET/);
  release();
  expect((await held).status).toBe(200);
  await stopped;
});

test("a sender that goes away in the middle of its body is forgotten", async () => {
  await using one = await startReceiver({ traces: ok });
  const socket = createConnection(Number(new URL(one.url).port), "127.0.0.1");
  socket.write(
    "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
  );
  const inFlight = (): string =>
    /in_flight_requests\S* (\d+)/.exec(one.metrics.render())?.[1] ?? "";
  await expect.poll(inFlight).toBe("1");
  socket.destroy();
  await expect.poll(inFlight).toBe("0");
});

test("a port that is taken says so", async () => {
  await using first = await startReceiver({ traces: ok });
  const { host } = new URL(first.url);
  await expect(startReceiver({ traces: ok, http: { endpoint: host } })).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: expect.stringMatching(
      /^otlp: cannot listen on 127\.0\.0\.1:\d+ \(EADDRINUSE\); free the port/,
    ) as string,
  });
});
