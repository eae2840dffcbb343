import { CountersignError } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { cutRequests, deliver, type Placed, type Verdict } from "./deliver.ts";
import { Outcome } from "./outcome.ts";

test("requests hold everything once, in order, within their limits", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 40 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 9 }), (events, maxEvents) => {
      const requests = cutRequests(events, { maxBytes: 60, maxEvents, sizeOf: (size) => size });
      expect(requests.flat()).toEqual(events);
      for (const request of requests) {
        expect(request.length).toBeGreaterThan(0);
        expect(request.length).toBeLessThanOrEqual(maxEvents);
        expect(request.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(60);
      }
    }),
  );
});

test("one that is larger than a request goes alone", () => {
  const limits = { maxBytes: 10, maxEvents: 9, sizeOf: (size: number) => size };
  expect(cutRequests([4, 70, 4, 4], limits)).toEqual([[4], [70], [4, 4]]);
});

function settled(outcome: Outcome): Partial<CountersignError> {
  try {
    outcome.settle();
    return {};
  } catch (error) {
    return error as CountersignError;
  }
}

/** A destination that takes at most `room` events a request, none of `bad`, and is away after `calls` requests. */
interface Destination {
  readonly room: number;
  readonly bad: readonly number[];
  readonly names: "index" | "none" | "throws";
  readonly calls: number;
}

test("each event ends up taken once, refused, or waiting", async () => {
  const destination = fc.record({
    room: fc.integer({ min: 1, max: 12 }),
    bad: fc.uniqueArray(fc.integer({ min: 0, max: 19 }), { maxLength: 6 }),
    names: fc.constantFrom("index", "none", "throws"),
    calls: fc.integer({ min: 0, max: 60 }),
  });
  await fc.assert(
    fc.asyncProperty(destination, async ({ room, bad, names, calls }: Destination) => {
      const taken: number[] = [];
      let called = 0;
      const send = async (events: Placed[]): Promise<Verdict> => {
        called += 1;
        if (called > calls) throw new CountersignError("UNAVAILABLE", "x: away");
        if (events.length > room) return { kind: "too_large" };
        const at = events.findIndex(({ index }) => bad.includes(index));
        if (at >= 0 && names === "throws") throw new CountersignError("REJECTED", "x: bad");
        if (at >= 0)
          return { kind: "refused", reason: "bad", ...(names === "index" ? { at } : {}) };
        taken.push(...events.map(({ index }) => index));
        return { kind: "taken" };
      };
      const events = Array.from({ length: 20 }, (_, index) => ({ index }));
      const outcome = new Outcome("x");
      await deliver([events.slice(0, 12), events.slice(12)], outcome, send);
      const { code, failed = [] } = settled(outcome);
      const isAway = called > calls;
      expect(code).toBe(isAway ? "UNAVAILABLE" : bad.length > 0 ? "REJECTED" : undefined);
      expect([...taken, ...failed].toSorted((a, b) => a - b)).toEqual(
        events.map(({ index }) => index),
      );
      expect(taken).toEqual(taken.toSorted((a, b) => a - b));
      expect(taken.filter((index) => bad.includes(index))).toEqual([]);
      expect(isAway || failed.length === bad.length).toBe(true);
    }),
  );
});
