// A lane before a producer that misbehaves as kafkajs has been seen to, and worse.
import { setTimeout as delay } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import type { PartitionProducer, SendResult } from "./kafkajs-producer.ts";
import { createLane, type Lane, type LaneOptions } from "./lane.ts";
import type { LogRecord } from "./port.ts";

const TOO_LARGE = Object.assign(new Error("x"), { type: "MESSAGE_TOO_LARGE" });
const SEQUENCE = Object.assign(new Error("x"), { type: "OUT_OF_ORDER_SEQUENCE_NUMBER" });
const ELSEWHERE = Object.assign(new Error("x"), { type: "NOT_LEADER_FOR_PARTITION" });

type Send = (records: readonly LogRecord[]) => Promise<readonly SendResult[]>;

interface Scene {
  readonly lane: Lane;
  /** What each producer was sent: one list a producer, one entry a request. */
  readonly sent: string[][];
  readonly severed: number[];
}

const record = (value: string, bytes = 0): LogRecord => ({
  key: Buffer.from("k"),
  value: Buffer.from(value.padEnd(bytes, ".")),
  headers: [["cs_hash", "ab"]],
});

/** `answers` are those of the requests, in order; afterwards all goes well. */
function scene(answers: Send[] = [], more: Partial<LaneOptions> = {}): Scene {
  const sent: string[][] = [];
  const severed: number[] = [];
  let offset = 0;
  const well: Send = async (records) => {
    offset += records.length;
    return [
      { topicName: "t", partition: 3, errorCode: 0, baseOffset: String(offset - records.length) },
    ];
  };
  const open = async (): Promise<PartitionProducer> => {
    const number = sent.push([]) - 1;
    return {
      send: (records) => {
        sent[number]?.push(records.map(({ value }) => String(value).replace(/\.+$/, "")).join(" "));
        return (answers.shift() ?? well)(records);
      },
      close: async () => undefined,
      sever: () => void severed.push(number),
    };
  };
  const lane = createLane({
    id: "main",
    topic: "t",
    partition: 3,
    maxBatchBytes: 1_000_000,
    maxWaitingBytes: 1_000_000,
    open,
    ...more,
  });
  onTestFinished(() => lane.close(AbortSignal.abort()));
  return { lane, sent, severed };
}

const fails =
  (error: Error): Send =>
  async () => {
    throw error;
  };
const says =
  (...results: SendResult[]): Send =>
  () =>
    Promise.resolve(results);
const never: Send = () => new Promise(() => undefined);

/** A broker that takes everything but what starts with `large`. */
const limit: Send = async (records) => {
  if (records.some(({ value }) => String(value).startsWith("large"))) throw TOO_LARGE;
  return [{ topicName: "t", partition: 3, errorCode: 0, baseOffset: "7" }];
};

test.each<[string, SendResult[]]>([
  ["nothing at all", []],
  ["another partition", [{ topicName: "t", partition: 2, errorCode: 0, baseOffset: "0" }]],
  ["another topic", [{ topicName: "u", partition: 3, errorCode: 0, baseOffset: "0" }]],
  ["an error code", [{ topicName: "t", partition: 3, errorCode: 7, baseOffset: "0" }]],
])("an answer that says %s is no acknowledgement", async (_name, results) => {
  const { lane, severed } = scene([says(...results)]);
  await expect(lane.append([record("a")], 1000)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    failed: [0],
  });
  expect(severed).toEqual([0]);
});

test("after any failure the next batch goes out from a new producer", async () => {
  const { lane, sent, severed } = scene([fails(ELSEWHERE)]);
  await expect(lane.append([record("a")], 1000)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(await lane.append([record("b")], 1000)).toEqual({ baseOffset: 0n });
  expect([sent, severed]).toEqual([[["a"], ["b"]], [0]]);
});

test("a broker that lost track gets the same batch from a new producer at once", async () => {
  const { lane, sent, severed } = scene([fails(SEQUENCE)]);
  expect(await lane.append([record("a")], 1000)).toEqual({ baseOffset: 0n });
  expect([sent, severed]).toEqual([[["a"], ["a"]], [0]]);
});

test("no answer in time: told so, and cut off", async () => {
  const { lane, severed } = scene([never]);
  await expect(lane.append([record("a")], 50)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(await lane.append([record("b")], 1000)).toEqual({ baseOffset: 0n });
  expect(severed).toEqual([0]);
});

test("a producer that opens too late is not used", async () => {
  const late = Promise.withResolvers<PartitionProducer>();
  let severed = false;
  const { lane } = scene([], { open: () => late.promise });
  await expect(lane.append([record("a")], 50)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  late.resolve({
    send: () => Promise.reject(new Error("not this one")),
    close: async () => undefined,
    sever: () => void (severed = true),
  });
  await delay(0);
  expect(severed).toBe(true);
});

test("what waits goes out together, in its order, and everybody gets the place of their own", async () => {
  const first = Promise.withResolvers<readonly SendResult[]>();
  const { lane, sent } = scene([() => first.promise]);
  const appends = ["a", "b", "c"].map((name) =>
    lane.append([record(name), record(`${name}2`)], 1000),
  );
  await delay(0);
  first.resolve([{ topicName: "t", partition: 3, errorCode: 0, baseOffset: "100" }]);
  expect(await Promise.all(appends)).toEqual([
    { baseOffset: 100n },
    { baseOffset: 0n },
    { baseOffset: 2n },
  ]);
  expect(sent).toEqual([["a a2", "b b2 c c2"]]);
});

test("a request is no larger than the topic takes", async () => {
  const first = Promise.withResolvers<readonly SendResult[]>();
  const { lane, sent } = scene([() => first.promise], { maxBatchBytes: 1000 });
  const appends = ["a", "b", "c", "d"].map((name) => lane.append([record(name, 400)], 1000));
  await delay(0);
  first.resolve([{ topicName: "t", partition: 3, errorCode: 0, baseOffset: "0" }]);
  await Promise.all(appends);
  expect(sent).toEqual([["a", "b c", "d"]]);
});

test("one record that is too large is refused alone; what it was sent with is stored", async () => {
  const { lane, sent } = scene(Array.from({ length: 20 }, () => limit));
  const records = ["a", "b", "large", "c", "d"].map((name) => record(name));
  await expect(lane.append(records, 5000)).rejects.toMatchObject({ code: "REJECTED", failed: [2] });
  const single = sent.flat().filter((request) => !request.includes("large"));
  expect(single.join(" ").split(" ").toSorted()).toEqual(["a", "b", "c", "d"]);
});

test("one record that no broker takes is refused alone, too", async () => {
  const invalid = Object.assign(new Error("x"), { type: "INVALID_RECORD" });
  const picky: Send = async (records) => {
    if (records.some(({ value }) => String(value) === "bad")) throw invalid;
    return [{ topicName: "t", partition: 3, errorCode: 0, baseOffset: "7" }];
  };
  const { lane } = scene(Array.from({ length: 8 }, () => picky));
  const first = lane.append(
    ["a", "b", "bad", "c"].map((name) => record(name)),
    5000,
  );
  await expect(first).rejects.toMatchObject({ code: "REJECTED", failed: [2] });
});

test("what comes after records that have to wait waits with them", async () => {
  const { lane, sent } = scene([fails(TOO_LARGE), fails(ELSEWHERE)]);
  const all = ["a", "b", "c", "d"].map((name) => record(name));
  await expect(lane.append(all, 5000)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    failed: [0, 1, 2, 3],
  });
  expect(sent).toEqual([["a b c d"], ["a b"]]);
});

test("too much that waits is refused, and what was taken arrives", async () => {
  const first = Promise.withResolvers<readonly SendResult[]>();
  const { lane } = scene([() => first.promise], { maxWaitingBytes: 1000 });
  const taken = [lane.append([record("a", 600)], 1000), lane.append([record("b", 600)], 1000)];
  await expect(lane.append([record("c", 600)], 1000)).rejects.toMatchObject({
    code: "OVERLOADED",
    retryAfterMs: 1000,
  });
  first.resolve([{ topicName: "t", partition: 3, errorCode: 0, baseOffset: "0" }]);
  await Promise.all(taken);
});

test("closing waits for what is under way, and takes nothing new", async () => {
  const first = Promise.withResolvers<readonly SendResult[]>();
  const { lane } = scene([() => first.promise]);
  const taken = lane.append([record("a")], 1000);
  const closed = lane.close(AbortSignal.timeout(5000));
  await expect(lane.append([record("b")], 1000)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  first.resolve([{ topicName: "t", partition: 3, errorCode: 0, baseOffset: "9" }]);
  expect(await taken).toEqual({ baseOffset: 9n });
  await closed;
});
