// Which offsets are read again, and when they are.
import { expect, test } from "vitest";
import type { Rereading, StoredRecord } from "./port.ts";
import { Rereads } from "./rereads.ts";

function scene(wanted: bigint, maxRecords = 1000): { rereads: Rereads; said: string[] } {
  const said: string[] = [];
  const rereading: Rereading = {
    from: () => wanted,
    complete: (partition) => void said.push(`complete ${partition}`),
    released: (partition) => void said.push(`released ${partition}`),
  };
  return { rereads: new Rereads(rereading, maxRecords), said };
}

const records = (...offsets: bigint[]): StoredRecord[] =>
  offsets.map((offset) => ({ offset }) as StoredRecord);

test("from where it is wanted to where the group is, cut where the new begins", () => {
  const { rereads, said } = scene(4n);
  expect(rereads.plan(0, { low: 0n, position: 8n })).toEqual({
    partition: 0,
    from: 4n,
    until: 8n,
    left: 0n,
  });
  const batch = records(4n, 5n, 6n, 7n, 8n, 9n);
  expect(rereads.sort(0, batch)).toEqual({ kind: "again", records: batch.slice(0, 4) });
  expect(rereads.reached(0, 6n)).toBe(false);
  expect(said).toEqual([]);
  expect(rereads.reached(0, 8n)).toBe(true);
  expect(said).toEqual(["complete 0"]);
  expect(rereads.sort(0, records(8n, 9n))).toEqual({ kind: "new" });
});

test.each([
  ["the state has it all", 8n, { low: 0n, position: 8n }],
  ["the state is further than the group", 12n, { low: 0n, position: 8n }],
  ["the group has read nothing yet", 0n, { low: 5n, position: 5n }],
])("nothing to read again: %s", (_, wanted, place) => {
  const { rereads, said } = scene(wanted);
  expect(rereads.plan(0, place)).toBeUndefined();
  expect(said).toEqual(["complete 0"]);
});

test.each([
  ["expired", 1000, { low: 6n, position: 8n }, 6n],
  ["over the limit", 3, { low: 0n, position: 8n }, 5n],
])("what is %s is not read, and said to be left out", (_, most, place, from) => {
  const { rereads } = scene(1n, most);
  expect(rereads.plan(0, place)).toMatchObject({ from, left: from - 1n });
});

test("what was fetched before the feed was sent back is asked for again, once", () => {
  const { rereads, said } = scene(0n);
  rereads.plan(0, { low: 0n, position: 8n });
  expect(rereads.sort(0, records(8n))).toEqual({ kind: "elsewhere", seek: 0n });
  expect(said).toEqual([]);
  // Nothing is there between: it has expired meanwhile, or is no record.
  expect(rereads.sort(0, records(8n))).toEqual({ kind: "new" });
  expect(said).toEqual(["complete 0"]);
});

test("a partition that goes to somebody else is not read again any more", () => {
  const { rereads, said } = scene(0n);
  rereads.plan(0, { low: 0n, position: 8n });
  rereads.release(0);
  expect(said).toEqual(["released 0"]);
  expect(rereads.sort(0, records(0n))).toEqual({ kind: "new" });
});
