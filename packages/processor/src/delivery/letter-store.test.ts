import { expect, test } from "vitest";
import type { StoredRecord } from "../kafka/port.ts";
import { letterOfRecord } from "./letter-store.ts";

const stranger = {
  partition: 2,
  offset: 7n,
  key: null,
  value: Buffer.from("anything"),
  headers: new Map(),
  timestampMs: 1_795_000_000_000,
} as unknown as StoredRecord;

test("a record that somebody else wrote is a letter of which little is known", () => {
  expect(letterOfRecord(stranger)).toMatchObject({
    id: "2:7",
    time: "2026-11-18T11:06:40.000Z",
    bytes: Buffer.from("anything"),
  });
});

test.each([Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER, Number.NaN])(
  "the time %d is none, and ends no listing",
  (timestampMs) => {
    expect(letterOfRecord({ ...stranger, timestampMs }).time).toBe("");
  },
);
