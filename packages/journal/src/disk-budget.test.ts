import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createDiskBudget } from "./disk-budget.ts";
import { nodeFs } from "./fs.ts";
import { emitterUses, listEpochs } from "./inspect.ts";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { decision, eventually, scratch, soon } from "./testing/journal-fixture.ts";

const NOW_MS = 1_800_000_000_000;

test("the warning comes once for each time that 80 % are reached", () => {
  const warned: number[] = [];
  const budget = createDiskBudget(nodeFs, 1_000, (bytes) => warned.push(bytes));
  const full = [799, 800, 950, 1_000, 900, 750, 900, 699, 850].map((own) =>
    budget.exceeded(own, NOW_MS),
  );
  expect(full.indexOf(true)).toBe(3);
  expect(full.filter(Boolean)).toHaveLength(1);
  expect(warned).toEqual([800, 850]);
});

test("what others drained is room again, also when the clock was set back", async () => {
  using s = scratch();
  const emitterPath = join(s.directory, "origin");
  const epoch = join(emitterPath, "0000000001");
  mkdirSync(epoch, { recursive: true });
  writeFileSync(join(epoch, "00000000.wal"), Buffer.alloc(2_000));
  const budget = createDiskBudget(nodeFs, 1_000, () => undefined);
  await budget.measure(emitterPath, 2);
  expect(budget.exceeded(0, Date.now())).toBe(true);
  rmSync(epoch, { recursive: true });
  const yesterday = Date.now() - 86_400_000;
  await eventually(() => !budget.exceeded(0, yesterday));
});

test("at the limit nobody is let in by starting a process anew", async () => {
  using s = scratch();
  const limits = { diskBytes: 16_384, segmentBytes: 4_096, reserveBytes: 0 };
  const first = s.journal({ limits });
  await expect(
    (async () => {
      for (let n = 0; n < 30; n++) await first.append(decision());
    })(),
  ).rejects.toMatchObject({ code: "UNAVAILABLE" });
  await first.stop("shutdown", soon());
  for (let n = 0; n < 3; n++) {
    const next = s.journal({ limits });
    await expect(next.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await next.stop("shutdown", soon());
  }
  const [use] = emitterUses(await listEpochs(join(s.directory, "journal")), limits.diskBytes);
  expect(use).toMatchObject({ almostFull: true });
  expect(s.log.lines.filter(({ message }) => message.includes("80 % full"))).toHaveLength(4);
});

test("a clock that is set back after a fault does not make the next try wait for it", async () => {
  using s = scratch();
  const fs = createFaultyFs();
  let nowMs = NOW_MS;
  const journal = s.journal({ fs, clock: { now: () => nowMs }, reopenAfterMs: 1_000 });
  await journal.append(decision());
  fs.plan = ({ operation }) => (operation === "datasync" ? { errno: "EIO" } : undefined);
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  fs.plan = () => undefined;
  await expect(journal.append(decision())).rejects.toMatchObject({ code: "UNAVAILABLE" });
  nowMs -= 86_400_000;
  await journal.append(decision());
  await journal.stop("shutdown", soon());
});
