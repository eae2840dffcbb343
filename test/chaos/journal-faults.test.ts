// Every operation of a small life of the journal fails in turn, with every error a disk gives; then the disk dies there
// and stays dead. COUNTERSIGN_LONG=1 takes every error at every operation, else one of them.
import { expect, test } from "vitest";
import { createFaultyFs, failNth } from "../../packages/journal/src/testing/faulty-fs.ts";
import { scratch } from "../../packages/journal/src/testing/journal-fixture.ts";
import {
  countCalls,
  ERRNOS,
  live,
  problemsAfter,
} from "../../packages/journal/src/testing/journal-life.ts";

const LONG = process.env["COUNTERSIGN_LONG"] === "1";

test("every operation fails once", { timeout: LONG ? 600_000 : 120_000 }, async () => {
  const total = await countCalls();
  for (let nth = 1; nth <= total; nth++) {
    const errnos = LONG ? ERRNOS : [ERRNOS[nth % ERRNOS.length] as string];
    for (const errno of errnos) {
      using s = scratch();
      const life = await live(s, createFaultyFs(failNth(nth, errno)));
      expect([nth, errno, await problemsAfter(s, life)]).toEqual([nth, errno, []]);
    }
  }
});

test("the disk dies at every operation", { timeout: LONG ? 600_000 : 120_000 }, async () => {
  const total = await countCalls();
  for (let nth = 1; nth <= total; nth += LONG ? 1 : 5) {
    using s = scratch();
    const life = await live(s, createFaultyFs(failNth(nth, "EIO", true)));
    expect([nth, await problemsAfter(s, life)]).toEqual([nth, []]);
  }
});
