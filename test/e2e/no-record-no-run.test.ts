// The promise: no record, no run. A disk that is slow, then fails, under a real SDK server with a side effect.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { type FaultyFs, createFaultyFs } from "@countersign/journal/testing";
import type { CountersignEvent, StartEvent } from "@countersign/model";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openRecordedServer, type RecordedServer } from "./fixtures/recorded-server.ts";
import { eventually } from "./fixtures/sdk/harness.ts";
import { readJournal } from "./fixtures/sdk/journal-events.ts";

interface Bench extends RecordedServer {
  readonly disk: FaultyFs;
  readonly directory: string;
  close(): Promise<void>;
}

async function openBench(generation: string): Promise<Bench> {
  const directory = mkdtempSync(join(tmpdir(), "no-record-"));
  const disk = createFaultyFs();
  const server = await openRecordedServer({ generation, directory, disk });
  return {
    ...server,
    disk,
    directory,
    close: async () => {
      disk.plan = () => undefined;
      await server.gate.stop("shutdown", AbortSignal.timeout(5_000));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Enough turns of the event loop for anything that does not wait for the disk. */
async function turns(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other is the point
    await turn();
  }
}

describe.each(["v1", "v2"])("SDK %s", (generation) => {
  let bench: Bench;
  beforeEach(async () => {
    bench = await openBench(generation);
    // The first call opens the epoch.
    await bench.call();
  });
  afterEach(() => bench.close());

  const syncs = (): number =>
    bench.disk.calls.filter(({ operation }) => operation === "datasync").length;
  const events = (): CountersignEvent[] => readJournal(bench.directory);
  /** The first call's outcome is on the disk too, so that the next sync is the next decision's. */
  const settled = () =>
    eventually(
      () => events().some(({ type }) => type.endsWith("outcome.v1")),
      () => "no outcome",
    );

  test("while the disk has not answered, the handler has not started", async () => {
    await settled();
    expect(bench.effects).toHaveLength(1);
    const before = syncs();
    const { promise: until, resolve: release } = Promise.withResolvers<void>();
    bench.disk.plan = ({ operation }) => (operation === "datasync" ? { until } : undefined);
    const pending = bench.call();
    await eventually(
      () => syncs() > before,
      () => "nothing is being synced",
    );
    await turns(200);
    expect(bench.effects).toHaveLength(1);
    release();
    expect((await pending).content).toEqual([{ type: "text", text: "done" }]);
    expect(bench.effects).toHaveLength(2);
  });

  test("when the disk fails, the call does not run, and says so without an id", async () => {
    await settled();
    bench.disk.plan = ({ operation }) => (operation === "datasync" ? { errno: "EIO" } : undefined);
    expect(await bench.call()).toMatchObject({
      isError: true,
      content: [{ type: "text", text: "Access could not be recorded, so the call was not run." }],
    });
    await turns(200);
    expect(bench.effects).toHaveLength(1);
  });

  test("what was stopped so is counted in the next epoch, and calls run again", async () => {
    await settled();
    bench.disk.plan = ({ operation }) => (operation === "datasync" ? { errno: "EIO" } : undefined);
    await bench.call();
    bench.disk.plan = () => undefined;
    let answer = await bench.call();
    const deadline = performance.now() + 10_000;
    while (answer.isError === true && performance.now() < deadline) {
      // oxlint-disable-next-line no-await-in-loop -- this is the poll
      answer = await bench.call();
    }
    expect(answer.isError).toBeUndefined();
    expect(bench.effects).toHaveLength(2);
    const starts = events().filter((event): event is StartEvent => event.type.endsWith("start.v1"));
    expect(starts.at(-1)?.data).toMatchObject({
      previous: { end: "journal_fault" },
      auditDenied: expect.any(Number),
    });
  });
});
