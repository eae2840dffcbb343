import { CountersignError } from "@countersign/model";
import { expect, test } from "vitest";
import { Outcome } from "./outcome.ts";

const settled = (outcome: Outcome): unknown => {
  try {
    outcome.settle();
    return undefined;
  } catch (error) {
    const { code, failed, reasons, retryAfterMs, message } = error as CountersignError;
    return { code, failed, reasons, retryAfterMs, message };
  }
};
const away = (retryAfterMs: number): CountersignError =>
  new CountersignError("UNAVAILABLE", `x: away for ${retryAfterMs}`, { retryAfterMs });

test("nothing failed, nothing is thrown", () => {
  expect(settled(new Outcome("x"))).toBeUndefined();
});

test("for good: every index with its reason, in order", () => {
  const outcome = new Outcome("x");
  outcome.refuse(7, "too_large");
  outcome.refuse(2, "hec_6");
  expect(settled(outcome)).toMatchObject({
    code: "REJECTED",
    failed: [2, 7],
    reasons: ["hec_6", "too_large"],
  });
});

test("for now wins and names all; the longest wait counts", () => {
  const outcome = new Outcome("x");
  outcome.refuse(3, "too_large");
  outcome.fail([1, 2], away(10));
  outcome.fail([5], away(30));
  outcome.fail([0], away(20));
  expect(settled(outcome)).toMatchObject({
    code: "UNAVAILABLE",
    failed: [0, 1, 2, 3, 5],
    reasons: undefined,
    retryAfterMs: 30,
    message: "x: away for 30",
  });
});

test("a request that was refused whole: its message stays", () => {
  const outcome = new Outcome("x");
  outcome.fail([0, 1], new CountersignError("REJECTED", "x: refuses what was sent (422)"));
  expect(settled(outcome)).toMatchObject({
    code: "REJECTED",
    failed: [0, 1],
    reasons: ["rejected", "rejected"],
    message: "x: refuses what was sent (422)",
  });
});

test.each([new Error("strange"), new CountersignError("CANCELLED", "x: stopped")])(
  "%s is nobody's outcome",
  (error) => {
    expect(() => new Outcome("x").fail([0], error)).toThrow(error);
  },
);
