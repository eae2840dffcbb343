// Whatever comes: an answer, the right one, and a 200 only for what was stored.
import { Agent } from "node:http";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { gunzipSync } from "node:zlib";
import { CountersignError, errorCode } from "@countersign/model";
import {
  type Component,
  type Consumer,
  countItems,
  type Logs,
  type Traces,
} from "@countersign/pipeline";
import { expect, test } from "vitest";
import { decodeJson } from "../otlp/decode-json.ts";
import { decodeProto } from "../otlp/decode-proto.ts";
import { eventCarriers, type LogsRequest } from "../otlp/event-carriers.ts";
import { LOGS_REQUEST, type Message, TRACE_REQUEST } from "../otlp/message.ts";
import { redactProcessor } from "../processors/redact.ts";
import { runtimeOf } from "../testing/exporters.ts";
import { type FuzzBody, fuzzBody } from "../testing/fuzz-bodies.ts";
import { createRandom } from "../testing/random.ts";
import { post, startReceiver } from "../testing/receiver.ts";

const BODIES = process.env["COUNTERSIGN_LONG"] === "1" ? 1_000_000 : 10_000;
const CONCURRENCY = 8;
const MAX_BYTES = 1024 * 1024;
const MAX_PLAIN_BYTES = 4 * MAX_BYTES;

/** What the answer has to be, and how many items are stored if it is 200. */
interface Expected {
  readonly status: number;
  readonly items: number;
}

const REFUSED: Expected = { status: 400, items: 0 };

function expectedOf({ bytes, type, encoding }: FuzzBody, message: Message): Expected {
  if (bytes.length > MAX_BYTES) return { status: 413, items: 0 };
  let plain = bytes;
  try {
    if (encoding === "gzip") plain = gunzipSync(bytes, { maxOutputLength: MAX_PLAIN_BYTES });
  } catch (error) {
    const isLong = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    return isLong ? { status: 413, items: 0 } : REFUSED;
  }
  try {
    const decode = type === "application/json" ? decodeJson : decodeProto;
    const { value } = decode<Partial<Traces> & LogsRequest>(plain, message);
    const items = message === TRACE_REQUEST ? spansOf(value) : eventCarriers(value).length;
    return { status: 200, items };
  } catch (error) {
    if (errorCode(error) !== "INPUT_INVALID") throw error;
    return REFUSED;
  }
}

/** Those that can be found: a span whose ids are none is dropped by redaction. */
function spansOf({ resourceSpans = [] }: Partial<Traces>): number {
  return resourceSpans
    .flatMap(({ scopeSpans = [] }) => scopeSpans)
    .flatMap(({ spans = [] }) => spans)
    .filter(
      ({ traceId = "", spanId = "" }) =>
        /^(?!0{32})[0-9a-f]{32}$/.test(traceId) && /^(?!0{16})[0-9a-f]{16}$/.test(spanId),
    ).length;
}

/** Stores after a turn of the event loop, and now and then cannot. */
function store<Batch extends Traces | Logs>(seed: number): Consumer<Batch> & { items: number } {
  const random = createRandom(seed);
  return {
    items: 0,
    async consume(batch) {
      await new Promise((resolve) => setImmediate(resolve));
      if (random.chance(0.02)) throw new CountersignError("UNAVAILABLE", "test: not now");
      this.items += countItems(batch);
    },
  };
}

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

/** Heap and buffers in use, in MiB. */
function inUse(): number {
  collectGarbage();
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers) / 2 ** 20;
}

test(`${BODIES} bodies that nobody should send: the right answer, nothing lost, nothing kept`, async () => {
  const spans = store<Traces>(1);
  const records = store<Logs>(2);
  const config = { allow: ["error.type"], action: "mask", preset: "mcp" };
  const redact = redactProcessor.create(
    config as never,
    runtimeOf("redact"),
    spans as never,
  ) as Component & Consumer<Traces>;
  await using one = await startReceiver({
    traces: (batch, signal) => redact.consume(batch, signal),
    logs: (batch, signal) => records.consume(batch, signal),
    http: {
      max_request_body_size: "1MiB",
      max_decompressed_size: "4MiB",
      max_concurrent_requests: 2 * CONCURRENCY,
    },
  });
  const agent = new Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  const acknowledged = { spans: 0, records: 0 };
  const statuses = new Map<number, number>();
  const wrong: string[] = [];
  let next = 0;
  let warm = Number.POSITIVE_INFINITY;

  const send = async (seed: number): Promise<void> => {
    const body = fuzzBody(seed);
    const isLogs = seed % 5 === 0;
    const expected = expectedOf(body, isLogs ? LOGS_REQUEST : TRACE_REQUEST);
    const headers = {
      "content-type": body.type,
      ...(body.encoding === undefined ? {} : { "content-encoding": body.encoding }),
    };
    const url = `${one.url}/v1/${isLogs ? "logs" : "traces"}`;
    const signal = AbortSignal.timeout(30_000);
    const { status } = await post(url, body.bytes, headers, { agent, signal });
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (status === 200) acknowledged[isLogs ? "records" : "spans"] += expected.items;
    const isRight = status === expected.status || (status === 503 && expected.status === 200);
    if (!isRight) wrong.push(`seed ${seed}: ${status}, not ${expected.status}`);
  };
  const worker = async (): Promise<void> => {
    while (next < BODIES) {
      next += 1;
      if (next === Math.floor(BODIES / 4)) warm = inUse();
      await send(next);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  agent.destroy();
  console.log(`${BODIES} bodies:`, Object.fromEntries(statuses), "MiB:", warm, "→", inUse());
  expect(wrong).toEqual([]);
  expect({ spans: spans.items, records: records.items }).toEqual(acknowledged);
  expect(acknowledged.spans).toBeGreaterThan(BODIES / 10);
  for (const status of [200, 400, 413, 503]) expect(statuses.get(status)).toBeGreaterThan(0);
  expect(one.metric("receiver_in_flight_requests")).toBe(0);
  expect(inUse() - warm).toBeLessThan(16);
}, 3_600_000);
