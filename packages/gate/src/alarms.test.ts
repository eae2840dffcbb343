import { expect, test } from "vitest";
import { Alarms } from "./alarms.ts";

test("wakes everybody in order, but those who were let off", async () => {
  const alarms = new Alarms(5);
  const woken: number[] = [];
  const last = Promise.withResolvers<void>();
  const letOff = [0, 1, 2, 3].map((n) =>
    alarms.set({
      wake: () => {
        woken.push(n);
        if (n === 3) last.resolve();
      },
    }),
  );
  letOff[0]?.();
  letOff[2]?.();
  await last.promise;
  expect(woken).toEqual([1, 3]);
});

test("one who comes after all others left is woken too, and no sooner than asked", async () => {
  const alarms = new Alarms(20);
  alarms.set({ wake: () => undefined })();
  await new Promise((resolve) => setTimeout(resolve, 10));
  const fromMs = performance.now();
  await new Promise<void>((resolve) => {
    alarms.set({ wake: resolve });
  });
  expect(performance.now() - fromMs).toBeGreaterThanOrEqual(20);
});
