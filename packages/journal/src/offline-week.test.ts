// A laptop that is away from its processor for a week, in simulated time: eight hours of work a day, asleep in between, its server started
// anew each morning and killed once. The limits are the real ones divided by 1,024.
import { setImmediate as nextTurn } from "node:timers/promises";
import { errorCode, type HeartbeatEvent, kindOf, type SealedEvent } from "@countersign/model";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Journal } from "./api.ts";
import { createJournal } from "./journal.ts";
import {
  decision,
  EPOCH_INFO,
  type RecordingLogger,
  recordingLogger,
} from "./testing/journal-fixture.ts";
import { systemError } from "./testing/faulty-fs.ts";
import type { Poster } from "./ship/post.ts";
import { createRandom } from "./testing/random.ts";
import { Schedule } from "./testing/schedule.ts";
import { SimulatedDisk } from "./testing/simulated-disk.ts";
import { createSimulatedFs } from "./testing/simulated-fs.ts";
import { type KeptEvent, SimulatedReceiver } from "./testing/simulated-receiver.ts";
import { SimulatedTime } from "./testing/simulated-time.ts";

const DISK_BYTES = 1024 * 1024;
const HOUR_MS = 3_600_000;
const HOURS_OF_WORK = 8;
const CALLS_AN_HOUR = 30;
/** What passes at the limit: heartbeats, `lost`, `stop`. */
const BESIDES_BYTES = 64 * 1024;

class Laptop {
  readonly time = new SimulatedTime();
  readonly disk = new SimulatedDisk();
  readonly receiver = new SimulatedReceiver();
  readonly log: RecordingLogger = recordingLogger();
  readonly told: SealedEvent[] = [];
  readonly arrived: KeptEvent[] = [];
  denied = 0;
  mostBytes = 0;
  /** Nobody answers. */
  away = true;
  #schedule = new Schedule(createRandom(1));
  #restore: () => void = () => undefined;
  journal: Journal | undefined;

  open(): void {
    this.#restore = this.time.install(createRandom(2));
    this.receiver.arriving = (event) => this.arrived.push(event);
  }

  close(): void {
    this.#restore();
  }

  start(): Journal {
    const schedule = new Schedule(createRandom(3));
    this.#schedule = schedule;
    const random = { ...createRandom(4), below: () => 0 };
    const { disk, time, log } = this;
    const fs = createSimulatedFs({
      disk,
      schedule,
      random,
      nowMs: () => time.nowMs,
      fault: () => undefined,
    });
    this.journal = createJournal({
      directory: "/journal",
      emitter: "laptop",
      epoch: EPOCH_INFO,
      fs,
      log,
      env: {},
      limits: { diskBytes: DISK_BYTES, segmentBytes: 16 * 1024, reserveBytes: 1_024 },
      ship: { endpoint: "http://127.0.0.1:1" },
      connect: () => {
        const there = this.receiver.connect(schedule, () => ({ random, trouble: 0 }));
        const nobody = (): Promise<never> =>
          schedule.run("post", () => {
            throw systemError("ECONNREFUSED", "connect");
          });
        const post: Poster["post"] = (body, signal) =>
          this.away ? nobody() : there.post(body, signal);
        return { ...there, post };
      },
    });
    return this.journal;
  }

  kill(): void {
    this.#schedule.powerOff();
    this.time.clear();
    this.disk.forgetProcesses();
  }

  /** The lid is closed: the wall clock goes on, timers stand still. */
  sleep(ms: number): void {
    this.time.set(ms);
  }

  async work(hours: number, callsAnHour = CALLS_AN_HOUR): Promise<void> {
    for (let hour = 0; hour < hours; hour++) {
      for (let call = 0; call < callsAnHour; call++) await this.#call();
      await new Promise((resolve) => setTimeout(resolve, HOUR_MS));
    }
  }

  async #call(): Promise<void> {
    const journal = this.journal as Journal;
    try {
      this.told.push(await journal.append(decision()));
    } catch (error) {
      if (errorCode(error) !== "UNAVAILABLE") throw error;
      journal.counters.auditDenied += 1;
      this.denied += 1;
    }
    this.mostBytes = Math.max(this.mostBytes, this.bytes());
  }

  bytes(): number {
    return [...this.disk.files()]
      .filter(([path]) => path.endsWith(".wal"))
      .reduce((sum, [, { cached }]) => sum + cached.length, 0);
  }

  warnings(text: string): number {
    return this.log.lines.filter(({ message }) => message.includes(text)).length;
  }

  /** Lets the machine run until `work` is done. */
  async run(work: Promise<unknown>): Promise<void> {
    const state = { over: false };
    const end = (): void => {
      state.over = true;
    };
    work.then(end, end);
    for (let idle = 0; !state.over;) {
      await nextTurn();
      if (state.over) break;
      if (this.#schedule.step()) idle = 0;
      else if (++idle > 3) this.time.advance();
    }
    await work;
  }
}

let laptop: Laptop;
beforeEach(() => {
  laptop = new Laptop();
  laptop.open();
});
afterEach(() => laptop.close());

/** Seven days without a processor. */
async function awayForAWeek(): Promise<void> {
  for (let day = 0; day < 7; day++) {
    laptop.start();
    const before = laptop.warnings("80 % full");
    await laptop.run(laptop.work(HOURS_OF_WORK));
    expect(laptop.warnings("80 % full") - before).toBeLessThanOrEqual(1);
    if (day === 2) laptop.kill();
    else {
      const stopped = laptop.journal?.stop("shutdown", new AbortController().signal);
      await laptop.run(stopped as Promise<void>);
      laptop.time.clear();
      laptop.disk.forgetProcesses();
    }
    laptop.sleep((24 - HOURS_OF_WORK) * HOUR_MS);
  }
}

test(
  "a week offline: bounded, warned of, refused at the limit, and drained in order",
  { timeout: 300_000 },
  async () => {
    await awayForAWeek();
    expect(laptop.denied).toBeGreaterThan(50);
    expect(laptop.told.length).toBeGreaterThan(500);
    expect(laptop.mostBytes).toBeGreaterThan(DISK_BYTES * 0.99);
    expect(laptop.mostBytes).toBeLessThan(DISK_BYTES + BESIDES_BYTES);
    expect(laptop.arrived).toEqual([]);
    const warned = laptop.warnings("80 % full");
    expect(warned).toBeGreaterThan(0);

    laptop.away = false;
    laptop.start();
    await laptop.run(laptop.work(3, 2));
    const kept = [...laptop.receiver.kept.values()];
    const there = new Set(kept.map(({ hash }) => hash));
    expect(laptop.told.filter(({ hash }) => !there.has(hash))).toEqual([]);
    expect(laptop.receiver.problems).toEqual([]);
    expectOrder(laptop.arrived.filter(({ epoch }) => epoch !== laptop.journal?.status().epoch));
    expect(laptop.bytes()).toBeLessThan(64 * 1024);
    const counted = kept.map(({ text }) => JSON.parse(text) as HeartbeatEvent);
    const said = counted.filter(({ type }) => ["stop", "heartbeat"].includes(kindOf(type) ?? ""));
    expect(Math.max(...said.map(({ data }) => data.counters.auditDenied))).toBeGreaterThan(0);
    expect(laptop.warnings("80 % full")).toBeLessThanOrEqual(warned + 1);
  },
);

/** Old epochs first, each from its start to its end without a hole, one after the other. */
function expectOrder(arrived: readonly KeptEvent[]): void {
  const epochs = [...new Set(arrived.map(({ epoch }) => epoch))];
  const numbers: number[] = [];
  let at = 0;
  for (const epoch of epochs) {
    const own = arrived.filter((event) => event.epoch === epoch);
    expect(own.map(({ seq }) => seq)).toEqual(own.map((_, seq) => seq));
    expect(arrived.slice(at, at + own.length)).toEqual(own);
    at += own.length;
    const start = JSON.parse(own[0]?.text ?? "") as { data: { epochNumber: number } };
    numbers.push(start.data.epochNumber);
  }
  expect(numbers).toEqual(numbers.map((_, index) => index + 1));
  expect(numbers).toHaveLength(7);
}

test(
  "what was shipped makes room: a process may write many times its limit",
  { timeout: 300_000 },
  async () => {
    laptop.away = false;
    laptop.start();
    await laptop.run(laptop.work(8, 320));
    expect(laptop.denied).toBe(0);
    const sealed = laptop.told.reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(sealed).toBeGreaterThan(2 * DISK_BYTES);
    expect(laptop.warnings("80 % full")).toBe(0);
    expect(laptop.journal?.status().bytes).toBeLessThan(DISK_BYTES / 10);
  },
);
