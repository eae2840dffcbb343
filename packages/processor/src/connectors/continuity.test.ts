// The connector behind a log: what it hands on, what it remembers, what a restart does.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  CountersignError,
  type FindingEvent,
  type SealedEvent,
  validateOpen,
} from "@countersign/model";
import type { Component, Consumer, Decisions, Rebuilding } from "@countersign/pipeline";
import { expect, test } from "vitest";
import { EmitterLife, seqOf } from "../testing/emitter-life.ts";
import { runtimeOf, scratch, SIGNAL } from "../testing/exporters.ts";
import { createRandom } from "../testing/random.ts";
import { continuityConnector } from "./continuity.ts";

const DEADLINE = (): AbortSignal => AbortSignal.timeout(5000);

interface World {
  readonly connector: Component & Consumer<Decisions> & Rebuilding;
  readonly found: SealedEvent[];
  /** Makes the next pipelines refuse. */
  down: boolean;
  readonly stop: () => Promise<void>;
}

async function world(more: object = {}, found: SealedEvent[] = []): Promise<World> {
  const one = { found, down: false } as { found: SealedEvent[]; down: boolean } & World;
  const consumer: Consumer<Decisions> = {
    async consume({ events }) {
      if (one.down) throw new CountersignError("UNAVAILABLE", "log: away");
      found.push(...events);
    },
  };
  const config = { settle: "1h", silent_after: "2h", always_on: [], max_emitters: 100, ...more };
  const connector = continuityConnector.create(config as never, runtimeOf("continuity"), {
    traces: [],
    logs: [],
    decisions: [{ pipeline: "decisions/findings", consumer }],
  }) as World["connector"];
  await connector.start(SIGNAL);
  return Object.assign(one, { connector, stop: () => connector.stop(DEADLINE()) });
}

const batch = (events: readonly SealedEvent[], first: number, again = false): Decisions => ({
  events,
  origin: {
    log: "test.example/a",
    partition: 0,
    first: BigInt(first),
    last: BigInt(first + events.length - 1),
  },
  ...(again ? { again: true } : {}),
});

/** A log in which an event came twice, and one is gone. */
function damaged(): SealedEvent[] {
  const life = new EmitterLife(createRandom(4));
  const epoch = life.start();
  for (let at = 0; at < 20; at += 1) life.beat(epoch);
  life.shipAll();
  const log = [...life.log];
  log.splice(6, 0, log[5] as SealedEvent);
  log.splice(12, 1);
  return log;
}

const words = (found: readonly SealedEvent[]): readonly string[] =>
  found.map(({ event }) => (event.data as FindingEvent["data"]).finding);

test("findings go on as valid events before the batch is taken, and a gap when nothing explained it", async () => {
  const log = damaged();
  const { connector, found, stop } = await world({ settle: "40ms" });
  await connector.consume(batch(log, 0), SIGNAL);
  expect(words(found)).toContain("DUPLICATE");
  await expect.poll(() => words(found)).toEqual(["DUPLICATE", "GAP"]);
  expect(found.flatMap(({ event }) => validateOpen(event))).toEqual([]);
  expect(found[0]?.event).toMatchObject({
    source: "urn:countersign:connector:continuity",
    data: { tenant: "acme", of: { emitter: "tickets-1", seq: 5 } },
  });
  await stop();
});

test("the same finding twice is told once", async () => {
  const { connector, found, stop } = await world();
  const log = damaged().slice(0, 9);
  await connector.consume(batch([...log, log[5], log[8], log[5]] as SealedEvent[], 0), SIGNAL);
  expect(found.map(({ event }) => (event.data as FindingEvent["data"]).of.seq)).toEqual([5, 7]);
  await stop();
});

test("silence is told by the clock", async () => {
  const { connector, found, stop } = await world({ silent_after: "40ms", always_on: ["tick*"] });
  await connector.consume(batch(damaged().slice(0, 5), 0), SIGNAL);
  await expect.poll(() => words(found)).toEqual(["SILENT"]);
  await stop();
});

test("what cannot be handed on fails the batch; the batch again hands it on, once", async () => {
  const one = await world();
  const log = damaged();
  one.down = true;
  const first = one.connector.consume(batch(log, 0), SIGNAL);
  await expect(first).rejects.toMatchObject({ code: "UNAVAILABLE" });
  one.down = false;
  await one.connector.consume(batch(log, 0), SIGNAL);
  await one.connector.consume(batch(log, 0), SIGNAL);
  expect(words(one.found)).toEqual(["DUPLICATE"]);
  await one.stop();
});

test("after a restart it reads again, and tells nothing that it told", async () => {
  const log = damaged();
  const before = await world({ settle: "40ms" });
  await before.connector.consume(batch(log, 0), SIGNAL);
  await expect.poll(() => before.found.length).toBe(2);
  await before.stop();
  const whole = [...log, ...before.found];
  const after = await world({ settle: "40ms" }, before.found);
  expect(after.connector.rebuildFrom("test.example/a", 0)).toBe(0n);
  await after.connector.consume(batch(whole, 0, true), SIGNAL);
  const life = new EmitterLife(createRandom(9), "tickets-2");
  life.start();
  life.shipAll();
  await after.connector.consume(batch(life.log, whole.length), SIGNAL);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(words(after.found)).toEqual(["DUPLICATE", "GAP"]);
  await after.stop();
});

test("a gap that was not told before the end is told after it, by the same id", async () => {
  const log = damaged();
  const never = await world();
  await never.connector.consume(batch(log, 0), SIGNAL);
  await never.stop();
  expect(words(never.found)).toEqual(["DUPLICATE"]);
  const once = await world({ settle: "20ms" });
  const twice = await world({ settle: "20ms" });
  await once.connector.consume(batch(log, 0, true), SIGNAL);
  once.connector.rebuilt("test.example/a", 0);
  await twice.connector.consume(batch(log.slice(0, 15), 0, true), SIGNAL);
  await twice.connector.consume(batch(log.slice(15), 15), SIGNAL);
  await expect.poll(() => [words(once.found), words(twice.found)]).toEqual([["GAP"], ["GAP"]]);
  expect(once.found[0]?.hash).toBe(twice.found[0]?.hash);
  await Promise.all([once.stop(), twice.stop()]);
});

test("while the log is read again, time stands still: what explains a gap may be further on", async () => {
  const { connector, found, stop } = await world({
    settle: "20ms",
    silent_after: "20ms",
    always_on: ["tick*"],
  });
  const log = damaged();
  await connector.consume(batch(log, 0, true), SIGNAL);
  await new Promise((resolve) => setTimeout(resolve, 80));
  expect(words(found)).toEqual([]);
  connector.rebuilt("test.example/a", 0);
  await expect.poll(() => words(found).toSorted()).toEqual(["GAP", "SILENT"]);
  await stop();
});

test("of a partition that somebody else reads nothing is told, until it is back and as far as the log", async () => {
  const { connector, found, stop } = await world({
    settle: "40ms",
    silent_after: "40ms",
    always_on: ["tick*"],
  });
  const log = damaged();
  await connector.consume(batch(log, 0), SIGNAL);
  connector.released("test.example/a", 0);
  await new Promise((resolve) => setTimeout(resolve, 120));
  expect(words(found)).toEqual(["DUPLICATE"]);

  // The other one told the gap, and read on: so it is read again, and its finding with it.
  const other = await world({ settle: "10ms" });
  await other.connector.consume(batch(log, 0), SIGNAL);
  await expect.poll(() => words(other.found)).toEqual(["DUPLICATE", "GAP"]);
  await other.stop();
  expect(connector.rebuildFrom("test.example/a", 0)).toBe(BigInt(log.length));
  await connector.consume(batch(other.found, log.length, true), SIGNAL);
  connector.rebuilt("test.example/a", 0);
  await expect.poll(() => words(found)).toEqual(["DUPLICATE", "SILENT"]);
  await stop();
});

test("a batch that waited while its partition went to somebody else is given up", async () => {
  const { connector, stop } = await world();
  const gone = connector.consume(batch(damaged(), 0), AbortSignal.abort());
  await expect(gone).rejects.toMatchObject({ code: "CANCELLED" });
  expect(connector.rebuildFrom("test.example/a", 0)).toBe(0n);
  await stop();
});

test("with a directory it goes on where it stopped, if the log is the same", async () => {
  const state = join(scratch(), "continuity");
  const log = damaged();
  const first = await world({ state });
  await first.connector.consume(batch(log.slice(0, 10), 0), SIGNAL);
  await first.stop();
  const second = await world({ state, settle: "20ms" });
  expect(second.connector.rebuildFrom("test.example/a", 0)).toBe(9n);
  await second.connector.consume(batch(log.slice(9, 10), 9, true), SIGNAL);
  await second.connector.consume(batch(log.slice(10), 10), SIGNAL);
  await expect.poll(() => words(second.found)).toEqual(["GAP"]);
  await second.stop();

  // A receiver that cannot read again goes on where it stopped, too.
  const next = await world({ state });
  const life = new EmitterLife(createRandom(9), "tickets-2");
  life.start();
  life.shipAll();
  await next.connector.consume(batch(life.log, log.length), SIGNAL);
  await next.stop();
  expect((await world({ state })).connector.rebuildFrom("test.example/a", 0)).toBe(
    BigInt(log.length + life.log.length - 1),
  );

  const other = damaged();
  const third = await world({ state, settle: "20ms" });
  await third.connector.consume(batch(other, 0), SIGNAL);
  await expect.poll(() => words(third.found)).toEqual(["DUPLICATE", "GAP"]);
  await third.stop();

  for (const file of readdirSync(state)) {
    const path = join(state, file);
    writeFileSync(path, readFileSync(path, "utf8").replace("tickets-1", "tickets-9"));
  }
  const fourth = await world({ state });
  expect(fourth.connector.rebuildFrom("test.example/a", 0)).toBe(0n);
  await fourth.stop();
});

test("another place of the log: what is not known is not missed", async () => {
  const { connector, found, stop } = await world({ settle: "20ms" });
  const life = new EmitterLife(createRandom(4));
  const epoch = life.start();
  for (let at = 0; at < 20; at += 1) life.beat(epoch);
  life.shipAll();
  await connector.consume(batch(life.log.slice(0, 5), 0), SIGNAL);
  await connector.consume(batch(life.log.slice(10, 15), 700), SIGNAL);
  await connector.consume(batch(life.log.slice(15), 705), SIGNAL);
  expect(seqOf(life.log[10])).toBe(10);
  await new Promise((resolve) => setTimeout(resolve, 80));
  expect(words(found)).toEqual([]);
  await stop();
});

function ofPartition(partition: number, events: readonly SealedEvent[]): Decisions {
  const one = batch(events, 0);
  return { ...one, origin: { ...(one.origin as NonNullable<Decisions["origin"]>), partition } };
}

test("partitions are read apart from each other", async () => {
  const { connector, found, stop } = await world();
  const log = damaged();
  await Promise.all([
    connector.consume(ofPartition(0, log.slice(0, 5)), SIGNAL),
    connector.consume(ofPartition(1, log.slice(0, 5)), SIGNAL),
  ]);
  expect(words(found)).toEqual([]);
  await stop();
});
