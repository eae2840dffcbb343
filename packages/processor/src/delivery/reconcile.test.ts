import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { openArchive } from "@countersign/archive";
import { CountersignError, type SealedEvent, silentLogger } from "@countersign/model";
import { type Config, createMetrics, createGraph, type Receipt } from "@countersign/pipeline";
import { describe, expect, test, vi } from "vitest";
import { sealedEvents } from "../testing/events.ts";
import { scratch, SIGNAL } from "../testing/exporters.ts";
import { configWith, createShelf, type Shelf } from "../testing/shelf.ts";
import { reconcile, type ReconcileOptions, type SinkReconciliation } from "./reconcile.ts";
import { redrive } from "./redrive.ts";

const ORIGIN = "test.example/a";
const COUNT = 600;
const events = sealedEvents(COUNT, { outcomes: true });

interface World {
  readonly config: Config;
  readonly shelf: Shelf;
  readonly check: (
    more?: Partial<ReconcileOptions>,
  ) => Promise<SinkReconciliation & { ok: boolean }>;
  /** Changes the receipts on disk. */
  readonly edit: (change: (receipts: Receipt[]) => readonly Receipt[]) => void;
  readonly append: (events: readonly SealedEvent[]) => Promise<void>;
}

/** A service ran: a shelf has what was in the archive, and the receipts say so. */
async function world(refuse: Shelf["refuse"] = () => undefined): Promise<World> {
  const directory = scratch();
  const shelf = createShelf();
  shelf.refuse = refuse;
  const config = configWith(
    `
receivers: { archive: { from: archive, cursors: ${directory}/cursors } }
processors: { filter/decisions: { types: [decision] } }
exporters:
  archive: { directory: ${directory}/archive, origin: ${ORIGIN} }
  shelf: {}
  file/dead_letter: { directory: ${directory}/letters, format: native }
  file/receipts: { directory: ${directory}/receipts, format: native }
service:
  dead_letter: file/dead_letter
  receipts: file/receipts
  pipelines:
    decisions/siem: { receivers: [archive], processors: [filter/decisions], exporters: [shelf] }
`,
    shelf,
  );
  const append = async (some: readonly SealedEvent[]): Promise<void> => {
    const archive = await openArchive({ directory: join(directory, "archive"), origin: ORIGIN });
    for (let at = 0; at < some.length; at += 500) await archive.append(some.slice(at, at + 500));
    await archive.close();
  };
  await append(events);
  const metrics = createMetrics();
  const graph = createGraph({ config, metrics, logger: () => silentLogger });
  await graph.start(SIGNAL);
  await vi.waitFor(() => expect(metrics.render()).toMatch(/receiver_lag\{[^}]*\} 0\n/), {
    timeout: 30_000,
    interval: 20,
  });
  await graph.stop(AbortSignal.timeout(10_000));
  const receipts = join(directory, "receipts");
  return {
    config,
    shelf,
    append,
    check: async (more = {}) => {
      const found = await reconcile({ config, logger: () => silentLogger, ...more }, SIGNAL);
      const [sink] = found.sinks;
      if (sink === undefined) throw new Error("no sink was looked at");
      return { ...sink, ok: found.ok };
    },
    edit: (change) => {
      const [name] = readdirSync(receipts);
      const file = join(receipts, name ?? "");
      const lines = readFileSync(file, "utf8").trimEnd().split("\n");
      const kept = change(lines.map((line) => JSON.parse(line) as Receipt));
      writeFileSync(file, kept.map((receipt) => `${JSON.stringify(receipt)}\n`).join(""));
    },
  };
}

const decisionsOf = (all: readonly SealedEvent[]): readonly SealedEvent[] =>
  all.filter(({ event }) => event.type.endsWith("decision.v1"));

// A disk, and whoever else works on this machine, may take their time.
describe("reconcile", () => {
  test("0 missing, when everything was delivered: every receipt is made anew and every id asked for", async () => {
    const { check } = await world();
    const found = await check();
    expect(found).toMatchObject({
      ok: true,
      events: COUNT,
      missing: 0,
      pending: 0,
      asked: true,
      absent: 0,
      extra: 0,
      duplicated: 0,
      receipts: { wrong: 0, unchecked: 0 },
    });
    expect(found.receipts.right).toBeGreaterThanOrEqual(2);
  });

  test("what the sink lost is named by id and place; what it has too much, by id", async () => {
    const { check, shelf } = await world();
    const lost = decisionsOf(events)[77] as SealedEvent;
    shelf.times.delete(lost.event.id);
    shelf.ids.splice(shelf.ids.indexOf(lost.event.id), 1);
    const [again] = shelf.ids;
    shelf.ids.push(again as string, "018f0000-0000-7000-8000-000000000000");
    shelf.times.set("018f0000-0000-7000-8000-000000000000", Date.parse(lost.event.time));
    expect(await check()).toMatchObject({
      ok: false,
      missing: 1,
      absent: 1,
      absentEvents: [{ id: lost.event.id, partition: 0, offset: String(events.indexOf(lost)) }],
      extra: 1,
      extraIds: ["018f0000-0000-7000-8000-000000000000"],
      duplicated: 1,
    });
  });

  test("a place without a receipt is missing, also when the sink has the event", async () => {
    const { check, edit } = await world();
    let gone: Receipt | undefined;
    edit((receipts) => receipts.filter((one, at) => at !== 0 || ((gone = one), false)));
    expect(await check()).toMatchObject({
      ok: false,
      missing: gone?.events,
      unreceipted: gone?.events,
      gaps: [
        { partition: 0, first: gone?.firstOffset, last: gone?.lastOffset, events: gone?.events },
      ],
      absent: 0,
    });
  });

  test.each([
    ["root", (receipt: Receipt) => ({ ...receipt, root: receipt.root.replace(/^../, "00") })],
    ["count", (receipt: Receipt) => ({ ...receipt, events: receipt.events + 1 })],
  ])("a receipt with a wrong %s is found", async (_what, spoil) => {
    const { check, edit } = await world();
    edit((receipts) => receipts.map((one, at) => (at === 1 ? spoil(one) : one)));
    const found = await check();
    expect(found).toMatchObject({ ok: false, missing: 0, receipts: { wrong: 1 } });
    expect(found.wrong).toEqual([expect.stringMatching(/^0:\d+-\d+$/)]);
  });

  test("receipts may overlap", async () => {
    const { check, edit } = await world();
    edit((receipts) => [...receipts, ...receipts.slice(1, 2), ...receipts.slice(0, 1)]);
    expect(await check()).toMatchObject({ ok: true, missing: 0, receipts: { wrong: 0 } });
  });

  test("what the service has not reached is pending, and missing when the time is over", async () => {
    const { check, append } = await world();
    const late = sealedEvents(40, { epoch: "7".repeat(32) });
    await append(late);
    expect(await check()).toMatchObject({ ok: true, missing: 0, pending: 40, events: COUNT + 40 });
    expect(await check({ untilMs: Date.now() })).toMatchObject({
      ok: false,
      missing: 40,
      pending: 0,
      gaps: [{ partition: 0, first: String(COUNT), last: String(COUNT + 39), events: 40 }],
    });
  });

  test("without any receipt nothing is proven", async () => {
    const { check, edit } = await world();
    edit(() => []);
    expect(await check()).toMatchObject({ ok: false, missing: COUNT });
  });

  test("what is dead-lettered is not missing, and nothing is when it was sent again", async () => {
    let refused = true;
    const { check, config } = await world(({ event }) =>
      refused && event.id.endsWith("0") ? "too_old" : undefined,
    );
    const found = await check();
    expect(found).toMatchObject({ ok: true, missing: 0, absent: 0 });
    expect(found.deadLettered).toBeGreaterThan(10);
    refused = false;
    const sent = await redrive({ config, filter: {}, logger: () => silentLogger }, SIGNAL);
    expect(sent.sent).toBe(found.deadLettered);
    expect(await check()).toMatchObject({ ok: true, missing: 0, deadLettered: 0 });
  });

  test("a service without receipts has nothing to be compared with", async () => {
    const { config } = await world();
    const { receipts: _none, ...without } = config;
    await expect(
      reconcile({ config: without, logger: () => silentLogger }, SIGNAL),
    ).rejects.toBeInstanceOf(CountersignError);
  });
});
