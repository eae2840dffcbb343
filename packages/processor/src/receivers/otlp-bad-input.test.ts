// What strangers do to a port, on real sockets.
import { connect as connectHttp2, constants, type ClientHttp2Session } from "node:http2";
import { createConnection, type Socket } from "node:net";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { Traces } from "@countersign/pipeline";
import { countItems } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { contentEncoding } from "../otlp/body.ts";
import { canDecompress } from "../otlp/decompress.ts";
import { encodeProto } from "../otlp/encode-proto.ts";
import { TRACE_REQUEST } from "../otlp/message.ts";
import { post, type RunningReceiver, startReceiver } from "../testing/receiver.ts";

const ok = (): Promise<void> => Promise.resolve();
const HEAD = "POST /v1/traces HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n";
const PROTO = { "content-type": "application/x-protobuf" };

/** Writes raw bytes; resolves with everything that came back until the connection closed. */
function talk(one: RunningReceiver, write: (socket: Socket) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(one.port, "127.0.0.1");
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => (text += chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "ECONNRESET" && error.code !== "EPIPE") reject(error);
    });
    socket.on("close", () => resolve(text));
    socket.on("connect", () => write(socket));
  });
}

/** Drips bytes until the other side has enough. */
function drip(socket: Socket, byte: string): void {
  const timer = setInterval(() => socket.write(byte), 20);
  socket.on("close", () => clearInterval(timer));
}

test.each<[string, (socket: Socket) => void]>([
  ["nothing at all", () => undefined],
  ["headers, a byte at a time", (socket) => (socket.write(HEAD), drip(socket, "x"))],
  [
    "a body, a byte at a time",
    (socket) => (socket.write(`${HEAD}Content-Length: 9999\r\n\r\n`), drip(socket, " ")),
  ],
  [
    "chunks, a byte at a time",
    (socket) => (
      socket.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`),
      drip(socket, "1\r\n \r\n")
    ),
  ],
])("slowloris: %s", async (_what, write) => {
  await using one = await startReceiver({
    traces: ok,
    http: { header_timeout: "200ms", read_timeout: "400ms" },
  });
  const answer = await talk(one, write);
  expect(answer.slice(0, 12)).toBeOneOf(["", "HTTP/1.1 408"]);
  await expect.poll(() => one.metric("receiver_in_flight_requests")).toBe(0);
  await expect.poll(() => one.metric('receiver_refused_requests_total{reason="timeout"')).toBe(1);
});

test.each<[string, string, string, string]>([
  ["huge headers", `${HEAD}X: ${"x".repeat(20_000)}\r\n\r\n`, "431", "headers_too_large"],
  ["no HTTP", "\x16\x03\x01 hello\r\n\r\n", "400", "malformed"],
  ["two lengths", `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, "400", "malformed"],
  [
    "a length and chunks",
    `${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "400",
    "malformed",
  ],
  ["a bad chunk", `${HEAD}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, "400", "incomplete"],
  ["a bad header", `${HEAD}X y: z\r\n\r\n`, "400", "malformed"],
])("%s is answered, counted and cut", async (_what, text, status, reason) => {
  await using one = await startReceiver({ traces: ok });
  const answer = await talk(one, (socket) => void socket.write(text));
  expect(answer.slice(0, 12)).toBe(`HTTP/1.1 ${status}`);
  expect(answer.toLowerCase()).toContain("connection: close");
  expect(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")))).toHaveProperty("message");
  await expect.poll(() => one.metric("receiver_in_flight_requests")).toBe(0);
  await expect.poll(() => one.metric(`receiver_refused_requests_total{reason="${reason}"`)).toBe(1);
});

test("HTTP/2 with prior knowledge, as gRPC speaks it, is told to use HTTP/1.1", async () => {
  await using one = await startReceiver({ traces: ok });
  const session: ClientHttp2Session = connectHttp2(one.url);
  session.on("error", () => undefined);
  const said = await new Promise<[number, string]>((resolve) => {
    session.on("goaway", (code, _last, data) => resolve([code, data?.toString() ?? ""]));
  });
  session.destroy();
  expect(said).toEqual([
    constants.NGHTTP2_HTTP_1_1_REQUIRED,
    "OTLP over HTTP only, no gRPC; set the exporter's protocol to http/protobuf, port 4318",
  ]);
  expect(one.metric('receiver_refused_requests_total{reason="http2"')).toBe(1);
});

test("a connection too many is closed and counted; there is room again later", async () => {
  await using one = await startReceiver({ traces: ok, http: { max_connections: 1 } });
  const idle = createConnection(one.port, "127.0.0.1");
  await new Promise((resolve) => idle.once("connect", resolve));
  await expect(post(`${one.url}/v1/traces`, "{}")).rejects.toThrow(/ECONNRESET|hang up/);
  await expect
    .poll(() => one.metric('receiver_refused_requests_total{reason="too_many_connections"'))
    .toBe(1);
  idle.destroy();
  await expect
    .poll(() =>
      post(`${one.url}/v1/traces`, "{}").then(
        ({ status }) => status,
        () => 0,
      ),
    )
    .toBe(200);
});

test("a refused request leaves the connection usable when little of it was unread", async () => {
  await using one = await startReceiver({ traces: ok });
  const text = await talk(one, (socket) => {
    socket.write(`${HEAD.replace("json", "text")}Content-Length: 2\r\n\r\n{}`);
    socket.write(`${HEAD}Content-Length: 2\r\nConnection: close\r\n\r\n{}`);
  });
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 415", "HTTP/1.1 200"]);
});

test("a sender that writes on after a refusal, and reads late, sees the answer", async () => {
  await using one = await startReceiver({ traces: ok });
  const { promise: connected, resolve } = Promise.withResolvers<Socket>();
  const talked = talk(one, resolve);
  const socket = await connected;
  socket.pause();
  socket.write(`${HEAD}Content-Length: 900000\r\n\r\n`);
  socket.write("x".repeat(100_000));
  await expect.poll(() => one.metric('receiver_refused_requests_total{reason="too_large"')).toBe(1);
  socket.write("x".repeat(100_000), () => socket.resume());
  const text = await talked;
  expect(text.slice(0, 12)).toBe("HTTP/1.1 413");
});

const spans = (name: string): Buffer =>
  encodeProto({ resourceSpans: [{ scopeSpans: [{ spans: [{ name }] }] }] }, TRACE_REQUEST);

test("zstd of several frames is taken whole, or not at all", async () => {
  const got: Traces[] = [];
  await using one = await startReceiver({ traces: async (batch) => void got.push(batch) });
  const frames = ["a", "b", "c"].map((name) => zstdCompressSync(spans(name)));
  const send = async (body: Buffer, encoding = "zstd"): Promise<number> => {
    const headers = { ...PROTO, "content-encoding": encoding };
    return (await post(`${one.url}/v1/traces`, body, headers)).status;
  };
  const skippable = Buffer.from("502a4d180400000001020304", "hex");
  expect(await send(Buffer.concat([...frames, skippable]))).toBe(200);
  expect(got.map((batch) => countItems(batch))).toEqual([3]);
  expect(await send(Buffer.concat([...frames, Buffer.from("tail")]))).toBe(400);
  const [frame = Buffer.alloc(0)] = frames;
  expect(await send(Buffer.concat(Array.from({ length: 17 }, () => frame)))).toBe(400);
  const gzipped = Buffer.concat(["a", "b"].map((name) => gzipSync(spans(name))));
  expect(await send(gzipped, "gzip")).toBe(200);
  expect(got.map((batch) => countItems(batch))).toEqual([3, 2]);
});

test("bombs cost what they may cost", async () => {
  await using one = await startReceiver({ traces: ok });
  const headers = { ...PROTO, "content-encoding": "zstd" };
  const zeros = zstdCompressSync(Buffer.alloc(60_000_000));
  expect((await post(`${one.url}/v1/traces`, zeros, headers)).status).toBe(413);
  const half = zstdCompressSync(Buffer.alloc(200_000));
  expect((await post(`${one.url}/v1/traces`, Buffer.concat([half, half]), headers)).status).toBe(
    413,
  );
  // A frame that asks for a window of 128 MiB: 0xA8 is its descriptor.
  const window = Buffer.from("28b52ffd0088010000", "hex");
  expect((await post(`${one.url}/v1/traces`, window, headers)).status).toBe(400);
});

test("a Node without zstd says so", () => {
  expect(contentEncoding("zstd")).toBe("zstd");
  expect(canDecompress("zstd", {})).toBe(false);
});
