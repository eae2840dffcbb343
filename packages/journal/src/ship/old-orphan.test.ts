// What a process left a month ago, when its machine was switched off: shipped as it is, oldest epoch first.
import { cpSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { StartEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { decision, eventually, scratch, soon } from "../testing/journal-fixture.ts";
import { startOtlpReceiver } from "../testing/otlp-receiver.ts";

const DAY_MS = 86_400_000;
const LIMITS = { segmentBytes: 4_096, reserveBytes: 0 };

test("orphans of a month ago arrive whole, in order, with the times that they had", async () => {
  using s = scratch();
  const root = join(s.directory, "journal");
  const left = join(s.directory, "left");
  const epochs: string[] = [];
  for (const daysAgo of [31, 30]) {
    const clock = { now: () => Date.now() - daysAgo * DAY_MS };
    const dead = s.journal({ emitter: "origin", clock, limits: LIMITS });
    for (let n = 0; n < 12; n++) await dead.append(decision(`tool_${n}`));
    epochs.push(dead.status().epoch as string);
    // As a power cut leaves it: the last one has no stop, none has an end, and the leases are of a process that is no more.
    cpSync(root, left, { recursive: true, filter: (path) => !/\/(lease\.0|end)$/.test(path) });
    await dead.stop("shutdown", soon());
  }
  rmSync(root, { recursive: true });
  cpSync(left, root, { recursive: true });
  const then = new Date(Date.now() - 30 * DAY_MS);
  for (const number of ["0000000001", "0000000002"]) {
    const lease = join(root, "origin", number, "lease.0");
    writeFileSync(
      lease,
      JSON.stringify({ token: "t", pid: 1, startTime: "0", boot: "another", pidNamespace: "0" }),
    );
  }
  for (const name of readdirSync(root, { recursive: true, encoding: "utf8" })) {
    utimesSync(join(root, name), then, then);
  }

  const receiver = await startOtlpReceiver();
  const journal = s.journal({ emitter: "origin", ship: { endpoint: receiver.endpoint } });
  await journal.append(decision());
  await eventually(() => receiver.events(epochs[1]).length >= 13);
  await journal.stop("shutdown", soon());
  expect(receiver.violations).toEqual([]);
  const old = receiver.events().filter(({ epoch }) => epochs.includes(epoch));
  expect(old.map(({ epoch, seq }) => [epochs.indexOf(epoch), seq])).toEqual(
    [14, 13].flatMap((count, epoch) => Array.from({ length: count }, (_, seq) => [epoch, seq])),
  );
  const daysOld = old.map(({ text }) => {
    const { time } = JSON.parse(text) as { time: string };
    return Math.round((Date.now() - Date.parse(time)) / DAY_MS);
  });
  expect(new Set(daysOld)).toEqual(new Set([31, 30]));
  expect(receiver.events().filter(({ kind }) => kind === "lost")).toEqual([]);
  const wal = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".wal"),
  );
  expect(wal).toEqual([]);
  const starts = receiver.events().filter(({ kind }) => kind === "start");
  expect(starts.map(({ text }) => (JSON.parse(text) as StartEvent).data)).toContainEqual(
    expect.objectContaining({
      epochNumber: 3,
      previous: expect.objectContaining({ epoch: epochs[1], end: "no_stop" }),
    }),
  );
  await receiver.stop();
});
