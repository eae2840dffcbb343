import { chmod, copyFile, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { withheldEvent, type SealedEvent } from "@countersign/model";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { ArchiveIndex } from "./event-index.ts";
import { SEARCH_MAX_ROWS } from "./index-query.ts";
import { createChainMaker, openArchiveStand, DECISION_FIELDS } from "./testing/index.ts";

const START_MS = 1_763_800_000_000;
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

const DENIED = { decision: "deny", reason: "forbidden", effect: "block" } as const;
const BOB = {
  issuer: "https://idp.example",
  subject: "bob",
  assurance: "bearer",
  method: "bearer",
} as const;

function mixed(count: number): SealedEvent[] {
  const chain = createChainMaker("mixed", START_MS);
  const events: SealedEvent[] = [];
  for (let n = 0; events.length < count; n += 1) {
    const decision = chain.decision(n % 3 === 0 ? { ...DENIED, human: BOB } : {});
    events.push(decision);
    if (n % 3 !== 0) events.push(chain.outcome(decision));
    if (n % 5 === 0) events.push(chain.heartbeat());
  }
  return events.slice(0, count);
}

/** Everything that the index can say. */
function everything(index: ArchiveIndex): unknown {
  const rows = [];
  let cursor: string | undefined;
  do {
    const page = index.query({}, { limit: 7, ...(cursor === undefined ? {} : { cursor }) });
    rows.push(...page.rows);
    cursor = page.next;
  } while (cursor !== undefined);
  const found = index.query({ text: "support" }, { limit: 200 }).rows.map((row) => row.id);
  const hour = { sinceMs: START_MS, untilMs: START_MS + 3_600_000, bucketMs: 60_000 };
  return { rows, found, stats: index.stats(hour), position: index.position };
}

test(
  "a rebuilt index says what the incremental one says, however the log grew",
  { timeout: 60_000 },
  async () => {
    const growth = fc.record({
      sizes: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 }),
      reopenAfter: fc.integer({ min: 0, max: 6 }),
    });
    await fc.assert(
      fc.asyncProperty(growth, async ({ sizes, reopenAfter }) => {
        await using place = await openArchiveStand();
        const events = mixed(sizes.reduce((sum, size) => sum + size, 0));
        let at = 0;
        for (const [turn, size] of sizes.entries()) {
          await place.put(events.slice(at, at + size));
          at += size;
          if (turn === reopenAfter) await place.reopenIndex();
        }
        const incremental = everything(place.index);
        await place.index.rebuild();
        expect(everything(place.index)).toEqual(incremental);
        expect(place.index.position).toBe(events.length);
      }),
      { numRuns: 25 },
    );
  },
);

test("a crash costs no more than the tail: an index from before catches up", async () => {
  await using place = await openArchiveStand();
  const events = mixed(120);
  await place.put(events.slice(0, 40));
  const file = join(place.directory, "index.sqlite");
  const older = join(place.directory, "older.sqlite");
  await place.reopenIndex(async () => await copyFile(file, older));
  await place.put(events.slice(40));
  const now = everything(place.index);
  await place.reopenIndex(async () => await copyFile(older, file));
  expect(everything(place.index)).toEqual(now);
});

test.each([
  ["garbage", Buffer.from("this is no database, and never was one ".repeat(300))],
  ["nothing", Buffer.alloc(0)],
])("an index file that holds %s is made anew", async (_, content) => {
  await using place = await openArchiveStand();
  await place.put(mixed(30));
  const before = everything(place.index);
  await place.reopenIndex(
    async () => await writeFile(join(place.directory, "index.sqlite"), content),
  );
  expect(everything(place.index)).toEqual(before);
});

test("the index of another log is not believed", async () => {
  await using other = await openArchiveStand();
  await other.put(mixed(30));
  await other.index.close();
  await using place = await openArchiveStand();
  await place.put(mixed(30));
  const before = everything(place.index);
  const [from, to] = [other, place].map((at) => join(at.directory, "index.sqlite")) as [
    string,
    string,
  ];
  await place.reopenIndex(async () => await copyFile(from, to));
  expect(everything(place.index)).toEqual(before);
});

test("every filter finds what it names and nothing else", async () => {
  await using place = await openArchiveStand();
  const chain = createChainMaker("filters", START_MS);
  const [check] = DECISION_FIELDS.checks ?? [];
  if (check === undefined) throw new Error("no check");
  const plain = chain.decision();
  const odd = chain.decision({
    ...DENIED,
    human: BOB,
    call: { method: "prompts/get", name: "weekly", transport: "http", gate: "in_process" },
    server: { id: "urn:mcp:other" },
    traceparent: `00-${TRACE}-00f067aa0ba902b7-01`,
    checks: [
      {
        ...check,
        verdict: "deny",
        resource: { type: "file", id: 'srv/Pay"roll'.replace('"', "=22") },
      },
    ],
  });
  await place.put([plain, odd]);
  const found = (filter: Parameters<ArchiveIndex["query"]>[0]): string[] =>
    place.index.query(filter).rows.map((row) => row.id);
  for (const filter of [
    { decision: "deny" },
    { reason: "forbidden" },
    { human: "bob" },
    { method: "prompts/get" },
    { tool: "weekly" },
    { server: "urn:mcp:other" },
    { traceId: TRACE },
    { resource: "srv/pay" },
    { resource: "=22roll" },
    { text: "FILE:SRV" },
    { text: "eekly" },
    { text: "bob" },
    { sinceMs: START_MS + 1 },
    { decision: "deny", human: "bob", text: "payroll".slice(0, 3), resource: "file:" },
  ]) {
    expect(found(filter)).toEqual([odd.event.id]);
  }
  expect(found({ untilMs: START_MS + 1 })).toEqual([plain.event.id]);
  expect(found({ emitter: "filters" })).toEqual([odd.event.id, plain.event.id]);
  expect(found({ emitter: "nobody" })).toEqual([]);
  // Quotes and wildcards are text.
  expect(found({ text: '" OR "a" OR "' })).toEqual([]);
  expect(found({ resource: "bob" })).toEqual([]);
  expect(found({ text: "%" })).toEqual([]);
  expect(found({ text: "bo" })).toEqual([odd.event.id]);
});

test("pages join without a gap or a repetition, also when time stands still", async () => {
  await using place = await openArchiveStand();
  const chains = Array.from({ length: 40 }, (_, n) => createChainMaker(`e${n}`, START_MS));
  await place.put(chains.flatMap((chain) => [chain.decision(), chain.decision()]));
  for (const filter of [{}, { text: "alice" }]) {
    const ids: string[] = [];
    let cursor: string | undefined;
    do {
      const page = place.index.query(filter, {
        limit: 9,
        ...(cursor === undefined ? {} : { cursor }),
      });
      ids.push(...page.rows.map((row) => row.id));
      cursor = page.next;
    } while (cursor !== undefined);
    expect(ids.length).toBe(80);
    expect(new Set(ids).size).toBe(80);
  }
  expect(() => place.index.query({}, { cursor: "1; DROP TABLE decisions" })).toThrow("cursor");
});

test("a search that finds little says where to go on", async () => {
  await using place = await openArchiveStand();
  const chain = createChainMaker("many", START_MS);
  const needle = chain.decision({ human: BOB });
  const hay = Array.from({ length: SEARCH_MAX_ROWS + 10 }, () => chain.decision());
  for (let at = 0; at < hay.length; at += 2000)
    await place.log.append([needle, ...hay].slice(at, at + 2000));
  await place.log.append(hay);
  await place.caughtUp();
  const first = place.index.query({ text: "bob" });
  expect(first.rows).toEqual([]);
  const second = place.index.query({ text: "bob" }, { cursor: first.next ?? "" });
  expect(second).toMatchObject({ rows: [{ id: needle.event.id }] });
  expect(second.next).toBeUndefined();
});

test("a decision comes with its outcome, its hash and its neighbours", async () => {
  await using place = await openArchiveStand();
  const chain = createChainMaker("chain", START_MS);
  const first = chain.decision();
  const second = chain.decision();
  const outcome = chain.outcome(second);
  const last = chain.decision();
  await place.put([first, second, outcome, last]);
  const detail = await place.index.get(second.event.id);
  expect(detail).toMatchObject({
    hash: second.hash,
    row: { outcome: { status: "completed" }, position: 1 },
    chain: {
      seq: 1,
      prev: first.hash,
      before: { state: "verified", kind: "decision" },
      after: { state: "verified", kind: "outcome" },
    },
  });
  expect((await place.index.get(first.event.id))?.chain).toMatchObject({
    before: { state: "first" },
  });
  expect((await place.index.get(last.event.id))?.chain).toMatchObject({
    after: { state: "missing" },
  });
  expect(await place.index.get("01a2027b-e3d4-728a-9347-6e9986773eb1")).toBeUndefined();
});

test("a broken, a missing and a withheld neighbour are told apart", async () => {
  await using place = await openArchiveStand();
  const chain = createChainMaker("chain", START_MS);
  const zero = chain.decision();
  const one = chain.decision();
  const fork = chain.forkOfLast();
  const two = chain.decision();
  const three = chain.decision();
  const four = chain.decision();
  // Place 1 is taken by an event that 2 does not follow; 3 is withheld.
  await place.put([zero, fork, two, withheldEvent(three, "email", "/data/call/name"), four]);
  expect(await place.index.get(one.event.id)).toBeUndefined();
  expect((await place.index.get(two.event.id))?.chain).toMatchObject({
    before: { state: "broken" },
    after: { state: "withheld", kind: "withheld" },
  });
  expect((await place.index.get(zero.event.id))?.chain?.after.state).toBe("verified");
  expect((await place.index.get(four.event.id))?.chain?.before.state).toBe("withheld");
});

test("nobody else can read what lies there, even in a directory that others may enter", async () => {
  await using place = await openArchiveStand();
  await chmod(place.directory, 0o755);
  await place.put(mixed(300));
  const files = await readdir(place.directory, { recursive: true, withFileTypes: true });
  for (const file of files) {
    const open = file.name === "writer.lock" ? 0o022 : 0o077;
    expect((await stat(join(file.parentPath, file.name))).mode & open).toBe(0);
  }
  expect(files.length).toBeGreaterThan(6);
});

test("an outcome of another emitter does not touch a decision", async () => {
  await using place = await openArchiveStand();
  const decision = createChainMaker("honest", START_MS).decision();
  const forged = createChainMaker("forger", START_MS).outcome(decision);
  await place.put([decision, forged]);
  expect(place.index.query({}).rows[0]?.outcome).toBeUndefined();
});

test("counts fall into their minutes, and the bounds hold", async () => {
  await using place = await openArchiveStand();
  const early = createChainMaker("early", START_MS);
  const late = createChainMaker("late", START_MS + 120_000);
  await place.put([early.decision(), early.decision(DENIED), late.decision(DENIED)]);
  const stats = place.index.stats({
    sinceMs: START_MS,
    untilMs: START_MS + 180_000,
    bucketMs: 60_000,
  });
  const sums = stats.buckets
    .map(({ allow, deny }) => [allow, deny])
    .filter(([a, d]) => a !== 0 || d !== 0);
  expect(sums).toEqual([
    [1, 1],
    [0, 1],
  ]);
  for (const bad of [
    { sinceMs: 0, untilMs: 1, bucketMs: 1000 },
    { sinceMs: 5, untilMs: 5, bucketMs: 60_000 },
    { sinceMs: 0, untilMs: 1e12, bucketMs: 60_000 },
  ]) {
    expect(() => place.index.stats(bad)).toThrow("archive: counts want");
  }
});
