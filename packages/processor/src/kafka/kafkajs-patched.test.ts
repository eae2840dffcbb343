import { createRequire } from "node:module";
import { expect, onTestFinished, test } from "vitest";
import { loadKafkajs } from "./kafkajs-patched.ts";

const require = createRequire(import.meta.url);

interface Queue {
  pending: unknown[];
  throttledUntil: number;
  throttleCheckTimeoutId: NodeJS.Timeout | null;
  scheduleCheckPendingRequests(): void;
  destroy(): void;
}

function queue(): Queue {
  loadKafkajs();
  const RequestQueue = require("kafkajs/src/network/requestQueue/index.js") as new (
    of: object,
  ) => Queue;
  const logger = { debug: () => undefined, warn: () => undefined };
  const one = new RequestQueue({
    maxInFlightRequests: 1,
    requestTimeout: 1000,
    clientId: "c",
    broker: "b",
    logger,
  });
  onTestFinished(() => one.destroy());
  return one;
}

test("nothing that waits, no timer", () => {
  const one = queue();
  one.scheduleCheckPendingRequests();
  expect(one.throttleCheckTimeoutId).toBeNull();
});

test("what waits is looked at again: soon, or when the broker allows", () => {
  const one = queue();
  one.pending.push({});
  one.scheduleCheckPendingRequests();
  expect(delayOf(one)).toBe(10);
  one.destroy();
  one.throttledUntil = Date.now() + 60_000;
  one.scheduleCheckPendingRequests();
  expect(delayOf(one)).toBeGreaterThan(50_000);
});

const delayOf = ({ throttleCheckTimeoutId }: Queue): number =>
  (throttleCheckTimeoutId as unknown as Record<"_idleTimeout", number>)["_idleTimeout"];

interface Response {
  readonly parse: (data: unknown) => Promise<unknown>;
}

const answer = (partitionErrorCode: number, topicErrorCode = 0): object => ({
  topicMetadata: [
    {
      topicErrorCode,
      topic: "t",
      partitionMetadata: [
        { partitionErrorCode, partitionId: 0, leader: -1 },
        { partitionErrorCode: 0, partitionId: 1, leader: 2 },
      ],
    },
  ],
});

test.each([0, 1, 2, 3, 4, 5, 6])(
  "metadata v%i: one partition without a leader does not hide the others",
  async (version) => {
    loadKafkajs();
    const { parse } = require(
      `kafkajs/src/protocol/requests/metadata/v${version}/response.js`,
    ) as Response;
    expect(await parse(answer(5))).toMatchObject({
      topicMetadata: [{ partitionMetadata: [{ leader: -1 }, { leader: 2 }] }],
    });
    await expect(parse(answer(29))).rejects.toMatchObject({ type: "TOPIC_AUTHORIZATION_FAILED" });
    await expect(parse(answer(0, 3))).rejects.toMatchObject({ type: "UNKNOWN_TOPIC_OR_PARTITION" });
  },
);

test("when every broker refuses, the refusal is told; when one does it, its answer is", async () => {
  loadKafkajs();
  const BrokerPool = require("kafkajs/src/cluster/brokerPool.js") as new (of: object) => {
    brokers: object;
    withBroker(call: (of: { nodeId: string }) => Promise<unknown>): Promise<unknown>;
  };
  const pool = new BrokerPool({ logger: { namespace: () => ({}) }, connectionPoolBuilder: {} });
  pool.brokers = { 1: { isConnected: () => true }, 2: { isConnected: () => true } };
  const refusal = new Error("GROUP_AUTHORIZATION_FAILED");
  await expect(pool.withBroker(() => Promise.reject(refusal))).rejects.toBe(refusal);
  const second = pool.withBroker(({ nodeId }) =>
    nodeId === "1" ? Promise.reject(refusal) : Promise.resolve(nodeId),
  );
  expect(await second).toBe("2");
});

test("zstd goes both ways", async () => {
  const { CompressionCodecs, CompressionTypes } = loadKafkajs();
  const codec = CompressionCodecs[CompressionTypes.ZSTD]?.() as {
    compress(encoder: { buffer: Buffer }): Promise<Buffer>;
    decompress(buffer: Buffer): Promise<Buffer>;
  };
  const bytes = Buffer.from("sealed ".repeat(100));
  const small = await codec.compress({ buffer: bytes });
  expect(small.length).toBeLessThan(100);
  expect(await codec.decompress(small)).toEqual(bytes);
});
