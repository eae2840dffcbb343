import { expect, test } from "vitest";
import { partitionOf } from "./partitioner.ts";

// From `Utils.toPositive(Utils.murmur2(key)) % 12` of kafka-clients 4.3.0, run on a JVM.
test.each([
  ["", 9],
  ["a", 4],
  ["ab", 2],
  ["abc", 3],
  ["abcd", 8],
  ["abcde", 1],
  ["acme/tickets-test", 2],
  ["acme/emitter-17", 10],
  ["tenant-ü/émetteur", 2],
  ["0123456789abcdef0123456789abcdef", 5],
])("%s goes where Java puts it", (key, partition) => {
  expect(partitionOf(Buffer.from(key), 12)).toBe(partition);
});

test("bytes above 127 count unsigned, and a view into a larger buffer counts alone", () => {
  const bytes = Buffer.from([0xff, 0x80, 0x00, 0xfe, 0xff, 0x90, 0x01]);
  // murmur2 = -279892288 by Java
  const java = (-279_892_288 & 0x7fffffff) % 1_000_003;
  expect(partitionOf(bytes, 1_000_003)).toBe(java);
  expect(partitionOf(Buffer.concat([Buffer.from("x"), bytes]).subarray(1), 1_000_003)).toBe(java);
});
