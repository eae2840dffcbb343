import { createRequire } from "node:module";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import * as fc from "fast-check";
import { expect, test, vi } from "vitest";
import { FASTER } from "./kafkajs-faster.ts";
import type { LogRecord } from "./port.ts";
import type { Encoded, ProduceFields } from "./produce-request.ts";

const require = createRequire(import.meta.url);

/** The library's own function, whatever was put into its place in this process. */
function pristine(path: string): (fields: object) => unknown {
  const file = require.resolve(path);
  const kept = require.cache[file];
  delete require.cache[file];
  const original = require(path) as (fields: object) => unknown;
  if (kept !== undefined) require.cache[file] = kept;
  return original;
}

const partitioner = ({ message }: { message: { partition: number } }): number => message.partition;
const of = (name: string) =>
  FASTER.find(({ path }) => path.includes(name)) as (typeof FASTER)[number];
const [produce, request, grouping] = [
  of("produce/v3"),
  of("protocol/request.js"),
  of("groupMessages"),
];

type Request = (fields: {
  correlationId: number;
  clientId: string | null;
  request: object;
}) => Promise<Encoded>;
type Produce = (fields: ProduceFields) => object;

const theirProduce = pristine(produce.path) as Produce;
const ourProduce = produce.make(theirProduce as never) as Produce;
const theirRequest = pristine(request.path) as Request;
const ourRequest = request.make(theirRequest as never) as Request;

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const header = fc.tuple(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.oneof(fc.string({ unit: "grapheme", maxLength: 90 }), bytes),
);
const record: fc.Arbitrary<LogRecord> = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.uniqueArray(header, { maxLength: 4, selector: ([name]) => name }),
});
const isNumber = (name: string): boolean => /^\d+$/.test(name) || name === "__proto__";

const fieldsOf = (
  compression: number,
  messages: readonly object[],
  more: object = {},
): ProduceFields => ({
  acks: -1,
  timeout: 30_000,
  producerId: "4000000000000001",
  producerEpoch: 7,
  compression,
  topicData: [
    { topic: "événements", partitions: [{ partition: 5, firstSequence: 8_000_000, messages }] },
  ],
  ...more,
});

/** As the library takes them: headers are an object. */
const asMessages = (records: readonly LogRecord[]): readonly object[] =>
  records.map(({ headers, ...rest }) => ({
    ...rest,
    headers: Object.fromEntries(headers.map(([name, value]) => [name, Buffer.from(value)])),
  }));

const ask = (encode: Request, fields: object, clientId: string | null = "é"): Promise<Encoded> =>
  encode({ correlationId: 77, clientId, request: fields });

test("a request has the bytes that the library gives it", async () => {
  vi.spyOn(Date, "now").mockReturnValue(1_795_338_003_412);
  const some = fc.array(record, { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(some, fc.option(fc.string({ maxLength: 5 })), async (records, clientId) => {
      // The library's object has an order of its own for these.
      fc.pre(!records.some(({ headers }) => headers.some(([name]) => isNumber(name))));
      const mine = await ask(ourRequest, ourProduce(fieldsOf(0, records)), clientId);
      const theirs = await ask(
        theirRequest,
        theirProduce(fieldsOf(0, asMessages(records))),
        clientId,
      );
      expect(mine.buffer.equals(theirs.buffer)).toBe(true);
      expect(mine.size()).toBe(theirs.size());
    }),
    { numRuns: 500 },
  );
});

const RECORDS_AT = 61;

test.each([
  ["gzip", 1, gunzipSync],
  ["zstd", 4, zstdDecompressSync],
] as const)("%s: the same records, compressed", async (_, codec, decompress) => {
  const records: LogRecord[] = Array.from({ length: 200 }, (__, at) => ({
    key: Buffer.from("k"),
    value: Buffer.from(`value ${at}`.repeat(50)),
    headers: [["n", String(at)]],
  }));
  const batchOf = async (compression: number): Promise<Buffer> => {
    const { buffer } = await ask(ourRequest, ourProduce(fieldsOf(compression, records)));
    return buffer.subarray(buffer.indexOf("événements") + Buffer.byteLength("événements") + 12);
  };
  const [plain, compressed] = [await batchOf(0), await batchOf(codec)];
  expect(compressed.readInt16BE(21)).toBe(codec);
  expect(compressed.readInt32BE(57)).toBe(200);
  expect(compressed.length).toBeLessThan(plain.length / 4);
  expect(decompress(compressed.subarray(RECORDS_AT))).toEqual(plain.subarray(RECORDS_AT));
});

test("what is not ours goes to the library", async () => {
  vi.spyOn(Date, "now").mockReturnValue(1_795_338_003_412);
  const messages = [
    { key: "k", value: "v", headers: { a: "text" } },
    { key: null, value: null },
  ];
  const [data] = fieldsOf(0, messages).topicData;
  const ours: LogRecord[] = [{ key: null, value: Buffer.from("v"), headers: [] }];
  for (const fields of [
    fieldsOf(0, messages),
    fieldsOf(0, messages, { topicData: [data, data] }),
    fieldsOf(0, asMessages(ours), { transactionalId: "t" }),
  ]) {
    const [mine, theirs] = [
      await ask(ourRequest, ourProduce(fields)),
      await ask(theirRequest, theirProduce(fields)),
    ];
    expect(mine.buffer.equals(theirs.buffer)).toBe(true);
  }
});

test("messages are grouped as the library does it", () => {
  const original = pristine(grouping.path);
  const faster = grouping.make(original as never) as typeof original;
  const messages = Array.from({ length: 50 }, (_, at) => ({ partition: (at * 7) % 5, at }));
  for (const partitionMetadata of [[], [{}, {}]]) {
    const wish = { topic: "t", partitionMetadata, messages, partitioner };
    expect(faster(wish)).toEqual(original(wish));
  }
});
