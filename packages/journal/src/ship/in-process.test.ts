// What the shipper must not do to the process it lives in.
import { expect, test } from "vitest";
import { createFaultyFs } from "../testing/faulty-fs.ts";
import { decision, eventually, scratch, soon } from "../testing/journal-fixture.ts";
import { startOtlpReceiver } from "../testing/otlp-receiver.ts";

test("what is not durable yet is not shipped", async () => {
  using s = scratch();
  const receiver = await startOtlpReceiver();
  const release = Promise.withResolvers<void>();
  let slow = false;
  const fs = createFaultyFs(({ operation, path }) =>
    slow && operation === "datasync" && path.endsWith(".wal")
      ? { until: release.promise }
      : undefined,
  );
  const journal = s.journal({ fs, ship: { endpoint: receiver.endpoint } });
  const first = await journal.append(decision());
  slow = true;
  const second = journal.append(decision());
  expect(await journal.acknowledged(first, 10_000)).toBe(true);
  // Asks once more, now that the bytes of the second are in the file.
  await eventually(() => fs.calls.some(({ operation }) => operation === "datasync"));
  expect(await journal.acknowledged(first, 10_000)).toBe(true);
  expect(receiver.events().map((event) => event.seq)).toEqual([0, 1]);
  slow = false;
  release.resolve();
  expect(await journal.acknowledged(await second, 10_000)).toBe(true);
  expect(receiver.events().map((event) => event.seq)).toEqual([0, 1, 2]);
  await journal.stop("shutdown", soon());
  await receiver.stop();
});

test("with an OpenTelemetry SDK in the process, our requests run in a context that makes no spans", async () => {
  // The registry and the key are those of @opentelemetry/api 1.x and @opentelemetry/core; the real ones are in test/chaos.
  const registry = globalThis as Record<symbol, unknown>;
  const key = Symbol.for("opentelemetry.js.api.1");
  const before = registry[key];
  const suppressed: unknown[] = [];
  const contextOf = (values: Map<symbol, unknown>): object => ({
    setValue: (name: symbol, value: unknown) => contextOf(new Map(values).set(name, value)),
    values,
  });
  registry[key] = {
    context: {
      active: () => contextOf(new Map()),
      with: (context: { values: Map<symbol, unknown> }, run: () => unknown) => {
        suppressed.push(
          context.values.get(Symbol.for("OpenTelemetry SDK Context Key SUPPRESS_TRACING")),
        );
        return run();
      },
    },
  };
  using s = scratch();
  const receiver = await startOtlpReceiver();
  try {
    const journal = s.journal({ ship: { endpoint: receiver.endpoint } });
    expect(await journal.acknowledged(await journal.append(decision()), 10_000)).toBe(true);
    await journal.stop("shutdown", soon());
    expect(suppressed.length).toBeGreaterThan(0);
    expect(new Set(suppressed)).toEqual(new Set([true]));
  } finally {
    registry[key] = before;
    await receiver.stop();
  }
});
