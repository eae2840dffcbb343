import { expect, test } from "vitest";
import { follow, listEpochs, readEpoch } from "./inspect.ts";
import { createFaultyFs } from "./testing/faulty-fs.ts";
import { decision, eventually, scratch, soon } from "./testing/journal-fixture.ts";
import { join } from "node:path";

test("epochs are listed with what is known of them, and read back", async () => {
  using s = scratch();
  const directory = join(s.directory, "journal");
  expect(await listEpochs(directory)).toEqual([]);
  const first = s.journal({ limits: { segmentBytes: 4_096, reserveBytes: 0 } });
  for (let n = 0; n < 10; n++) await first.append(decision());
  await first.stop("shutdown", soon());
  const second = s.journal();
  const event = await second.append(decision());
  const [one, two] = await listEpochs(directory);
  expect(one).toMatchObject({
    epochNumber: 1,
    live: false,
    end: { end: "stop", seq: 11, lost: [] },
  });
  expect(one?.segments).toBeGreaterThan(1);
  expect(two).toMatchObject({ epochNumber: 2, live: true, segments: 1 });
  const seqs = [];
  for await (const entry of readEpoch(one?.path ?? "")) {
    seqs.push((entry.event.event.data as { chain: { seq: number } }).chain.seq);
  }
  expect(seqs).toEqual(Array.from({ length: 12 }, (_, n) => n));
  const hashes = [];
  for await (const entry of readEpoch(two?.path ?? "", { fromSeq: 1 }))
    hashes.push(entry.event.hash);
  expect(hashes).toEqual([event.hash]);
  await second.stop("shutdown", soon());
});

test.each([true, false])("following, from the start: %s", async (fromStart) => {
  using s = scratch();
  const directory = join(s.directory, "journal");
  const first = s.journal({ limits: { segmentBytes: 4_096, reserveBytes: 0 } });
  await first.append(decision("before"));
  const stop = new AbortController();
  const fs = createFaultyFs();
  const names: string[] = [];
  const following = (async () => {
    for await (const { event } of follow(directory, {
      signal: stop.signal,
      fromStart,
      fs,
      pollMs: 1,
    })) {
      const { call } = event.event.data as { call?: { name?: string } };
      if (call?.name !== undefined) names.push(call.name);
      if (call?.name === "last") stop.abort();
    }
  })();
  // The second look has begun, so the first is over: from now on is now.
  await eventually(() => fs.calls.filter((call) => call.path === directory).length >= 2);
  for (let n = 0; n < 10; n++) await first.append(decision(`a${n}`));
  await first.stop("shutdown", soon());
  const second = s.journal();
  await second.append(decision("last"));
  await following;
  await second.stop("shutdown", soon());
  const after = [...Array.from({ length: 10 }, (_, n) => `a${n}`), "last"];
  expect(names).toEqual(fromStart ? ["before", ...after] : after);
});
