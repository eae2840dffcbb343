import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CountersignError } from "@countersign/model";
import { expect, test } from "vitest";
import type { Position, SeqRange } from "../epoch-reader.ts";
import { encodeFrame, FRAME_HEADER_BYTES } from "../frames.ts";
import { nodeFs } from "../fs.ts";
import type { SegmentHeader } from "../segment.ts";
import { deadEpoch, EMITTER, epochId, spoilByte } from "../testing/dead-epoch.ts";
import { createFaultyFs } from "../testing/faulty-fs.ts";
import { EPOCH_INFO, type Scratch, scratch } from "../testing/journal-fixture.ts";
import { readCursor } from "./cursor.ts";
import { encodedSize, encodeRequest } from "./otlp-logs.ts";
import { createShipment, type Shipment, type ShipmentOptions } from "./shipment.ts";

const NEVER = new AbortController().signal;

interface Shipped {
  readonly shipment: Shipment;
  readonly fs: ReturnType<typeof createFaultyFs>;
  readonly batches: number[][];
  readonly bytes: number[];
  readonly resources: SegmentHeader[];
  readonly acknowledged: number[];
  readonly deleted: number[];
  readonly lost: SeqRange[];
  /** Fails a `send`, or a record of what is lost. */
  fails: { send?: boolean; lost?: boolean };
}

async function shipping(
  s: Scratch,
  epochPath: string,
  options: Partial<ShipmentOptions> = {},
): Promise<Shipped> {
  const fs = createFaultyFs();
  const fails: Shipped["fails"] = {};
  const found = { batches: [], bytes: [], resources: [], acknowledged: [], deleted: [], lost: [] };
  const seen = found as unknown as Shipped;
  const shipment = await createShipment({
    fs,
    epochPath,
    log: s.log,
    sender: {
      state: "ok",
      hurry: () => undefined,
      send: (records, resource) => {
        if (fails.send === true) return Promise.reject(new CountersignError("CANCELLED", "no"));
        seen.batches.push(records.map(({ seq }) => seq));
        seen.bytes.push(Buffer.byteLength(encodeRequest(records, resource, 0)));
        seen.resources.push(resource);
        return Promise.resolve();
      },
    },
    onAcknowledged: (seq) => seen.acknowledged.push(seq),
    onDeleted: (segment) => seen.deleted.push(segment),
    onLost: (lost) => {
      if (fails.lost === true) return Promise.reject(new Error("no epoch"));
      seen.lost.push(...lost);
      return Promise.resolve();
    },
    ...options,
  });
  return Object.assign(seen, { shipment, fs, fails });
}

function home({ directory }: Scratch): string {
  return join(directory, EMITTER);
}

function upTo(count: number, from = 0): number[] {
  return Array.from({ length: count }, (_, n) => from + n);
}

function segments(path: string): string[] {
  return readdirSync(path).filter((name) => name.endsWith(".wal"));
}

test("at most 512 events go together, in order; what was shipped stays shipped", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 1_030);
  const one = await shipping(s, path);
  expect(one.shipment.next).toBeUndefined();
  await one.shipment.ship(NEVER);
  expect(one.batches).toEqual([upTo(512), upTo(512, 512), upTo(6, 1_024)]);
  expect([one.acknowledged, one.shipment.next]).toEqual([[511, 1_023, 1_029], 1_030]);
  expect(one.resources[0]).toMatchObject({ epoch: epochId(1), producer: "0.1.0" });
  await one.shipment.close();
  const counts = (what: string): number =>
    one.fs.calls.filter(({ operation }) => operation === what).length;
  // The cursor that was not there yet could not be opened, twice.
  expect(counts("close")).toBe(counts("open") - 2);
  const two = await shipping(s, path);
  expect(two.shipment.next).toBe(1_030);
  await two.shipment.ship(NEVER);
  expect([two.batches, two.lost]).toEqual([[], []]);
  await two.shipment.close();
});

test("it goes on where it was: what was acknowledged is not sent again, nor lost", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 5, 100);
  const one = await shipping(s, path);
  one.fails.send = true;
  await expect(one.shipment.ship(NEVER)).rejects.toMatchObject({ code: "CANCELLED" });
  expect([one.acknowledged, await readCursor(nodeFs, path)]).toEqual([[], undefined]);
  one.fails.send = false;
  await one.shipment.ship(NEVER);
  expect(one.batches).toEqual([upTo(5)]);
  expect([one.deleted, segments(path)]).toEqual([[4], ["00000004.wal"]]);
  await one.shipment.close();
  const two = await shipping(s, path);
  await two.shipment.ship(NEVER);
  expect([two.batches, two.lost, two.deleted]).toEqual([[], [], []]);
  await two.shipment.close();
});

test("segments are deleted once, behind a cursor that is durable", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 4, 100);
  let limit: Position | undefined;
  const { shipment, fs, batches, deleted } = await shipping(s, path, { limit: () => limit });
  await shipment.ship(NEVER);
  expect([batches, fs.calls.filter(({ operation }) => operation === "list")]).toEqual([[], []]);
  limit = { segment: 0, offset: 1_000_000 };
  await shipment.ship(NEVER);
  expect([batches, deleted, segments(path).length]).toEqual([[[0]], [], 4]);
  limit = { segment: 2, offset: 1_000_000 };
  await shipment.ship(NEVER);
  expect([batches.at(-1), deleted, segments(path)]).toEqual([
    [1, 2],
    [2],
    ["00000002.wal", "00000003.wal"],
  ]);
  const operations = fs.calls.map(({ operation }) => operation);
  expect(operations.lastIndexOf("syncDirectory")).toBeLessThan(operations.indexOf("remove"));
  await shipment.ship(NEVER);
  expect(deleted).toEqual([2]);
  await shipment.close();
});

test("a request has at most a mebibyte, and a record that is larger goes alone", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 1);
  const file = join(path, "00000000.wal");
  const bytes = readFileSync(file);
  const first = FRAME_HEADER_BYTES + bytes.readUInt32BE(4);
  const event = JSON.parse(bytes.subarray(first + FRAME_HEADER_BYTES).toString("utf8"));
  const frames = upTo(120, 1).map((seq) => {
    const large = { ...event, id: "x".repeat(30_000), data: { ...event.data } };
    large.data.chain = { ...event.data.chain, seq };
    return encodeFrame(seq, Buffer.from(JSON.stringify(large)));
  });
  writeFileSync(file, Buffer.concat([bytes, ...frames]));
  const { shipment, batches, bytes: sent, lost } = await shipping(s, path);
  await shipment.ship(NEVER);
  expect([batches.flat(), lost]).toEqual([upTo(121), []]);
  for (const size of sent) expect(size).toBeLessThanOrEqual(1_048_576);
  // One more would not have fitted.
  for (const size of sent.slice(0, -1)) expect(size).toBeGreaterThan(1_048_576 - 8_192 - 70_000);
  expect(encodedSize({ seq: 0, before: "a", after: "é" })).toBe(23);
  await shipment.close();
});

test("what is lost is recorded before anything behind it is sent, and told once", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 4, 100);
  rmSync(join(path, "00000001.wal"));
  const one = await shipping(s, path);
  one.fails.lost = true;
  await expect(one.shipment.ship(NEVER)).rejects.toThrow("no epoch");
  await expect(one.shipment.ship(NEVER)).rejects.toThrow("no epoch");
  expect(one.batches).toEqual([]);
  one.fails.lost = false;
  await one.shipment.ship(NEVER);
  expect([one.batches, one.lost]).toEqual([[[0, 2, 3]], [{ fromSeq: 1, toSeq: 1 }]]);
  await one.shipment.ship(NEVER);
  expect(one.lost).toHaveLength(1);
  await one.shipment.close();
});

test("a record that is whole and no event is lost, and said", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 1);
  const file = join(path, "00000000.wal");
  writeFileSync(file, Buffer.concat([readFileSync(file), encodeFrame(1, Buffer.from("{}"))]));
  const { shipment, batches, lost } = await shipping(s, path);
  await shipment.ship(NEVER);
  expect([batches, lost]).toEqual([[[0]], [{ fromSeq: 1, toSeq: 1 }]]);
  expect(s.log.lines).toMatchObject([{ level: "error", fields: { seq: 1 } }]);
  await shipment.close();
});

test("without a header the event says whose it is, but for the service", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 2);
  spoilByte(join(path, "00000000.wal"), 30);
  const { shipment, resources, batches } = await shipping(s, path);
  await shipment.ship(NEVER);
  expect(batches).toEqual([[0, 1]]);
  expect(resources).toEqual([
    {
      format: 1,
      emitter: EMITTER,
      epoch: epochId(1),
      epochNumber: 0,
      segment: 0,
      firstSeq: 0,
      prev: "0".repeat(64),
      tenant: EPOCH_INFO.tenant,
      service: { name: "unknown_service" },
      producer: "unknown",
    },
  ]);
  await shipment.close();
});
