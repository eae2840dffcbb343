import { errorCode } from "@countersign/model";
import type { Component } from "../component.ts";
import type { Consumer } from "../consumer.ts";

/** How the destination behaves for the next attempts. */
export type DestinationMood = "well" | "transient" | "permanent" | "partial";

/** An exporter under test and its destination. */
export interface ExporterFixture<Batch> {
  /** A new exporter, not started. */
  create(): (Component & Consumer<Batch>) | Promise<Component & Consumer<Batch>>;
  /** A batch of `size` items that no other call gave. */
  batch(size: number): Batch;
  /** How many items of a batch the destination has. */
  delivered(batch: Batch): number | Promise<number>;
  /** Changes what the destination does; an exporter whose destination cannot do it leaves the mood out of `moods`. */
  mood(mood: DestinationMood): void | Promise<void>;
  readonly moods: readonly DestinationMood[];
  /** It answers before the items are delivered (a queue in memory): a failure shows in figures, not in `consume`. */
  readonly queued?: true;
  /** Releases the destination. */
  close(): void | Promise<void>;
}

/** A check with a name, for any test runner: `for (const { name, run } of exporterContract(make)) test(name, run)`. */
export interface ContractCheck {
  readonly name: string;
  run(): Promise<void>;
}

const DEADLINE_MS = 5000;

/**
 * What every exporter promises: an item it took is at the destination or is taken back by a rejection; a failure for now is
 * OVERLOADED or UNAVAILABLE, one for good REJECTED; an abort ends it; `stop` drains, may be repeated, and is legal before `start`.
 */
export function exporterContract<Batch>(
  make: () => ExporterFixture<Batch> | Promise<ExporterFixture<Batch>>,
): readonly ContractCheck[] {
  const check = (
    name: string,
    body: (fixture: ExporterFixture<Batch>) => Promise<void>,
  ): ContractCheck => ({
    name,
    run: async () => {
      const fixture = await make();
      try {
        await body(fixture);
      } finally {
        await fixture.close();
      }
    },
  });
  return [
    check("delivers what it took", delivers),
    check("stop drains", drains),
    check("stop before start, and twice", stopsAnyTime),
    check("an aborted batch is refused, or delivered whole", aborts),
    check("a transient failure asks for a retry", transient),
    check("a permanent failure is REJECTED", permanent),
    check("a partial failure names the items that failed", partial),
  ];
}

async function running<Batch>(
  fixture: ExporterFixture<Batch>,
): Promise<Component & Consumer<Batch>> {
  const exporter = await fixture.create();
  await exporter.start(new AbortController().signal);
  return exporter;
}

async function delivers<Batch>(fixture: ExporterFixture<Batch>): Promise<void> {
  const exporter = await running(fixture);
  const batches = [fixture.batch(1), fixture.batch(3), fixture.batch(10)];
  await Promise.all(batches.map((batch) => exporter.consume(batch, new AbortController().signal)));
  if (fixture.queued === true) await exporter.stop(AbortSignal.timeout(DEADLINE_MS));
  const counts = [];
  for (const batch of batches) counts.push(await fixture.delivered(batch));
  await exporter.stop(AbortSignal.timeout(DEADLINE_MS));
  expectEqual(counts, [1, 3, 10], "delivered items");
}

async function drains<Batch>(fixture: ExporterFixture<Batch>): Promise<void> {
  const exporter = await running(fixture);
  const batch = fixture.batch(5);
  const taken = exporter.consume(batch, new AbortController().signal);
  if (fixture.queued === true) await taken;
  const stopped = exporter.stop(AbortSignal.timeout(DEADLINE_MS));
  const result = await Promise.allSettled([taken]).then(([one]) => one.status);
  await stopped;
  const count = await fixture.delivered(batch);
  if (result === "fulfilled") expectEqual(count, 5, "items delivered before stop resolved");
}

async function stopsAnyTime<Batch>(fixture: ExporterFixture<Batch>): Promise<void> {
  const never = await fixture.create();
  await never.stop(AbortSignal.timeout(DEADLINE_MS));
  const exporter = await running(fixture);
  await exporter.stop(AbortSignal.timeout(DEADLINE_MS));
  await exporter.stop(AbortSignal.timeout(DEADLINE_MS));
}

async function aborts<Batch>(fixture: ExporterFixture<Batch>): Promise<void> {
  const exporter = await running(fixture);
  const batch = fixture.batch(4);
  const failure = await failureOf(exporter.consume(batch, AbortSignal.abort()));
  await exporter.stop(AbortSignal.timeout(DEADLINE_MS));
  const count = await fixture.delivered(batch);
  if (failure === undefined)
    expectEqual(count, 4, "items of a batch that was taken in spite of the abort");
}

async function transient<Batch>(fixture: ExporterFixture<Batch>): Promise<void> {
  if (!fixture.moods.includes("transient") || fixture.queued === true) return;
  const exporter = await running(fixture);
  await fixture.mood("transient");
  const batch = fixture.batch(3);
  const failure = await failureOf(exporter.consume(batch, new AbortController().signal));
  const code = errorCode(failure);
  if (code !== "OVERLOADED" && code !== "UNAVAILABLE")
    throw wrong("code of a transient failure", code);
  await fixture.mood("well");
  await exporter.consume(batch, new AbortController().signal);
  expectEqual(await fixture.delivered(batch), 3, "items delivered by the retry");
  await exporter.stop(AbortSignal.timeout(DEADLINE_MS));
}

async function permanent<Batch>(fixture: ExporterFixture<Batch>): Promise<void> {
  if (!fixture.moods.includes("permanent") || fixture.queued === true) return;
  const exporter = await running(fixture);
  await fixture.mood("permanent");
  const failure = await failureOf(exporter.consume(fixture.batch(2), new AbortController().signal));
  expectEqual(errorCode(failure), "REJECTED", "code of a permanent failure");
  await fixture.mood("well");
  const next = fixture.batch(2);
  await exporter.consume(next, new AbortController().signal);
  expectEqual(await fixture.delivered(next), 2, "items delivered after a permanent failure");
  await exporter.stop(AbortSignal.timeout(DEADLINE_MS));
}

async function partial<Batch>(fixture: ExporterFixture<Batch>): Promise<void> {
  if (!fixture.moods.includes("partial") || fixture.queued === true) return;
  const exporter = await running(fixture);
  await fixture.mood("partial");
  const batch = fixture.batch(4);
  const failure = await failureOf(exporter.consume(batch, new AbortController().signal));
  const failed = (failure as { failed?: readonly number[] } | undefined)?.failed ?? [];
  if (failed.length === 0) throw wrong("failed indexes", failed.length);
  expectEqual(
    await fixture.delivered(batch),
    4 - failed.length,
    "items delivered beside the failed ones",
  );
  await exporter.stop(AbortSignal.timeout(DEADLINE_MS));
}

async function failureOf(promise: Promise<void>): Promise<unknown> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return error;
  }
}

function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (JSON.stringify(actual) !== JSON.stringify(expected)) {
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(actual)}`);
  }
}

function wrong(what: string, actual: unknown): Error {
  return new Error(`${what}: got ${JSON.stringify(actual)}`);
}
