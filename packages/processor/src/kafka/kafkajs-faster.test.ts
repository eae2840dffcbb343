import { createRequire } from "node:module";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { FASTER } from "./kafkajs-faster.ts";

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
const [record, grouping] = [of("record/v0"), of("groupMessages")];
const bytes = fc.option(fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)));
const headers = fc.dictionary(
  fc.string({ unit: "grapheme", maxLength: 12 }),
  fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
);

test("a record has the bytes that the library gives it", () => {
  const original = pristine(record.path);
  const faster = record.make(original as never) as typeof original;
  const fields = fc.record({
    offsetDelta: fc.nat(5_000_000),
    timestampDelta: fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
    key: bytes,
    value: bytes,
    headers,
  });
  fc.assert(
    fc.property(fields, (one) => {
      const [mine, theirs] = [faster(one), original(one)] as { buffer: Buffer }[];
      expect(mine?.buffer.equals(theirs?.buffer ?? Buffer.alloc(0))).toBe(true);
    }),
    { numRuns: 500 },
  );
});

test("what is not plain goes to the library", () => {
  const original = pristine(record.path);
  const faster = record.make(original as never) as typeof original;
  for (const odd of [{ a: "text" }, { a: [Buffer.from("1"), Buffer.from("2")] }]) {
    const fields = { key: Buffer.from("k"), value: Buffer.from("v"), headers: odd };
    const [mine, theirs] = [faster(fields), original(fields)] as { buffer: Buffer }[];
    expect(mine?.buffer.equals(theirs?.buffer ?? Buffer.alloc(0))).toBe(true);
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

interface Growing {
  readonly buffer: Buffer;
  writeBuffer(bytes: Buffer): Growing;
  writeInt32(value: number): Growing;
  writeEncoderArray(parts: readonly unknown[]): Growing;
}

test("an encoder grows to the bytes that the library gives it", () => {
  const original = pristine(of("encoder").path) as unknown as new () => Growing;
  const faster = of("encoder").make(pristine(of("encoder").path) as never) as new () => Growing;
  const parts = fc.array(fc.uint8Array({ maxLength: 2000 }).map((one) => Buffer.from(one)));
  fc.assert(
    fc.property(parts, fc.integer(), (chunks, number) => {
      const [theirs, mine] = [original, faster].map((Made) => {
        const whole = new Made().writeInt32(number);
        return whole.writeEncoderArray(chunks.map((chunk) => new Made().writeBuffer(chunk)));
      });
      expect(mine?.buffer.equals(theirs?.buffer ?? Buffer.alloc(0))).toBe(true);
    }),
  );
  expect(() => new faster().writeEncoderArray([undefined])).toThrow("Encoder[]");
});
