// When the shipper does what: on a machine whose time goes by only when the test says so, over a real disk.
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CountersignError } from "@countersign/model";
import { expect, test } from "vitest";
import { type Acknowledgements, createAcknowledgements } from "../acknowledgements.ts";
import type { OwnEpoch } from "../emission.ts";
import { deadEpoch, EMITTER, epochId, openEpoch } from "../testing/dead-epoch.ts";
import { createFaultyFs } from "../testing/faulty-fs.ts";
import { decision, EPOCH_INFO, type Scratch, scratch } from "../testing/journal-fixture.ts";
import { createRandom } from "../testing/random.ts";
import { SimulatedTime } from "../testing/simulated-time.ts";
import type { Answer } from "./post.ts";
import { createShipper, type Shipper } from "./shipper.ts";

/** Counts what a file system, and the files it opened, have not finished. */
function counting<Port extends object>(port: Port, busy: { operations: number }): Port {
  const wrapped = Object.entries(port).map(([name, operation]) => {
    if (typeof operation !== "function") return [name, operation];
    const counted = async (...args: unknown[]): Promise<unknown> => {
      busy.operations += 1;
      try {
        const value: unknown = await operation(...args);
        return name === "open" ? counting(value as object, busy) : value;
      } finally {
        busy.operations -= 1;
      }
    };
    return [name, counted];
  });
  return Object.fromEntries(wrapped) as Port;
}

class Machine implements Disposable {
  readonly s: Scratch = scratch();
  readonly fs = createFaultyFs();
  readonly #busy = { operations: 0 };
  readonly time = new SimulatedTime();
  readonly acknowledgements: Acknowledgements = createAcknowledgements();
  /** Epoch, numbers, and the time at which they came. */
  readonly requests: [string, number[], number][] = [];
  readonly lost: unknown[] = [];
  readonly shipper: Shipper;
  closed = 0;
  /** What the receiver does before it answers. */
  answer: () => Promise<Partial<Answer>> | Partial<Answer> = () => ({});
  readonly #restore = this.time.install(createRandom(1));
  readonly #startMs = Date.now();

  constructor() {
    const poster = {
      target: "http://receiver",
      post: (body: string, signal: AbortSignal) => this.#post(body, signal),
      close: () => (this.closed += 1),
    };
    const { s, acknowledgements } = this;
    this.shipper = createShipper({
      fs: counting(this.fs, this.#busy),
      log: s.log,
      directory: s.directory,
      tenant: EPOCH_INFO.tenant,
      poster,
      acknowledgements,
      reportLost: (epoch, ranges) => {
        this.lost.push({ epoch, ranges: [...ranges] });
        return Promise.resolve();
      },
    });
  }

  async #post(body: string, signal: AbortSignal): Promise<Answer> {
    const { logRecords } = JSON.parse(body).resourceLogs[0].scopeLogs[0];
    const chains = logRecords.map(
      (record: { body: { stringValue: string } }) => JSON.parse(record.body.stringValue).data.chain,
    );
    const seqs = chains.map(({ seq }: { seq: number }) => seq);
    this.requests.push([chains[0].epoch, seqs, this.elapsedMs]);
    const given = Promise.withResolvers<never>();
    signal.addEventListener("abort", () =>
      given.reject(new CountersignError("CANCELLED", "given up")),
    );
    const answer = await Promise.race([this.answer(), given.promise]);
    return { status: 200, retryAfterMs: undefined, body: "{}", ...answer };
  }

  get elapsedMs(): number {
    return Date.now() - this.#startMs;
  }

  get sent(): number[][] {
    return this.requests.map(([, seqs]) => seqs);
  }

  /** An epoch of this process. */
  async epoch(segmentBytes?: number): Promise<OwnEpoch> {
    const { writer, claim } = await openEpoch(join(this.s.directory, EMITTER), segmentBytes);
    return { emitter: EMITTER, writer, claim };
  }

  /** Appends, and says that it is durable. */
  async append(own: OwnEpoch, events = 1): Promise<void> {
    await Promise.all(Array.from({ length: events }, () => own.writer.append(decision())));
    this.acknowledgements.durable(own.writer.epoch, own.writer.events - 1, Date.now());
    this.shipper.progress(own);
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    for (let quiet = 0; quiet < 10; quiet = this.#busy.operations > 0 ? 0 : quiet + 1) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** To the next timer, and what comes of it. */
  async next(): Promise<void> {
    this.time.advance();
    await this.settle();
  }

  [Symbol.dispose](): void {
    this.#restore();
    this.s[Symbol.dispose]();
  }
}

test("events gather for a fifth of a second, and go together", async () => {
  using m = new Machine();
  const own = await m.epoch();
  await m.append(own);
  await m.append(own, 2);
  await m.settle();
  expect(m.requests).toEqual([]);
  await m.next();
  expect(m.requests).toEqual([[own.writer.epoch, [0, 1, 2], 200]]);
  expect(m.acknowledgements.unacknowledged()).toBe(0);
  await m.append(own);
  await m.next();
  expect(m.requests[1]).toEqual([own.writer.epoch, [3], 400]);
});

test("who waits is not kept waiting, and a full batch neither", async () => {
  using m = new Machine();
  const own = await m.epoch();
  await m.append(own, 511);
  await m.settle();
  expect(m.sent).toEqual([]);
  await m.append(own);
  await m.settle();
  expect(m.requests.map(([, seqs, atMs]) => [seqs.length, atMs])).toEqual([[512, 0]]);
  const waiting = own.writer.append(decision()).then((event) => {
    const told = m.acknowledgements.wait(event, 10_000);
    m.acknowledgements.durable(own.writer.epoch, 512, Date.now());
    m.shipper.progress(own);
    return told;
  });
  expect(await waiting).toBe(true);
  expect([m.sent[1], m.elapsedMs]).toEqual([[512], 0]);
});

test("what comes while a batch is on its way gathers again; who hastens goes right behind it", async () => {
  using m = new Machine();
  const own = await m.epoch();
  let answer = Promise.withResolvers<object>();
  m.answer = () => answer.promise;
  await m.append(own);
  await m.next();
  await m.append(own);
  await m.settle();
  expect(m.sent).toEqual([[0]]);
  answer.resolve({});
  answer = Promise.withResolvers();
  await m.settle();
  expect(m.sent).toEqual([[0]]);
  await m.next();
  expect([m.sent, m.elapsedMs]).toEqual([[[0], [1]], 400]);
  await m.append(own);
  m.shipper.hasten();
  answer.resolve({});
  await m.settle();
  expect([m.sent, m.elapsedMs]).toEqual([[[0], [1], [2]], 400]);
  // Nothing is left to wake up for, but the sweep.
  await m.next();
  expect([m.sent.length, m.elapsedMs]).toEqual([3, 60_000]);
});

test("an epoch that is over is let go of, with what was on its way", async () => {
  using m = new Machine();
  const own = await m.epoch();
  const other = await m.epoch();
  m.answer = () => new Promise(() => undefined);
  await m.append(own);
  await m.next();
  await m.shipper.detach(other);
  expect(m.acknowledgements.unacknowledged()).toBe(1);
  await m.shipper.detach(own);
  expect([m.sent, m.shipper.state]).toEqual([[[0]], "ok"]);
  await m.shipper.detach(own);
  m.shipper.hasten();
  await m.settle();
  expect(m.sent).toEqual([[0]]);
  // Nobody has it: the next one of this process, or of another, ships it.
  m.answer = () => ({});
  await m.append(other);
  await m.next();
  expect(m.requests.at(-1)?.slice(0, 2)).toEqual([other.writer.epoch, [0]]);
  expect(m.s.log.lines.filter(({ level }) => level === "warn")).toEqual([]);
});

test("a lingering epoch that is let go of is not sent any more", async () => {
  using m = new Machine();
  const own = await m.epoch();
  await m.append(own);
  await m.shipper.detach(own);
  await m.next();
  expect([m.sent, m.elapsedMs]).toEqual([[], 60_000]);
});

test("what others left is shipped at the first event, and every minute", async () => {
  using m = new Machine();
  const left = await deadEpoch(join(m.s.directory, EMITTER), 2);
  const own = await m.epoch();
  m.acknowledgements.durable(epochId(1), 1, 0);
  await m.append(own);
  await m.settle();
  expect(m.requests).toEqual([[epochId(1), [0, 1], 0]]);
  expect(readdirSync(left)).toEqual(["end"]);
  expect(m.acknowledgements.unacknowledged()).toBe(1);
  await m.next();
  const later = await deadEpoch(join(m.s.directory, EMITTER), 1);
  await m.next();
  expect(m.requests.at(-1)).toEqual([epochId(3), [0], 60_000]);
  expect(readdirSync(later)).toEqual(["end"]);
  await m.next();
  expect([m.requests.length, m.elapsedMs]).toEqual([3, 120_000]);
});

test("at the end everything goes at once, and then nothing more", async () => {
  using m = new Machine();
  const own = await m.epoch();
  await m.append(own, 3);
  const never = new AbortController().signal;
  await m.shipper.flush(never);
  expect(m.requests).toEqual([[own.writer.epoch, [0, 1, 2], 0]]);
  await deadEpoch(join(m.s.directory, EMITTER), 1);
  await m.append(own);
  m.shipper.hasten();
  await m.next();
  await m.next();
  expect(m.sent).toEqual([[0, 1, 2]]);
  expect(m.closed).toBe(0);
  m.shipper.close();
  expect(m.closed).toBe(1);
});

test("at the end a receiver that is not there is not waited for", async () => {
  using m = new Machine();
  const own = await m.epoch();
  m.answer = () => Promise.reject(Object.assign(new Error("refused"), { code: "ECONNREFUSED" }));
  await m.append(own);
  await m.shipper.flush(new AbortController().signal);
  expect([m.sent, m.elapsedMs, m.acknowledgements.unacknowledged()]).toEqual([[[0]], 0, 1]);
  expect(m.s.log.lines.filter(({ level }) => level === "warn")).toEqual([]);
});

test("the end is not later than its deadline", async () => {
  using m = new Machine();
  const own = await m.epoch();
  m.answer = () => new Promise(() => undefined);
  await m.append(own);
  const deadline = new AbortController();
  const flushing = m.shipper.flush(deadline.signal);
  await m.settle();
  deadline.abort();
  await flushing;
  await m.settle();
  expect(m.acknowledgements.unacknowledged()).toBe(1);
});

test("a receiver that refuses: who waits is told that nothing will come, and it is said once", async () => {
  using m = new Machine();
  await deadEpoch(join(m.s.directory, EMITTER), 1);
  const own = await m.epoch();
  m.answer = () => ({ status: 401 });
  const event = await own.writer.append(decision());
  const waiting = m.acknowledgements.wait(event, 3_600_000);
  m.acknowledgements.durable(own.writer.epoch, 0, Date.now());
  m.shipper.progress(own);
  expect(await waiting).toBe(false);
  await m.settle();
  expect(m.shipper.state).toBe("halted");
  expect(m.s.log.lines.map(({ level }) => level)).toEqual(["error"]);
});

test("segments that were acknowledged go, and their bytes do not count any more", async () => {
  using m = new Machine();
  const own = await m.epoch(100);
  await m.append(own);
  await m.append(own);
  await m.append(own);
  const { bytes } = own.writer;
  await m.next();
  expect(m.sent).toEqual([[0, 1, 2]]);
  expect(readdirSync(own.claim.path).filter((name) => name.endsWith(".wal"))).toEqual([
    "00000002.wal",
  ]);
  expect(own.writer.bytes).toBeLessThan(bytes);
});

test("an epoch that is over and acknowledged is cleared, another is kept", async () => {
  using m = new Machine();
  const own = await m.epoch();
  await m.append(own, 2);
  await m.shipper.clear(own);
  expect(readdirSync(own.claim.path)).toContain("00000000.wal");
  await m.next();
  await m.shipper.detach(own);
  m.fs.plan = ({ operation }) => (operation === "remove" ? { errno: "EIO" } : undefined);
  await m.shipper.clear(own);
  m.fs.plan = () => undefined;
  await m.shipper.clear(own);
  expect(readdirSync(own.claim.path)).toEqual(["lease.0"]);
});

test("what cannot be read is said, and tried again with the next event", async () => {
  using m = new Machine();
  const own = await m.epoch();
  await m.append(own);
  await m.settle();
  m.fs.plan = ({ operation, path }) =>
    operation === "open" && path.endsWith(".wal") ? { errno: "EMFILE" } : undefined;
  await m.next();
  expect([m.sent, m.s.log.lines]).toMatchObject([
    [],
    [{ level: "warn", fields: { code: "EMFILE" } }],
  ]);
  m.fs.plan = ({ operation }) => (operation === "list" ? { errno: "EIO" } : undefined);
  m.shipper.hasten();
  await m.settle();
  expect(m.s.log.lines[1]).toMatchObject({ level: "warn", fields: { code: "EIO" } });
  m.fs.plan = () => undefined;
  await m.append(own);
  await m.next();
  expect(m.sent).toEqual([[0, 1]]);
});

test("a sweep that cannot be made is said", async () => {
  using m = new Machine();
  const own = await m.epoch();
  m.fs.plan = ({ operation, path }) =>
    operation === "list" && path === dirname(dirname(own.claim.path))
      ? { errno: "EACCES" }
      : undefined;
  await m.append(own);
  await m.settle();
  expect(m.s.log.lines).toMatchObject([{ level: "warn", fields: { code: "EACCES" } }]);
});

test("what is found unreadable is recorded for the epoch in which it was", async () => {
  using m = new Machine();
  const own = await m.epoch(100);
  await m.append(own);
  await m.append(own);
  await m.append(own);
  rmSync(join(own.claim.path, "00000001.wal"));
  writeFileSync(join(own.claim.path, "00000000.wal"), "nothing");
  await m.next();
  expect(m.lost).toEqual([{ epoch: own.writer.epoch, ranges: [{ fromSeq: 0, toSeq: 1 }] }]);
  expect(m.sent).toEqual([[2]]);
});
