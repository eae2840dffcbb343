import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createFaultyFs, failNth } from "@countersign/journal/testing";
import { CountersignError } from "@countersign/model";
import { type Component, type Consumer, type Decisions, type Runtime } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { openCursor } from "../cursor.ts";
import { archiveExporter } from "../exporters/archive.ts";
import { sealedEvents } from "../testing/events.ts";
import { runtimeOf, scratch, SIGNAL } from "../testing/exporters.ts";
import { archiveReceiver } from "./archive.ts";

const ORIGIN = "test.example/a";

interface Bench {
  readonly directory: string;
  /** A receiver that hands on to `consume`, started. */
  readonly follow: (
    consume: Consumer<Decisions>["consume"],
    pipeline?: string,
  ) => Promise<Component>;
  readonly append: (count: number, epoch: string) => Promise<readonly string[]>;
  readonly close: () => Promise<void>;
}

async function bench(directory: string = scratch()): Promise<Bench> {
  const exporter = archiveExporter.create(
    { directory: join(directory, "archive"), origin: ORIGIN } as never,
    runtimeOf("archive"),
  ) as Component & Consumer<Decisions>;
  await exporter.start(SIGNAL);
  return {
    directory,
    follow: async (consume, pipeline = "decisions/siem") => {
      const runtime = {
        ...runtimeOf("archive"),
        service: { exporter: () => exporter },
      } as unknown as Runtime;
      const config = { from: "archive", cursors: join(directory, "cursors") };
      const next = { traces: [], logs: [], decisions: [{ pipeline, consumer: { consume } }] };
      const receiver = archiveReceiver.create(config as never, runtime, next);
      await receiver.start(SIGNAL);
      return receiver;
    },
    append: async (count, epoch) => {
      const events = sealedEvents(count, { epoch: epoch.repeat(32) });
      await exporter.consume({ events }, SIGNAL);
      return events.map(({ hash }) => hash);
    },
    close: () => exporter.stop(SIGNAL),
  };
}

const deadline = (): AbortSignal => AbortSignal.timeout(5000);

test("reads what is there and what comes, names the range, and goes on where it was", async () => {
  const { follow, append, close } = await bench();
  const expected = [...(await append(700, "1"))];
  const got: string[] = [];
  const ranges: string[] = [];
  const consume = async ({ events, origin }: Decisions): Promise<void> => {
    got.push(...events.map(({ hash }) => hash));
    ranges.push(`${origin?.log} ${origin?.first}-${origin?.last}`);
  };
  const first = await follow(consume);
  await expect.poll(() => got.length).toBe(700);
  expect(ranges).toEqual([`${ORIGIN} 0-511`, `${ORIGIN} 512-699`]);
  expected.push(...(await append(3, "2")));
  await expect.poll(() => got.length).toBe(703);
  await first.stop(deadline());
  expected.push(...(await append(2, "3")));
  const second = await follow(consume);
  await expect.poll(() => got.length).toBe(705);
  await second.stop(deadline());
  expect(got).toEqual(expected);
  await close();
});

test("the position moves only when the pipeline took the events", async () => {
  const { follow, append, close, directory } = await bench();
  await append(4, "1");
  let tries = 0;
  const refusing = await follow(async () => {
    tries += 1;
    throw new CountersignError("UNAVAILABLE", "siem: down");
  });
  await expect.poll(() => tries).toBeGreaterThan(0);
  await refusing.stop(deadline());
  const got: Decisions[] = [];
  const taking = await follow(async (batch) => void got.push(batch));
  await expect.poll(() => got.length).toBe(1);
  await taking.stop(deadline());
  expect(got[0]?.events).toHaveLength(4);
  expect(readFileSync(join(directory, "cursors", "decisions+siem.json"), "utf8")).toBe(
    `{"origin":"${ORIGIN}","position":"4"}\n`,
  );
  await close();
});

test("each pipeline has its own position", async () => {
  const { follow, append, close } = await bench();
  await append(2, "1");
  const counts = { a: 0, b: 0 };
  const a = await follow(async ({ events }) => void (counts.a += events.length), "decisions/a");
  await expect.poll(() => counts.a).toBe(2);
  const b = await follow(async ({ events }) => void (counts.b += events.length), "decisions/b");
  await expect.poll(() => counts.b).toBe(2);
  await Promise.all([a.stop(deadline()), b.stop(deadline())]);
  expect(counts).toEqual({ a: 2, b: 2 });
  await close();
});

test.each([
  [`{"origin":"other.example/b","position":"1"}\n`, "CONFIG_INVALID", /another log/],
  [`{"origin":"${ORIGIN}","position":"99"}\n`, "CONFIG_INVALID", /not the archive that was read/],
  ["{}", "UNAVAILABLE", /damaged/],
])("a cursor that does not fit stops the start: %s", async (content, code, message) => {
  const { follow, append, close, directory } = await bench();
  await append(1, "1");
  const first = await follow(() => Promise.resolve());
  await expect
    .poll(() => readFileSync(join(directory, "cursors", "decisions+siem.json"), "utf8"))
    .toContain('"1"');
  await first.stop(deadline());
  writeFileSync(join(directory, "cursors", "decisions+siem.json"), content);
  await expect(follow(() => Promise.resolve())).rejects.toMatchObject({
    code,
    message: expect.stringMatching(message) as string,
  });
  await close();
});

test("stop in the middle of a batch: aborted at the deadline, and the position stays", async () => {
  const { follow, append, close } = await bench();
  await append(2, "1");
  let asked = 0;
  const stuck = await follow(async (_batch, signal) => {
    asked += 1;
    await new Promise((_resolve, reject) =>
      signal.addEventListener("abort", () => reject(new CountersignError("CANCELLED", "x"))),
    );
  });
  await expect.poll(() => asked).toBe(1);
  await stuck.stop(AbortSignal.timeout(10));
  let got = 0;
  const next = await follow(async ({ events }) => void (got = events.length));
  await expect.poll(() => got).toBe(2);
  await next.stop(deadline());
  await close();
});

test("a cursor is the old one or the new one, whichever operation of the disk fails", async () => {
  for (let nth = 1; nth < 12; nth += 1) {
    const directory = scratch();
    const options = { directory, name: "a/b", origin: ORIGIN, id: "archive" };
    await (await openCursor(options)).commit(3n);
    const fs = createFaultyFs(failNth(nth, "EIO"));
    try {
      await (await openCursor({ ...options, fs })).commit(7n);
    } catch {
      // The fault.
    }
    const after = await openCursor(options);
    expect([3n, 7n]).toContain(after.position);
    await after.commit(9n);
    expect((await openCursor(options)).position).toBe(9n);
  }
});
