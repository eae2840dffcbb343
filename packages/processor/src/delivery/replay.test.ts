import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openArchive } from "@countersign/archive";
import { CountersignError, type SealedEvent, silentLogger } from "@countersign/model";
import { merkleRoot, type Receipt } from "@countersign/pipeline";
import { describe, expect, test } from "vitest";
import { sealedEvents } from "../testing/events.ts";
import { scratch, SIGNAL } from "../testing/exporters.ts";
import { configWith, createShelf, type Shelf } from "../testing/shelf.ts";
import { prepareReplay, type ReplayOptions, type ReplaySummary } from "./replay.ts";

const ORIGIN = "test.example/a";
const one = sealedEvents(700, { emitter: "one" });
const two = sealedEvents(700, { emitter: "two", epoch: "6".repeat(32), outcomes: true });
const events = one.flatMap((event, at) => [event, two[at] as SealedEvent]);
const ids = events.map(({ event }) => event.id);

interface World {
  readonly directory: string;
  readonly shelf: Shelf;
  readonly replay: (
    more: Partial<ReplayOptions> & Pick<ReplayOptions, "selection">,
  ) => Promise<ReplaySummary>;
  readonly receipts: () => readonly Receipt[];
  readonly letters: () => readonly { reason: string; place: object }[];
}

/** An archive with events of two emitters in turn, and a pipeline to a shelf. */
async function world(processors = "", shelf = createShelf()): Promise<World> {
  const directory = scratch();
  const archive = await openArchive({ directory: join(directory, "archive"), origin: ORIGIN });
  for (let at = 0; at < events.length; at += 500) await archive.append(events.slice(at, at + 500));
  await archive.close();
  const config = configWith(
    `
receivers:
  archive: { from: archive, cursors: ${directory}/cursors }
processors:
  filter/decisions: { types: [decision] }
exporters:
  archive: { directory: ${directory}/archive, origin: ${ORIGIN} }
  ${shelf.spec.type}: {}
  file/dead_letter: { directory: ${directory}/letters, format: native }
  file/receipts: { directory: ${directory}/receipts, format: native }
service:
  dead_letter: file/dead_letter
  receipts: file/receipts
  pipelines:
    decisions/siem: { receivers: [archive], ${processors} exporters: [${shelf.spec.type}] }
`,
    shelf,
  );
  const lines = <Line>(name: string): Line[] =>
    readdirSync(join(directory, name)).flatMap((file) =>
      readFileSync(join(directory, name, file), "utf8")
        .split("\n")
        .slice(0, -1)
        .map((line) => JSON.parse(line) as Line),
    );
  return {
    directory,
    shelf,
    replay: async (more) => {
      const prepared = await prepareReplay(
        { config, exporter: shelf.spec.type, logger: () => silentLogger, ...more },
        SIGNAL,
      );
      try {
        return await prepared.run(SIGNAL);
      } finally {
        await prepared.close();
      }
    },
    receipts: () => lines<Receipt>("receipts"),
    letters: () => lines("letters"),
  };
}

const all = { offsets: [{ partition: 0, first: 0n, last: 1399n }] };

// A disk, and whoever else works on this machine, may take their time.
describe("replay", () => {
  test("what is there is not sent again, what is missing is, and each range has its receipt", async () => {
    const { shelf, replay, receipts } = await world();
    const first = await replay({
      selection: { offsets: [{ partition: 0, first: 100n, last: 899n }] },
    });
    expect(first).toMatchObject({
      read: 800,
      alreadyThere: 0,
      sent: 800,
      deadLettered: 0,
      filtered: 0,
    });
    expect(shelf.ids).toEqual(ids.slice(100, 900));
    expect(await replay({ selection: all })).toMatchObject({
      read: 1400,
      alreadyThere: 800,
      sent: 600,
    });
    expect(await replay({ selection: all })).toMatchObject({
      read: 1400,
      alreadyThere: 1400,
      sent: 0,
    });
    expect(shelf.ids.toSorted()).toEqual([...ids].toSorted());
    const written = receipts();
    expect(written.length).toBeGreaterThan(6);
    for (const receipt of written) {
      const part = events.slice(Number(receipt.firstOffset), Number(receipt.lastOffset) + 1);
      expect(receipt).toMatchObject({
        sink: "shelf",
        log: ORIGIN,
        again: true,
        events: part.length,
        delivered: part.length,
        filtered: 0,
        deadLettered: 0,
        root: merkleRoot(part.map(({ bytes }) => bytes)),
      });
    }
  });

  test("the processors of the pipeline stand before the exporter, as in delivery", async () => {
    const { shelf, replay, receipts } = await world("processors: [filter/decisions],");
    const decisions = events.filter(({ event }) => event.type.endsWith("decision.v1"));
    expect(decisions.length).toBeLessThan(events.length);
    expect(await replay({ selection: all })).toMatchObject({
      read: 1400,
      sent: decisions.length,
      filtered: 1400 - decisions.length,
    });
    expect(shelf.ids).toEqual(decisions.map(({ event }) => event.id));
    expect(receipts().reduce((sum, { filtered }) => sum + filtered, 0)).toBe(
      1400 - decisions.length,
    );
  });

  test("by time: until is excluded", async () => {
    const { shelf, replay } = await world();
    const fromMs = Date.parse(events[200]?.event.time ?? "");
    const untilMs = Date.parse(events[301]?.event.time ?? "");
    const within = events.filter(({ event }) => {
      const timeMs = Date.parse(event.time);
      return timeMs >= fromMs && timeMs < untilMs;
    });
    expect(await replay({ selection: { fromMs, untilMs } })).toMatchObject({ sent: within.length });
    expect(shelf.ids.toSorted()).toEqual(within.map(({ event }) => event.id).toSorted());
  });

  test("by the chain of one emitter: a receipt covers no place that was left out", async () => {
    const { shelf, replay, receipts } = await world();
    const own = events.filter((_, at) => at % 2 === 1);
    const selection = { emitter: "two", epoch: "6".repeat(32) };
    expect(await replay({ selection })).toMatchObject({ read: 700, sent: 700 });
    expect(shelf.ids).toEqual(own.map(({ event }) => event.id));
    expect(new Set(receipts().map(({ events: count }) => count))).toEqual(new Set([1]));
    expect(await replay({ selection: { emitter: "two", epoch: "7" } })).toMatchObject({ read: 0 });
  });

  test("a dry run asks, sends nothing and writes nothing", async () => {
    const { shelf, replay, directory } = await world();
    await replay({ selection: { offsets: [{ partition: 0, first: 0n, last: 9n }] } });
    const before = readdirSync(directory, { recursive: true });
    expect(await replay({ selection: all, dryRun: true })).toMatchObject({
      dryRun: true,
      read: 1400,
      alreadyThere: 10,
      sent: 1390,
    });
    expect(shelf.ids).toHaveLength(10);
    expect(readdirSync(directory, { recursive: true })).toEqual(before);
  });

  test("a failure for now is tried again, one for good becomes a letter with its place", async () => {
    const { shelf, replay, letters } = await world();
    let attempts = 0;
    shelf.before = () => {
      attempts += 1;
      if (attempts === 2)
        throw new CountersignError("OVERLOADED", "shelf: busy", { retryAfterMs: 5 });
    };
    shelf.refuse = ({ event }) => (event.id === ids[600] ? "too_old" : undefined);
    expect(await replay({ selection: all })).toMatchObject({ sent: 1399, deadLettered: 1 });
    expect(shelf.ids).toEqual(ids.filter((id) => id !== ids[600]));
    expect(letters()).toMatchObject([
      { reason: "too_old", sink: "shelf", place: { log: ORIGIN, partition: 0, offset: "600" } },
    ]);
  });

  test("a sink that takes nothing ends the replay, and what was sent is sent", async () => {
    const { shelf, replay } = await world();
    let calls = 0;
    shelf.before = (batch) => {
      calls += 1;
      if (calls > 1)
        throw new CountersignError("UNAVAILABLE", "shelf: the token is not valid", {
          failed: [...batch.events.keys()],
        });
    };
    await expect(replay({ selection: all, patienceMs: 700 })).rejects.toMatchObject({
      code: "UNAVAILABLE",
    });
    expect(shelf.ids).toEqual(ids.slice(0, shelf.ids.length));
    shelf.before = () => undefined;
    await replay({ selection: all });
    expect(shelf.ids).toEqual(ids);
  });

  test("a place that the log does not have, and an exporter behind no log, are named", async () => {
    const { replay } = await world();
    await expect(
      replay({ selection: { offsets: [{ partition: 0, first: 1390n, last: 1400n }] } }),
    ).rejects.toThrow(/partition 0 does not hold 1390 to 1400; it holds 0 to 1399/);
    await expect(replay({ selection: all, exporter: "archive" })).rejects.toThrow(
      /no pipeline leads from a log to exporter archive; those that do: shelf/,
    );
  });

  test("a sink that can not tell what it has makes duplicates, and is said to", async () => {
    const directory = scratch();
    const archive = await openArchive({ directory: join(directory, "archive"), origin: ORIGIN });
    await archive.append(sealedEvents(3));
    await archive.close();
    const blind = createShelf("blind", false);
    const config = configWith(
      `
receivers: { archive: { from: archive, cursors: ${directory}/cursors } }
exporters:
  archive: { directory: ${directory}/archive, origin: ${ORIGIN} }
  blind: {}
  file/dead_letter: { directory: ${directory}/letters, format: native }
service:
  dead_letter: file/dead_letter
  pipelines: { decisions/siem: { receivers: [archive], exporters: [blind] } }
`,
      blind,
    );
    for (const expected of [3, 6]) {
      const prepared = await prepareReplay(
        {
          config,
          exporter: "blind",
          selection: { emitter: "tickets-test" },
          logger: () => silentLogger,
        },
        SIGNAL,
      );
      expect(prepared).toMatchObject({ asks: false, duplicates: true });
      await prepared.run(SIGNAL);
      await prepared.close();
      expect(blind.ids).toHaveLength(expected);
    }
  });
});
