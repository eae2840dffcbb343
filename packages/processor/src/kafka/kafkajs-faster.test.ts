import { createRequire } from "node:module";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import * as fc from "fast-check";
import { expect, test, vi } from "vitest";
import { FASTER } from "./kafkajs-faster.ts";
import type { LogRecord } from "./port.ts";
import type { Encoded, ProduceFields } from "./produce-request.ts";
import { encodeBatch } from "./record-batch.ts";

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
const [produce, request, grouping, decoder] = [
  of("produce/v3"),
  of("protocol/request.js"),
  of("groupMessages"),
  of("record/v0/decoder"),
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

type Decode = (cursor: object, context: object) => Record<string, unknown>;

const theirDecode = pristine(decoder.path) as unknown as Decode;
const ourDecode = decoder.make(theirDecode as never) as Decode;
const Decoder = require("kafkajs/src/protocol/decoder.js") as new (buffer: Buffer) => object;
/** Offset of the first record in a batch of nothing else. */
const CONTEXT = {
  firstOffset: "9007199254740993",
  firstTimestamp: "1795338003412",
  maxTimestamp: "1795338003999",
  magicByte: 2,
  timestampType: 0,
};

/** The library's headers are an object: a name that repeats has a list of values there, and none is null. */
function headersOf(theirs: unknown): ReadonlyMap<string, string> {
  const values = Object.entries(theirs as Record<string, Buffer | null | (Buffer | null)[]>);
  return new Map(values.map(([name, value]) => [name, String([value].flat().at(-1) ?? "")]));
}

function varint(value: bigint): Buffer {
  const written: number[] = [];
  let left = value < 0n ? -2n * value - 1n : 2n * value;
  for (; left > 0x7fn; left >>= 7n) written.push(Number(left & 0x7fn) | 0x80);
  return Buffer.from([...written, Number(left)]);
}

async function recordBytes(
  records: readonly LogRecord[],
  { attributes, later }: { attributes: number; later: bigint },
): Promise<Buffer[]> {
  const fields = { timestampMs: 0, producerId: 1n, producerEpoch: 0, firstSequence: 0 };
  const batch = await encodeBatch(records, fields, { headroom: 0 });
  const cursor = new Decoder(batch.subarray(RECORDS_AT)) as { readVarIntBytes(): Buffer };
  return records.map(() => {
    const rest = cursor.readVarIntBytes().subarray(2);
    return Buffer.concat([Buffer.from([attributes]), varint(later), rest]);
  });
}

test("records are read as the library reads them, with headers as a map", async () => {
  // Kafka allows a header without a value, and a name that repeats; we write neither.
  const anyHeader = fc.tuple(
    fc.oneof(fc.constantFrom("a", "b", "__proto__"), fc.string({ unit: "grapheme" })),
    fc.option(bytes),
  );
  const many = fc.record({
    key: fc.option(bytes),
    value: fc.option(bytes),
    headers: fc.array(anyHeader, { maxLength: 6 }) as fc.Arbitrary<LogRecord["headers"]>,
  });
  const around = fc.record({
    attributes: fc.nat(255),
    later: fc.bigInt({ min: -(2n ** 51n), max: 2n ** 51n }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(many, { minLength: 1, maxLength: 3 }),
      around,
      fc.boolean(),
      async (records, how, isBrokers) => {
        const context = { ...CONTEXT, timestampType: isBrokers ? 1 : 0, isControlBatch: isBrokers };
        for (const one of await recordBytes(records, how)) {
          const { headers: mine, ...rest } = ourDecode(new Decoder(one), context);
          const { headers: theirs, ...same } = theirDecode(new Decoder(one), context);
          expect(rest).toEqual(same);
          const read = [...(mine as Map<string, Uint8Array>)];
          expect(new Map(read.map(([name, value]) => [name, String(value)]))).toEqual(
            headersOf(theirs),
          );
        }
      },
    ),
    { numRuns: 500 },
  );
});

test("times and places far from those of the batch, and below them", () => {
  const far = Buffer.from([
    0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 1, 0,
  ]);
  expect(ourDecode(new Decoder(far), CONTEXT)).toEqual({
    ...theirDecode(new Decoder(far), CONTEXT),
    headers: new Map(),
  });
});

test("a header without a value is empty, and a record that is cut off ends where its bytes do", async () => {
  // One header, `a`, whose value is null: legal in Kafka.
  const empty = Buffer.from([0, 0, 0, 1, 1, 2, 2, 0x61, 1]);
  const { headers } = ourDecode(new Decoder(empty), CONTEXT);
  expect(headers).toEqual(new Map([["a", Buffer.alloc(0)]]));
  const [whole] = await recordBytes(
    [{ key: Buffer.from("key"), value: Buffer.from("value"), headers: [["a", "b"]] }],
    { attributes: 0, later: 0n },
  );
  for (let length = 0; length < (whole as Buffer).length; length += 1)
    expect(() =>
      ourDecode(new Decoder((whole as Buffer).subarray(0, length)), CONTEXT),
    ).not.toThrow();
  // As many headers as a number can say, of which there are none.
  const boast = Buffer.from([0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f]);
  expect(ourDecode(new Decoder(boast), CONTEXT)["headers"]).toEqual(new Map());
  // A number without an end is no number, and none at all is no reason to stop.
  const endless = Buffer.alloc(400, 0xff);
  expect(BigInt(ourDecode(new Decoder(endless), CONTEXT)["offset"] as string)).toBeTypeOf("bigint");
});
