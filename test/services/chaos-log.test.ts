// The checks of the chaos test, on logs with one fault in each: what they cannot see, it would not find.
import { merkleRoot, type Receipt } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { sealedEvents } from "../../packages/processor/src/testing/events.ts";
import { chainFaults, fingerprint, receiptFaults, type StoredEvent } from "./chaos-log.ts";

const EVENTS: readonly StoredEvent[] = sealedEvents(10).map(({ bytes, hash }, at) => ({
  offset: BigInt(at),
  key: "acme/tickets-test",
  bytes: Buffer.from(bytes),
  hash,
  named: hash,
}));

const at = (index: number): StoredEvent => EVENTS[index] as StoredEvent;
const without = (index: number): StoredEvent[] => EVENTS.filter((_, other) => other !== index);

test("a chain with repetitions is whole", () => {
  expect(chainFaults([[...EVENTS, at(3), at(4)]])).toEqual([]);
});

test.each([
  ["an event is missing", [without(4)]],
  ["the first event is missing", [without(0)]],
  ["two events have changed places", [[at(0), at(2), at(1), ...EVENTS.slice(3)]]],
  ["an event is not what its header says", [[{ ...at(0), named: "0" }, ...EVENTS.slice(1)]]],
  ["an event names another one before it", [[{ ...at(0), hash: "0" }, ...EVENTS.slice(1)]]],
  ["a key is another emitter's", [[{ ...at(0), key: "acme/other" }, ...EVENTS.slice(1)]]],
  ["an emitter is in two partitions", [EVENTS.slice(0, 5), EVENTS.slice(5)]],
])("seen: %s", (_, log) => {
  expect(chainFaults(log)).not.toEqual([]);
});

test("seen: a broker has something else at an offset", () => {
  expect(fingerprint([without(4)])).not.toBe(fingerprint([EVENTS]));
});

const receipt = (first: number, last: number, more: Partial<Receipt> = {}): Receipt => ({
  version: 1,
  sink: "sink",
  log: "log",
  partition: 0,
  firstOffset: String(first),
  lastOffset: String(last),
  events: last - first + 1,
  delivered: last - first + 1,
  filtered: 0,
  deadLettered: 0,
  root: merkleRoot(EVENTS.slice(first, last + 1).map(({ bytes }) => bytes)),
  acknowledgement: { kind: "accepted" },
  time: "2026-11-22T09:00:00.000Z",
  ...more,
});

test("receipts that overlap and leave nothing out are right", () => {
  expect(receiptFaults([receipt(0, 5), receipt(3, 9)], [EVENTS], "sink")).toEqual([]);
});

test.each([
  ["an offset has no receipt", [receipt(0, 3), receipt(5, 9)]],
  ["a root is another one", [receipt(0, 9, { root: "0" })]],
  ["a count is another one", [receipt(0, 9, { events: 9 })]],
  ["something was not delivered", [receipt(0, 9, { delivered: 9, deadLettered: 1 })]],
  ["a range ends where nothing is", [receipt(0, 9), receipt(8, 9, { lastOffset: "10" })]],
  ["it is another sink's", [receipt(0, 9, { sink: "other" })]],
])("seen: %s", (_, receipts) => {
  expect(receiptFaults(receipts, [EVENTS], "sink")).not.toEqual([]);
});
