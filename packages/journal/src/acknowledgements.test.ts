import { seal, type SealedEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { createAcknowledgements } from "./acknowledgements.ts";
import { epochId } from "./testing/dead-epoch.ts";
import { decision } from "./testing/journal-fixture.ts";

const A = "a".repeat(32);
const B = "b".repeat(32);
const LONG_MS = 3_600_000;

function event(epoch: string, seq: number): SealedEvent {
  const chain = { emitter: "origin", epoch, seq, prev: "0".repeat(64) };
  return seal(decision(), chain, "2027-01-15T08:00:00.000Z");
}

/** Whether a promise has settled already. */
async function isPending(promise: Promise<unknown>): Promise<boolean> {
  const still = Symbol("pending");
  await new Promise((resolve) => setImmediate(resolve));
  return (await Promise.race([promise, Promise.resolve(still)])) === still;
}

test("who waits is told when the processor has the event, and not before", async () => {
  const book = createAcknowledgements();
  book.durable(A, 5, 0);
  const [third, fifth] = [book.wait(event(A, 3), LONG_MS), book.wait(event(A, 5), LONG_MS)];
  expect(book.awaited()).toBe(true);
  book.acknowledge(A, 2);
  expect(await isPending(third)).toBe(true);
  book.acknowledge(A, 3);
  expect(await third).toBe(true);
  expect(await isPending(fifth)).toBe(true);
  expect(book.awaited()).toBe(true);
  // An older word changes nothing.
  book.acknowledge(A, 1);
  expect(await book.wait(event(A, 3), LONG_MS)).toBe(true);
  expect(await isPending(fifth)).toBe(true);
  book.acknowledge(A, 5);
  expect(await fifth).toBe(true);
  expect(book.awaited()).toBe(false);
});

test("nobody waits for ever: after the time, or when it is given up", async () => {
  const book = createAcknowledgements();
  book.durable(A, 0, 0);
  expect(await book.wait(event(A, 0), 1)).toBe(false);
  expect(book.awaited()).toBe(false);
  const waiting = [book.wait(event(A, 0), LONG_MS), book.wait(event(A, 0), LONG_MS)];
  book.giveUp();
  expect(await Promise.all(waiting)).toEqual([false, false]);
  expect(book.awaited()).toBe(false);
});

test("an event without a chain is in no book", async () => {
  const book = createAcknowledgements();
  const { event: sealed, ...rest } = event(A, 0);
  const { chain: _, ...data } = sealed.data as { chain: unknown };
  const loose = { ...rest, event: { ...sealed, data } } as unknown as SealedEvent;
  expect(await book.wait(loose, LONG_MS)).toBe(false);
});

test("what is unacknowledged is counted over all epochs, and its age told", () => {
  const book = createAcknowledgements();
  expect([book.unacknowledged(), book.oldestMs(100)]).toEqual([0, 0]);
  book.durable(A, 1, 10);
  book.durable(A, 4, 20);
  expect([book.unacknowledged(), book.oldestMs(100)]).toEqual([5, 90]);
  book.acknowledge(A, 0);
  // The second was there with the first.
  expect([book.unacknowledged(), book.oldestMs(100)]).toEqual([4, 90]);
  book.acknowledge(A, 1);
  expect([book.unacknowledged(), book.oldestMs(100)]).toEqual([3, 80]);
  book.acknowledge(A, 3);
  expect([book.unacknowledged(), book.oldestMs(100)]).toEqual([1, 80]);
  book.acknowledge(A, 4);
  expect([book.unacknowledged(), book.oldestMs(100)]).toEqual([0, 0]);
  book.durable(A, 5, 95);
  expect([book.unacknowledged(), book.oldestMs(100)]).toEqual([1, 5]);
  book.durable(B, 0, 97);
  expect([book.unacknowledged(), book.oldestMs(100)]).toEqual([2, 5]);
});

test("an epoch is complete when the processor has all that is durable of it", () => {
  const book = createAcknowledgements();
  expect(book.isComplete(A)).toBe(false);
  book.durable(A, 2, 0);
  expect(book.isComplete(A)).toBe(false);
  // Of an epoch that is not in the book nothing is known.
  book.acknowledge(B, 7);
  expect(book.isComplete(B)).toBe(false);
  book.acknowledge(A, 2);
  expect(book.isComplete(A)).toBe(true);
  // Durable before another that was told first.
  book.durable(A, 1, 0);
  expect(book.isComplete(A)).toBe(true);
});

test("an epoch that is acknowledged is forgotten when the next begins, one that is not stays", async () => {
  const book = createAcknowledgements();
  book.durable(A, 2, 0);
  book.acknowledge(A, 2);
  book.durable(B, 1, 0);
  expect(book.isComplete(A)).toBe(false);
  book.durable("c".repeat(32), 0, 0);
  expect(book.unacknowledged()).toBe(3);
  // Somebody waits for what is not durable yet.
  const other = "d".repeat(32);
  const waiting = book.wait(event(other, 0), LONG_MS);
  book.durable("e".repeat(32), 0, 0);
  expect(await isPending(waiting)).toBe(true);
  book.durable(other, 0, 0);
  book.acknowledge(other, 0);
  expect(await waiting).toBe(true);
});

test("over sixteen epochs the oldest is forgotten, and who waits for it is told", async () => {
  const book = createAcknowledgements();
  for (let n = 0; n < 16; n++) book.durable(epochId(n), 0, n);
  const [first, second] = [
    book.wait(event(epochId(0), 0), LONG_MS),
    book.wait(event(epochId(1), 0), LONG_MS),
  ];
  expect(book.unacknowledged()).toBe(16);
  book.durable(epochId(16), 0, 16);
  expect(await first).toBe(false);
  expect(await isPending(second)).toBe(true);
  expect([book.unacknowledged(), book.oldestMs(100)]).toEqual([16, 99]);
  book.giveUp();
});

test("many points in time are thinned out, and the oldest stays", () => {
  const book = createAcknowledgements();
  for (let seq = 0; seq < 5_000; seq++) book.durable(A, seq, seq);
  expect(book.oldestMs(6_000)).toBe(6_000);
  book.acknowledge(A, 2_499);
  const age = book.oldestMs(6_000);
  // The mark before it, a few events older.
  expect(age).toBeGreaterThanOrEqual(3_500);
  expect(age).toBeLessThan(3_600);
});
