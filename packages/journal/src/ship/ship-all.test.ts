import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { deadEpoch, EMITTER, epochId, openEpoch } from "../testing/dead-epoch.ts";
import { type Scratch, scratch } from "../testing/journal-fixture.ts";
import { type OtlpReceiver, startOtlpReceiver } from "../testing/otlp-receiver.ts";
import { shipAll } from "./ship-all.ts";

function home({ directory }: Scratch): string {
  return join(directory, EMITTER);
}

function ship(
  s: Scratch,
  { endpoint }: { endpoint: string },
  signal = AbortSignal.timeout(30_000),
) {
  const { directory, log } = s;
  return shipAll({ directory, log, ship: { endpoint }, signal });
}

function seqs(receiver: OtlpReceiver, number: number): number[] {
  return receiver.events(epochId(number)).map(({ seq }) => seq);
}

test("what nobody holds is shipped, counted, and deleted; what somebody holds is not", async () => {
  using s = scratch();
  await deadEpoch(home(s), 3);
  await deadEpoch(home(s), 2, 100);
  const { writer, claim } = await openEpoch(home(s));
  const receiver = await startOtlpReceiver();
  expect(await ship(s, receiver)).toBe(5);
  expect([seqs(receiver, 1), seqs(receiver, 2), seqs(receiver, 3)]).toEqual([
    [0, 1, 2],
    [0, 1],
    [],
  ]);
  expect(readdirSync(join(home(s), "0000000001"))).toEqual(["end"]);
  expect(readdirSync(join(home(s), "0000000002"))).toEqual(["end"]);
  expect(await ship(s, receiver)).toBe(0);
  await writer.close();
  await claim.lease.release();
  await receiver.stop();
});

test("a receiver that is not there is said at once, and nothing is deleted", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 3);
  const receiver = await startOtlpReceiver();
  await receiver.stop();
  await expect(ship(s, receiver)).rejects.toMatchObject({
    code: "UNAVAILABLE",
    message: `journal: ${receiver.endpoint}/v1/logs cannot be reached`,
    cause: { code: "CANCELLED" },
  });
  expect(readdirSync(path)).toEqual(["00000000.wal", "end"]);
});

test("a receiver that refuses ends the round", async () => {
  using s = scratch();
  await deadEpoch(home(s), 1);
  const receiver = await startOtlpReceiver();
  receiver.behaviour = () => ({ status: 401 });
  await expect(ship(s, receiver)).rejects.toMatchObject({ code: "REJECTED" });
  await receiver.stop();
});

test("who gives up is told that, and not that the receiver is away", async () => {
  using s = scratch();
  await deadEpoch(home(s), 1);
  const receiver = await startOtlpReceiver();
  const gone = new AbortController();
  receiver.behaviour = () => {
    gone.abort();
    return { status: 503 };
  };
  await expect(ship(s, receiver, gone.signal)).rejects.toMatchObject({ code: "CANCELLED" });
  await receiver.stop();
});

test("an epoch with records that are unreadable is left for a process that can record that", async () => {
  using s = scratch();
  const path = await deadEpoch(home(s), 4, 100);
  await deadEpoch(home(s), 1);
  writeFileSync(join(path, "00000001.wal"), "not a segment any more");
  mkdirSync(join(s.directory, "other", "not-an-epoch"), { recursive: true });
  const receiver = await startOtlpReceiver();
  expect(await ship(s, receiver)).toBe(1);
  expect(readdirSync(path)).toContain("00000003.wal");
  expect(s.log.lines.filter(({ level }) => level === "warn")).toMatchObject([
    { fields: { path, code: "UNAVAILABLE" } },
  ]);
  await receiver.stop();
});
