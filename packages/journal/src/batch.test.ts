import { seal } from "@countersign/model";
import { expect, test } from "vitest";
import { Batch, BatchBuffers, mostFrameBytes, type Waiter } from "./batch.ts";
import { decodeFrame, FRAME_HEADER_BYTES } from "./frames.ts";
import { decision } from "./testing/journal-fixture.ts";

const KIB = 1024;
const PREV = "0".repeat(64);

function waiter(seq = 0): Waiter {
  const chain = { emitter: "origin", epoch: "0".repeat(32), seq, prev: PREV };
  const sealed = seal(decision(), chain, "2027-01-15T08:00:00.000Z");
  return { sealed, resolve: () => undefined, reject: () => undefined };
}

test("a buffer that was given back is taken before a new one is made", () => {
  const buffers = new BatchBuffers();
  const [a, b] = [buffers.take(), buffers.take()];
  expect(a).not.toBe(b);
  expect(a).toHaveLength(64 * KIB);
  buffers.give(a);
  expect(buffers.take()).toBe(a);
  expect(buffers.take()).not.toBe(a);
});

test("two buffers are kept, and none that a burst made large", () => {
  const buffers = new BatchBuffers();
  const given = [1, 2, 3].map(() => Buffer.alloc(256 * KIB));
  buffers.give(Buffer.alloc(256 * KIB + 1));
  for (const buffer of given) buffers.give(buffer);
  expect(buffers.take()).toBe(given[1]);
  expect(buffers.take()).toBe(given[0]);
  expect(buffers.take()).toHaveLength(64 * KIB);
});

test("what does not fit any more makes the buffer twice as large, and what was in it stays", () => {
  const one = waiter();
  const most = mostFrameBytes(one.sealed);
  expect(most).toBe(FRAME_HEADER_BYTES + 3 * one.sealed.text.length);
  const batch = new Batch(0, PREV, Buffer.alloc(most));
  const { buffer } = batch;
  const size = batch.add(0, one);
  expect(batch.buffer).toBe(buffer);
  expect(size).toBe(FRAME_HEADER_BYTES + one.sealed.bytes.length);
  batch.add(1, waiter(1));
  expect(batch.buffer).toHaveLength(2 * most);
  const first = decodeFrame(batch.bytes, 0);
  expect(first).toMatchObject({ seq: 0, end: size });
  expect(decodeFrame(batch.bytes, size)).toMatchObject({ seq: 1, end: batch.used });
  expect(batch.bytes).toHaveLength(batch.used);
});

test("an event larger than twice the buffer gets what it needs", () => {
  const batch = new Batch(0, PREV, Buffer.alloc(10));
  const one = waiter();
  batch.add(0, one);
  expect(batch.buffer).toHaveLength(mostFrameBytes(one.sealed));
  expect(decodeFrame(batch.bytes, 0)).toMatchObject({ seq: 0 });
});
