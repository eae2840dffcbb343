// What is found along chains: nothing in a true one, whatever happened to its emitter, and each damage for what it is.
import { GENESIS, type SealedEvent } from "@countersign/model";
import { expect, test } from "vitest";
import { EmitterLife, randomLife, seqOf } from "../../testing/emitter-life.ts";
import { createRandom, type Random } from "../../testing/random.ts";
import type { Found } from "./state.ts";
import { createWatch, emptyState, type WatchRules } from "./watch.ts";

const MINUTE_MS = 60_000;
const RULES: WatchRules = {
  settleMs: 5 * MINUTE_MS,
  silentAfterMs: 1e12,
  alwaysOn: () => false,
  policies: undefined,
  maxEmitters: 100,
};

function look(
  log: readonly SealedEvent[],
  rules: Partial<WatchRules> = {},
  reached: (at: number) => number = (at) => timeOf(log, at),
): readonly Found[] {
  const watch = createWatch({ ...RULES, ...rules }, emptyState(true));
  const found = log.flatMap((sealed, at) => watch.observe(sealed, reached(at)));
  // Here, hours go by as well.
  return distinct([...found, ...watch.tick(0), ...watch.tick(24 * 60 * MINUTE_MS)]);
}

const timeOf = (log: readonly SealedEvent[], at: number): number =>
  Date.parse(log[at]?.event.time ?? "");

/** The same finding twice has the same id, and is told once. */
const distinct = (found: readonly Found[]): readonly Found[] => [
  ...new Map(found.map((one) => [JSON.stringify(one.data), one])).values(),
];

const words = (found: readonly Found[]): readonly string[] =>
  found.map(({ data }) => {
    const { finding, missing, of } = data;
    const where = missing === undefined ? (of.seq ?? "") : `${missing.from}-${missing.to}`;
    return `${finding} ${of.epoch?.slice(0, 4) ?? "epochs"} ${where}`.trim();
  });

const withheldStart = (data: object): boolean => (data as { of?: { seq: number } }).of?.seq === 0;

test("true chains: nothing is found but epochs that died and that nobody accounted for", () => {
  let crashes = 0;
  let complete = 0;
  for (let seed = 1; seed <= 300; seed += 1) {
    const life = randomLife(createRandom(seed), 150);
    life.goOn();
    const expected = [...life.unaccounted].map((epoch) => `NO_STOP ${epoch.slice(0, 4)}`);
    const found = words(look(life.log, {}, (at) => life.reached[at] ?? 0)).map((line) =>
      line.replace(/ \d+$/, ""),
    );
    expect([seed, ...found.filter((line) => !expected.includes(line))]).toEqual([seed]);
    // A start that was withheld may have accounted for those that were over by then.
    const excused = life.log.filter(({ event }) => withheldStart(event.data)).length;
    expect(excused > 0 || found.length === expected.length).toBe(true);
    complete += excused === 0 ? expected.length : 0;
    crashes += life.dead.length;
  }
  expect(crashes).toBeGreaterThan(1000);
  expect(complete).toBeGreaterThan(20);
});

test("what is found in two lives, or when the log is read again, is what is found in one: by the same words", () => {
  let told = 0;
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = createRandom(seed);
    const life = randomLife(random, 100);
    life.goOn();
    const log = life.log.filter(() => !random.chance(0.02));
    const whole = words(look(log));
    const cut = random.below(log.length);
    const state = emptyState(true);
    const before = createWatch(RULES, state);
    const first = log.slice(0, cut).flatMap((one, at) => before.observe(one, timeOf(log, at)));
    const stored = createWatch(RULES, structuredClone(state));
    const read = createWatch(RULES, emptyState(true));
    for (const one of log.slice(0, cut)) read.observe(one);
    for (const watch of [stored, read]) {
      const rest = log.slice(cut).flatMap((one, at) => watch.observe(one, timeOf(log, cut + at)));
      const last = [...watch.tick(0), ...watch.tick(24 * 60 * MINUTE_MS)];
      const found = words(distinct([...first, ...rest, ...last]));
      expect([seed, ...found.filter((line) => !whole.includes(line))]).toEqual([seed]);
      told += found.length;
    }
  }
  expect(told).toBeGreaterThan(200);
});

/** A life that goes on in one epoch; its first events are start and decisions. */
function plain(random: Random): { life: EmitterLife; epoch: string } {
  const life = new EmitterLife(random);
  const epoch = life.start();
  for (let at = 0; at < 12; at += 1) {
    life.pass(0.1);
    life.decide(epoch);
    life.finish(epoch);
    life.beat(epoch);
  }
  life.stop(epoch);
  life.start();
  life.goOn();
  return { life, epoch: epoch.epoch.slice(0, 4) };
}

const placeOf = (log: readonly SealedEvent[], seq: number): number =>
  log.findIndex((one) => seqOf(one) === seq);

const damages: readonly (readonly [
  string,
  (log: SealedEvent[], other: readonly SealedEvent[]) => void,
  readonly string[],
])[] = [
  ["an event is gone", (log) => void log.splice(placeOf(log, 7), 1), ["GAP 7-7"]],
  ["events are gone", (log) => void log.splice(placeOf(log, 4), 6), ["GAP 4-9"]],
  ["the start is gone", (log) => void log.splice(placeOf(log, 0), 1), ["GAP 0-0"]],
  [
    "the end is gone, and the next start tells of it",
    (log) => void log.splice(stopAt(log) - 1, 2),
    ["GAP tail"],
  ],
  ["an event came twice", (log) => void log.splice(9, 0, log[8] as never), ["DUPLICATE 8"]],
  [
    "events came twice, in a run",
    (log) => void log.splice(9, 0, ...log.slice(5, 9)),
    ["DUPLICATE 5"],
  ],
  [
    "another event has the place of one that is there",
    (log, other) => void log.splice(9, 0, other[8] as never),
    ["FORK 8"],
  ],
  [
    "another history goes on where one ended",
    (log, other) => void log.splice(6, stopAt(log) - 5, ...other.slice(6, stopAt(other) + 1)),
    ["FORK 6", "FORK tail"],
  ],
];

/** Where the first `stop` of the log stands. */
const stopAt = (log: readonly SealedEvent[]): number =>
  log.findIndex(({ event }) => event.type.includes("stop"));

test.each(damages)("%s", (_name, damage, expected) => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const { life, epoch } = plain(createRandom(seed));
    expect(look(life.log)).toEqual([]);
    const last = stopAt(life.log);
    const tail = { GAP: `GAP ${epoch} ${last - 1}-${last}`, FORK: `FORK ${epoch} ${last}` };
    const log = [...life.log];
    damage(log, twin(life.log, seed));
    const lines = expected.map((line) => {
      const [kind = "", where = ""] = line.split(" ");
      return where === "tail" ? tail[kind as "GAP"] : `${kind} ${epoch} ${where}`;
    });
    expect([seed, ...words(look(log)).toSorted()]).toEqual([seed, ...lines.toSorted()]);
  }
});

/** The same places of the same epoch, with another content: what a copied journal would write. */
function twin(log: readonly SealedEvent[], seed: number): readonly SealedEvent[] {
  const { life } = plain(createRandom(seed));
  expect(life.log.length).toBe(log.length);
  return life.log;
}

test("of the rest of an ended epoch, what did not come although something behind it did is told like any other gap", () => {
  const life = new EmitterLife(createRandom(3));
  const epoch = life.start();
  life.ship(epoch);
  for (let at = 0; at < 8; at += 1) life.decide(epoch);
  life.crash(epoch);
  // The next process says how far it went, before it ships what is left of it.
  life.ship(life.start());
  epoch.unsent.splice(3, 2);
  life.ship(epoch);
  const watch = createWatch(RULES, emptyState(true));
  const nowMs = life.timeMs;
  expect(life.log.flatMap((sealed) => watch.observe(sealed, nowMs))).toEqual([]);
  expect(watch.tick(nowMs)).toEqual([]);
  expect(words(watch.tick(nowMs + RULES.settleMs))).toEqual([`GAP ${epoch.epoch.slice(0, 4)} 4-5`]);
});

test("an epoch is gone, with everything in it", () => {
  const life = new EmitterLife(createRandom(1));
  for (let number = 1; number <= 4; number += 1) {
    const epoch = life.start();
    life.decide(epoch);
    life.stop(epoch);
    life.ship(epoch);
  }
  const log = life.log.filter(({ event }) => "chain" in event.data);
  const gone = log.filter(({ event }) => JSON.stringify(event).includes('"epochNumber":3'));
  const epoch = epochOf(gone[0]);
  life.goOn();
  const rest = life.log.filter(
    ({ event }) => !JSON.stringify(event.data).includes(`"epoch":"${epoch}","prev"`),
  );
  expect(rest.length).toBeLessThan(life.log.length);
  expect(words(look(rest))).toEqual(["GAP epochs 3-3"]);
});

test("a call that ran has no outcome when its epoch stopped", () => {
  const { life, epoch } = plain(createRandom(3));
  const outcome = life.log.findIndex(({ event }) => event.type.includes("outcome"));
  const sealed = life.log[outcome] as SealedEvent;
  const forgetful = new EmitterLife(createRandom(3));
  const one = forgetful.start();
  while (one.open.length === 0) forgetful.decide(one);
  const decided = one.last as SealedEvent;
  one.open.splice(0);
  forgetful.stop(one);
  forgetful.goOn();
  const found = look(forgetful.log);
  expect(found.map(({ data }) => [data.finding, data.of.id])).toEqual([
    ["NO_OUTCOME", decided.event.id],
  ]);
  // One that was never written is not one that was taken away: then the chain is broken.
  expect(words(look(life.log.filter((event) => event !== sealed)))).toEqual([
    `GAP ${epoch} ${seqOf(sealed)}-${seqOf(sealed)}`,
  ]);
});

test("a call without an outcome is told after a day of its emitter's life, too", () => {
  const life = new EmitterLife(createRandom(5));
  const epoch = life.start();
  while (epoch.open.length === 0) life.decide(epoch);
  life.goOn(23);
  expect(look(life.log)).toEqual([]);
  life.goOn(3);
  expect(words(look(life.log)).map((line) => line.split(" ")[0])).toEqual(["NO_OUTCOME"]);
});

test("clocks: one that runs ahead of ours, one that was set back between two epochs", () => {
  const { life } = plain(createRandom(7));
  const watch = createWatch(RULES, emptyState(true));
  const early = life.log.flatMap((one) =>
    watch.observe(one, Date.parse(one.event.time) - 6 * MINUTE_MS),
  );
  expect(new Set(early.map(({ data }) => data.clock))).toEqual(new Set(["ahead"]));
  const epochs = new Set(
    life.log.map(({ event }) => (event.data as { chain: { epoch: string } }).chain.epoch),
  );
  expect(early).toHaveLength(epochs.size);

  const back = new EmitterLife(createRandom(7));
  const first = back.start();
  back.pass(60);
  back.stop(first);
  back.pass(-30);
  back.start();
  back.shipAll();
  const found = look(back.log);
  expect(found.map(({ data }) => [data.finding, data.clock, data.of.seq])).toEqual([
    ["CLOCK_SKEW", "backwards", 0],
  ]);
});

test("policies that nobody listed, once an epoch", () => {
  const { life } = plain(createRandom(9));
  expect(look(life.log, { policies: new Set([`sha256:${"ab".repeat(32)}`]) })).toEqual([]);
  const found = look(life.log, { policies: new Set([`sha256:${"cd".repeat(32)}`]) });
  const epochs = new Set(found.map(({ data }) => data.of.epoch));
  expect(found).toHaveLength(epochs.size);
  expect(epochs.size).toBeGreaterThan(3);
  expect(found[0]?.data).toMatchObject({ finding: "POLICY_UNKNOWN", of: { seq: 0 } });
});

test("silence: of those who should always be heard, once, and again when they were heard since", () => {
  const { life } = plain(createRandom(11));
  const rules = {
    ...RULES,
    silentAfterMs: 10 * MINUTE_MS,
    alwaysOn: (name: string) => name === "tickets-1",
  };
  const watch = createWatch(rules, emptyState(true));
  for (const one of life.log.slice(0, -1)) watch.observe(one);
  expect(watch.tick(0)).toEqual([]);
  expect(watch.tick(9 * MINUTE_MS)).toEqual([]);
  expect(kinds(watch.tick(10 * MINUTE_MS))).toEqual(["SILENT"]);
  expect(watch.tick(30 * MINUTE_MS)).toEqual([]);
  watch.observe(life.log.at(-1) as SealedEvent, 31 * MINUTE_MS);
  expect(watch.tick(40 * MINUTE_MS)).toEqual([]);
  expect(kinds(watch.tick(41 * MINUTE_MS))).toEqual(["SILENT"]);
  const others = createWatch({ ...rules, alwaysOn: () => false }, emptyState(true));
  for (const one of life.log) others.observe(one);
  expect([...others.tick(0), ...others.tick(30 * MINUTE_MS)]).toEqual([]);
});

test("a log that is not read from its start: what is missing before is not asked for", () => {
  for (let seed = 1; seed <= 40; seed += 1) {
    const random = createRandom(seed);
    const life = randomLife(random, 120);
    life.goOn();
    const watch = createWatch(RULES, emptyState(false));
    const rest = life.log.slice(random.below(life.log.length));
    const found = [
      ...rest.flatMap((one) => watch.observe(one)),
      ...watch.tick(0),
      ...watch.tick(1e9),
    ];
    // What was reported as lost before is not known to be.
    const lost = new Set(life.log.flatMap(({ event }) => lostEpoch(event.data) ?? []));
    const others = found.filter(
      ({ data }) => data.finding !== "NO_STOP" && !lost.has(data.of.epoch ?? ""),
    );
    expect([seed, ...others]).toEqual([seed]);
  }
});

const epochOf = (sealed: SealedEvent | undefined): string =>
  (sealed?.event.data as { chain?: { epoch: string } } | undefined)?.chain?.epoch ?? "";

const kinds = (found: readonly Found[]): readonly string[] => found.map(({ data }) => data.finding);

const lostEpoch = (data: object): string | undefined =>
  (data as { records?: { epoch: string } }).records?.epoch;

test("bounded: emitters and epochs that are forgotten are no findings when they come back", () => {
  const watch = createWatch({ ...RULES, maxEmitters: 3 }, emptyState(true));
  const lives = Array.from({ length: 6 }, (_, index) => {
    const life = new EmitterLife(createRandom(index + 1), `tickets-${index}`);
    const epoch = life.start();
    for (let one = 0; one < 4; one += 1) life.beat(epoch);
    life.shipAll();
    return life.log;
  });
  const found = [0, 1, 2, 3, 4].flatMap((index) =>
    lives.flatMap((log) => watch.observe(log[index] as SealedEvent)),
  );
  expect([...found, ...watch.tick(0), ...watch.tick(1e9)]).toEqual([]);
  expect(watch.state.emitters.size).toBe(3);

  const many = new EmitterLife(createRandom(1));
  for (let one = 0; one < 40; one += 1) many.start();
  for (const epoch of many.living) many.ship(epoch, 1);
  for (const epoch of many.living) many.beat(epoch);
  many.shipAll();
  const other = createWatch(RULES, emptyState(true));
  expect(many.log.flatMap((one) => other.observe(one))).toEqual([]);
  const [state] = other.state.emitters.values();
  expect(state?.epochs.size).toBe(16);
});

test("a first event that names another one before it is a fork", () => {
  const { life, epoch } = plain(createRandom(2));
  const [first, ...rest] = life.log;
  const data = structuredClone(first?.event.data) as { chain: { prev: string } };
  expect(data.chain.prev).toBe(GENESIS);
  data.chain.prev = "1".repeat(64);
  const wrong = { ...first, event: { ...first?.event, data } } as SealedEvent;
  expect(words(look([wrong, ...rest]))).toEqual([`FORK ${epoch} 0`]);
});

test("a call that was going on when its process died has no outcome that anybody could know", () => {
  for (const late of [false, true]) {
    const life = new EmitterLife(createRandom(5));
    const epoch = life.start();
    while (epoch.open.length === 0) life.decide(epoch);
    if (!late) life.ship(epoch);
    life.crash(epoch);
    const next = life.start();
    life.ship(next);
    for (let hours = 0; hours < 30; hours += 1) {
      life.pass(60);
      life.beat(next);
      life.shipAll();
    }
    expect(words(look(life.log, {}, (at) => life.reached[at] ?? 0))).toEqual([]);
  }
});

test("a number that a process holds for long before its first event is no gap while it may still come", () => {
  const life = new EmitterLife(createRandom(6));
  const first = life.start();
  life.dieBeforeFirst();
  life.shipAll();
  life.skipVoid();
  life.shipAll();
  life.pass(10);
  life.stop(life.skipVoid());
  for (let minutes = 0; minutes < 90; minutes += 10) {
    life.pass(10);
    life.beat(first);
    life.shipAll();
  }
  life.start();
  life.goOn();
  expect(look(life.log)).toEqual([]);
});
