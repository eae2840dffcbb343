import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "./clock.ts";
import { type EpochWriter, openEpochWriter } from "./epoch-writer.ts";
import { createFaultyFs, type FaultyFs } from "./testing/faulty-fs.ts";
import { decision, EPOCH_INFO, type Scratch, scratch } from "./testing/journal-fixture.ts";

const EPOCH = "8ca74318d50c4c1be14ceba89d191e69";

async function open(s: Scratch, fs: FaultyFs, faults: string[] = []): Promise<EpochWriter> {
  const epochPath = join(s.directory, "epoch");
  mkdirSync(epochPath);
  return await openEpochWriter({
    fs,
    epochPath,
    header: {
      emitter: "origin",
      epoch: EPOCH,
      epochNumber: 1,
      tenant: EPOCH_INFO.tenant,
      service: { name: "tickets" },
      producer: "0.1.0",
    },
    clock: systemClock,
    segmentBytes: 1_000_000,
    maxWaiting: 100,
    maxWaitingBytes: 1_000_000,
    gatherMs: 10,
    onDurable: () => undefined,
    onFault: (error) => faults.push(error.code),
  });
}

test("a writer that failed once refuses for ever, without touching the disk", async () => {
  using s = scratch();
  const faults: string[] = [];
  const fs = createFaultyFs(({ operation, ofOperation }) =>
    operation === "datasync" && ofOperation === 2 ? { errno: "EIO" } : undefined,
  );
  const writer = await open(s, fs, faults);
  await writer.append(decision());
  const together = await Promise.allSettled([writer.append(decision()), writer.append(decision())]);
  expect(together.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(faults).toEqual(["UNAVAILABLE"]);
  const calls = fs.calls.filter(({ operation }) => operation !== "close").length;
  await expect(writer.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await writer.close();
  expect(fs.calls.filter(({ operation }) => operation !== "close")).toHaveLength(calls);
  expect(writer.durable?.seq).toBe(0);
});

test("a failing sync refuses also those who came while it ran, and what they brought is not written", async () => {
  using s = scratch();
  const faults: string[] = [];
  const release = Promise.withResolvers<void>();
  const fs = createFaultyFs(({ operation }) =>
    operation === "datasync" ? { errno: "EIO", until: release.promise } : undefined,
  );
  const writer = await open(s, fs, faults);
  const first = writer.append(decision());
  while (!fs.calls.some(({ operation }) => operation === "datasync")) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const later = writer.append(decision());
  release.resolve();
  const outcomes = await Promise.allSettled([first, later]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await writer.close();
  expect(faults).toHaveLength(1);
  const writes = fs.calls.filter(({ operation }) => operation === "append");
  // The header, and the first event.
  expect(writes).toHaveLength(2);
});

test("callers are told in the order in which they came", async () => {
  using s = scratch();
  const writer = await open(s, createFaultyFs());
  const order: number[] = [];
  await Promise.all(
    Array.from({ length: 50 }, (_, n) => writer.append(decision()).then(() => order.push(n))),
  );
  expect(order).toEqual(Array.from({ length: 50 }, (_, n) => n));
  await writer.close();
});

test("close waits for what is pending", async () => {
  using s = scratch();
  const writer = await open(s, createFaultyFs());
  const pending = Array.from({ length: 5 }, () => writer.append(decision()));
  await writer.close();
  await expect(Promise.all(pending)).resolves.toHaveLength(5);
  await expect(writer.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
});
