import { CountersignError, type ErrorCode } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { createBatcher } from "./batch.ts";
import { type Consumer, countItems, type Decisions, type Traces } from "./consumer.ts";
import { fanout } from "./fanout.ts";
import { deadLettering, type Letter } from "./letters.ts";
import { createMetrics } from "./metrics.ts";
import { createQueue } from "./queue.ts";
import { createRetry } from "./retry.ts";
import { withTimeout } from "./timeout.ts";
import { parseDuration, parseSize } from "./units.ts";

const SIGNAL = new AbortController().signal;
const failure = (code: ErrorCode, more: object = {}): CountersignError =>
  new CountersignError(code, `test: ${code}`, more);

function failing(errors: readonly unknown[]): Consumer<unknown> & { readonly batches: unknown[] } {
  const left = [...errors];
  const batches: unknown[] = [];
  return {
    batches,
    consume: async (batch) => {
      batches.push(batch);
      if (left.length > 0) throw left.shift();
    },
  };
}

const quick = { id: "sink", initialMs: 1, maxMs: 2, random: () => 1 };

test("retry: failures for now are tried again without end, errors of strangers too", async () => {
  const next = failing([
    failure("UNAVAILABLE"),
    failure("OVERLOADED"),
    new TypeError("x"),
    ...Array.from({ length: 50 }, () => failure("UNAVAILABLE")),
  ]);
  await createRetry(next, quick).consume("batch", SIGNAL);
  expect(next.batches).toHaveLength(54);
});

test.each<ErrorCode>(["REJECTED", "INPUT_INVALID", "BUG", "CANCELLED", "CONFIG_INVALID"])(
  "retry: %s passes at once",
  async (code) => {
    const next = failing([failure(code)]);
    await expect(createRetry(next, quick).consume("batch", SIGNAL)).rejects.toMatchObject({ code });
    expect(next.batches).toHaveLength(1);
  },
);

const pick = (batch: string[], indexes: readonly number[]): string[] =>
  indexes.map((index) => batch[index] as string);

test("retry: only what failed is sent again", async () => {
  const next = failing([
    failure("UNAVAILABLE", { failed: [0, 2] }),
    failure("UNAVAILABLE", { failed: [1] }),
  ]);
  await createRetry<string[]>(next as Consumer<string[]>, { ...quick, pick }).consume(
    ["a", "b", "c"],
    SIGNAL,
  );
  expect(next.batches).toEqual([["a", "b", "c"], ["a", "c"], ["c"]]);
});

test("retry: gives up after its time, and when its caller does", async () => {
  const forever = failing(Array.from({ length: 10_000 }, () => failure("UNAVAILABLE")));
  await expect(
    createRetry(forever, { ...quick, maxElapsedMs: 10 }).consume("a", SIGNAL),
  ).rejects.toMatchObject({ code: "UNAVAILABLE" });
  const caller = new AbortController();
  const waiting = createRetry(forever, { ...quick, initialMs: 60_000, maxMs: 60_000 }).consume(
    "a",
    caller.signal,
  );
  caller.abort();
  await expect(waiting).rejects.toMatchObject({ code: "CANCELLED" });
});

test("retry: stop ends the wait with the failure, and later batches are tried once", async () => {
  const next = failing(Array.from({ length: 10 }, () => failure("UNAVAILABLE")));
  const retry = createRetry(next, { ...quick, initialMs: 60_000, maxMs: 60_000 });
  const waiting = retry.consume("a", SIGNAL);
  await expect.poll(() => next.batches.length).toBe(1);
  await retry.stop(SIGNAL);
  await expect(waiting).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await expect(retry.consume("b", SIGNAL)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(next.batches).toHaveLength(2);
});

test("timeout: over it the signal aborts and the failure is one for now", async () => {
  let seen: AbortSignal | undefined;
  const slow: Consumer<string> = {
    consume: async (_batch, signal) => {
      seen = signal;
      await new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(signal.reason as Error)),
      );
    },
  };
  await expect(
    withTimeout(slow, { id: "sink", timeoutMs: 5 }).consume("a", SIGNAL),
  ).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(seen?.aborted).toBe(true);
  const caller = new AbortController();
  const waiting = withTimeout(slow, { id: "sink", timeoutMs: 60_000 }).consume("a", caller.signal);
  caller.abort(failure("CANCELLED"));
  await expect(waiting).rejects.toMatchObject({ code: "CANCELLED" });
});

const spans = (count: number): Traces => ({
  resourceSpans: [{ scopeSpans: [{ spans: Array.from({ length: count }, () => ({})) }] }],
});

function gated(): { next: Consumer<Traces>; open: () => void; got: Traces[] } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const got: Traces[] = [];
  return {
    got,
    open: resolve,
    next: { consume: async (batch) => (await promise, void got.push(batch)) },
  };
}

test("queue: full refuses or drops, never both, and counts", async () => {
  for (const onFull of ["refuse", "drop"] as const) {
    const dropped = createMetrics().counter("dropped", "x");
    const { next, open, got } = gated();
    const queue = createQueue(next, { id: "q", maxItems: 5, onFull, dropped });
    await queue.consume(spans(3), SIGNAL);
    await queue.consume(spans(2), SIGNAL);
    expect([queue.depth, queue.capacity]).toEqual([5, 5]);
    const third = queue.consume(spans(1), SIGNAL);
    const result = await third.then(
      () => "taken",
      (error: unknown) => (error as CountersignError).code,
    );
    expect([result, dropped.value]).toEqual(onFull === "drop" ? ["taken", 1] : ["OVERLOADED", 0]);
    open();
    await queue.stop(AbortSignal.timeout(5000));
    expect([got.length, queue.depth]).toEqual([2, 0]);
  }
});

test("a full queue that waits lets in who came first, and tells the rest when it stops", async () => {
  const sent: number[] = [];
  const gates: (() => void)[] = [];
  const next: Consumer<Traces> = {
    consume: async (batch) => {
      await new Promise<void>((resolve) => gates.push(resolve));
      sent.push(countItems(batch));
    },
  };
  const dropped = createMetrics().counter("dropped", "");
  const queue = createQueue(next, { id: "q", maxItems: 5, onFull: "wait", dropped });
  const outcomes: string[] = [];
  const offer = (items: number, signal = SIGNAL): Promise<void> =>
    queue.consume(spans(items), signal).then(
      () => void outcomes.push(`taken ${items}`),
      (error: unknown) => void outcomes.push(`${(error as CountersignError).code} ${items}`),
    );
  const abort = new AbortController();
  await offer(4);
  const waiting = [offer(3), offer(1), offer(2, abort.signal), offer(5)];
  await offer(6);
  expect(outcomes).toEqual(["taken 4", "OVERLOADED 6"]);
  abort.abort();
  gates.shift()?.();
  await expect.poll(() => outcomes).toHaveLength(5);
  // 1 would have fitted before 3, but it came later; 2 went away.
  expect(outcomes.slice(2)).toEqual(["CANCELLED 2", "taken 3", "taken 1"]);
  const stopped = queue.stop(AbortSignal.timeout(5000));
  for (let open = 0; open < 2; open += 1) {
    await expect.poll(() => gates.length).toBeGreaterThan(0);
    gates.shift()?.();
  }
  await stopped;
  await Promise.all(waiting);
  expect([outcomes.at(-1), sent, dropped.value]).toEqual(["OVERLOADED 5", [4, 3, 1], 0]);
});

test("queue: a failure further on drops the batch and counts it; the rest goes on", async () => {
  const dropped = createMetrics().counter("dropped", "x");
  const next = failing([failure("REJECTED")]);
  const queue = createQueue(next, { id: "q", maxItems: 100, onFull: "refuse", dropped });
  await queue.consume(spans(3), SIGNAL);
  await queue.consume(spans(2), SIGNAL);
  await queue.stop(AbortSignal.timeout(5000));
  expect([next.batches.length, dropped.value, queue.depth]).toEqual([2, 3, 0]);
});

test("queue: what is left at the deadline is counted as dropped; stopped, it takes nothing", async () => {
  const dropped = createMetrics().counter("dropped", "x");
  const stuck: Consumer<Traces> = {
    consume: (_batch, signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener("abort", () => reject(failure("CANCELLED"))),
      ),
  };
  const queue = createQueue(stuck, { id: "q", maxItems: 100, onFull: "refuse", dropped });
  await queue.consume(spans(3), SIGNAL);
  await queue.consume(spans(4), SIGNAL);
  await queue.stop(AbortSignal.timeout(10));
  expect([dropped.value, queue.depth]).toEqual([7, 0]);
  await expect(queue.consume(spans(1), SIGNAL)).rejects.toMatchObject({ code: "OVERLOADED" });
});

const join = (batches: readonly number[][]): number[] => batches.flat();
const batching = { maxItems: 5, maxWaitMs: 20, count: (batch: number[]) => batch.length, join };

test("batch: joins up to its size, keeps the order, and answers when the joined one is done", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(), { minLength: 1, maxLength: 7 }), { minLength: 1, maxLength: 12 }),
      async (parts) => {
        const got: number[][] = [];
        const batcher = createBatcher<number[]>(
          { consume: async (batch) => void got.push(batch) },
          { ...batching, maxWaitMs: 1 },
        );
        await Promise.all(parts.map((part) => batcher.consume(part, SIGNAL)));
        await batcher.stop(AbortSignal.timeout(5000));
        expect(got.flat()).toEqual(parts.flat());
        for (const one of got)
          expect(one.length <= 5 || parts.some((part) => part.length === one.length)).toBe(true);
      },
    ),
    { numRuns: 50 },
  );
});

test("batch: everybody in a joined batch learns of its failure", async () => {
  const batcher = createBatcher<number[]>(
    failing([failure("UNAVAILABLE")]) as Consumer<number[]>,
    batching,
  );
  const settled = await Promise.allSettled([
    batcher.consume([1], SIGNAL),
    batcher.consume([2], SIGNAL),
  ]);
  expect(settled.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
});

test("fanout: all or nothing; what asks for a retry wins over what is refused for good", async () => {
  const good = failing([]);
  await expect(
    fanout([good, failing([failure("REJECTED")]), failing([failure("UNAVAILABLE")])]).consume(
      "a",
      SIGNAL,
    ),
  ).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await expect(
    fanout([good, failing([failure("REJECTED")])]).consume("a", SIGNAL),
  ).rejects.toMatchObject({ code: "REJECTED" });
  await fanout([good, failing([])]).consume("a", SIGNAL);
  expect(good.batches).toHaveLength(3);
});

const events = (count: number): Decisions => ({
  events: Array.from({ length: count }, (_, index) => ({
    bytes: Uint8Array.of(index),
    hash: String(index),
    event: {} as never,
  })),
});

test("dead letters: a permanent rejection is kept with its reason; a transient one is not", async () => {
  const letters: Letter[] = [];
  const box = { deposit: async (more: readonly Letter[]) => void letters.push(...more) };
  const partly = failing([
    failure("REJECTED", { failed: [1] }),
    failure("INPUT_INVALID"),
    failure("UNAVAILABLE"),
  ]) as Consumer<Decisions>;
  const edge = deadLettering(partly, "file/siem", box);
  await edge.consume(events(3), SIGNAL);
  await edge.consume(events(2), SIGNAL);
  await expect(edge.consume(events(1), SIGNAL)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect(letters.map(({ reason, hash, component }) => [reason, hash, component])).toEqual([
    ["rejected", "1", "file/siem"],
    ["input_invalid", "0", "file/siem"],
    ["input_invalid", "1", "file/siem"],
  ]);
});

test("dead letters: each item has the reason that its destination gave", async () => {
  const letters: Letter[] = [];
  const box = { deposit: async (more: readonly Letter[]) => void letters.push(...more) };
  const partly = failing([
    failure("REJECTED", { failed: [0, 2], reasons: ["too_large", "mapping"] }),
  ]);
  await deadLettering(partly as Consumer<Decisions>, "x", box).consume(events(3), SIGNAL);
  expect(letters.map(({ hash, reason }) => [hash, reason])).toEqual([
    ["0", "too_large"],
    ["2", "mapping"],
  ]);
});

test("dead letters: when the letter cannot be written, the batch is not done", async () => {
  const box = { deposit: () => Promise.reject(failure("UNAVAILABLE")) };
  const edge = deadLettering(failing([failure("REJECTED")]) as Consumer<Decisions>, "x", box);
  await expect(edge.consume(events(1), SIGNAL)).rejects.toMatchObject({ code: "UNAVAILABLE" });
});

test.each([
  ["500ms", 500],
  ["10s", 10_000],
  ["1.5m", 90_000],
  ["2h", 7_200_000],
  ["10", undefined],
  ["-1s", undefined],
  ["1d", undefined],
  ["999h", undefined],
  ["", undefined],
])("duration %s", (text, ms) => {
  expect(parseDuration(text)).toBe(ms);
});

test.each([
  ["512B", 512],
  ["4MiB", 4_194_304],
  ["1GiB", 1_073_741_824],
  ["4MB", undefined],
  ["4", undefined],
  ["1.5MiB", undefined],
])("size %s", (text, bytes) => {
  expect(parseSize(text)).toBe(bytes);
});

test("metrics: Prometheus text, labels sorted and escaped, one series for the same labels", () => {
  const metrics = createMetrics();
  metrics.counter("sent", "Sent.", { b: 'q"\\', a: "x\ny" }).add(2);
  metrics.counter("sent", "Sent.", { a: "x\ny", b: 'q"\\' }).add();
  metrics.gauge("depth", "Depth.", {}, () => 7);
  expect(metrics.render()).toBe(
    '# HELP countersign_sent_total Sent.\n# TYPE countersign_sent_total counter\ncountersign_sent_total{a="x\\ny",b="q\\"\\\\"} 3\n' +
      "# HELP countersign_depth Depth.\n# TYPE countersign_depth gauge\ncountersign_depth 7\n",
  );
  expect(countItems(spans(4))).toBe(4);
});
