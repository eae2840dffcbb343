// What an emitter says of itself, and when: on a machine whose time goes by only when the test says so.
import { join } from "node:path";
import { kindOf, unseal } from "@countersign/model";
import { expect, test } from "vitest";
import { createCounterBook } from "./emitter-counters.ts";
import { createEpochClerk, type EpochClerk } from "./epoch-clerk.ts";
import { createEpochReader, type SeqRange } from "./epoch-reader.ts";
import type { EpochWriter } from "./epoch-writer.ts";
import { nodeFs } from "./fs.ts";
import { LEASE_RENEW_MS, LEASE_STALE_MS } from "./lease.ts";
import type { EpochInfo } from "./options.ts";
import { EMITTER, epochId, openEpoch } from "./testing/dead-epoch.ts";
import { decision, EPOCH_INFO, type Scratch, scratch } from "./testing/journal-fixture.ts";
import { createRandom } from "./testing/random.ts";
import { SimulatedTime } from "./testing/simulated-time.ts";

const HEARTBEAT_MS = 60_000;

interface Said {
  readonly kind: string | undefined;
  readonly [member: string]: unknown;
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Apart, and of one to three records. */
function ranges(count: number): SeqRange[] {
  return Array.from({ length: count }, (_, n) => ({ fromSeq: 10 * n, toSeq: 10 * n + (n % 3) }));
}

class Office implements Disposable {
  readonly s: Scratch = scratch();
  readonly time = new SimulatedTime();
  readonly book = createCounterBook();
  readonly renewals: number[] = [];
  held = true;
  writer!: EpochWriter;
  clerk!: EpochClerk;
  #path = "";
  readonly #restore = this.time.install(createRandom(1));
  readonly #startMs = Date.now();

  async open(info: Partial<EpochInfo> = {}): Promise<this> {
    const { writer, claim } = await openEpoch(join(this.s.directory, EMITTER));
    this.writer = writer;
    this.#path = claim.path;
    this.clerk = createEpochClerk({
      writer,
      lease: {
        renew: () => {
          this.renewals.push(this.elapsedMs);
          return Promise.resolve(this.held);
        },
        release: () => Promise.resolve(),
      },
      info: { ...EPOCH_INFO, ...info },
      clock: { now: () => Date.now() },
      book: this.book,
      heartbeatMs: HEARTBEAT_MS,
      status: () => ({ bytes: 7, unacknowledged: 3, oldestUnacknowledgedMs: 11 }),
    });
    return this;
  }

  get elapsedMs(): number {
    return Date.now() - this.#startMs;
  }

  /** Lets `ms` go by, timer after timer, and what they began come to its end. */
  async pass(ms: number): Promise<void> {
    const untilMs = this.elapsedMs + ms;
    while (this.elapsedMs < untilMs && this.time.advance()) await this.#settle();
  }

  async #settle(): Promise<void> {
    for (let turns = 0; turns < 5; turns++) await turn();
    const { writer } = this;
    while (writer.fault === undefined && (writer.durable?.seq ?? -1) + 1 < writer.events) {
      await turn();
    }
    for (let turns = 0; turns < 5; turns++) await turn();
  }

  async said(): Promise<Said[]> {
    const reader = createEpochReader({ fs: nodeFs, epochPath: this.#path });
    const all: Said[] = [];
    for (let step = await reader.next(); step; step = await reader.next()) {
      for (const { body } of step.records) {
        const { event } = unseal(body);
        const { chain: _, ...data } = event.data as unknown as Record<string, unknown>;
        all.push({ kind: kindOf(event.type), ...data });
      }
    }
    return all;
  }

  [Symbol.dispose](): void {
    this.clerk.halt();
    this.#restore();
    this.s[Symbol.dispose]();
  }
}

test("an epoch begins with who writes it, what was before, and how many calls were stopped meanwhile", async () => {
  using office = new Office();
  const { clerk, book } = await office.open();
  book.counters.auditDenied = 5;
  book.counters.allow = 2;
  const previous = { epoch: epochId(7), seq: 4, hash: "ab".repeat(32), end: "stop" } as const;
  await clerk.start(previous, 3);
  await clerk.start(undefined, 0);
  const [first, second] = await office.said();
  const facts = { ...EPOCH_INFO, coverage: { sdks: [] } };
  expect(first).toEqual({
    kind: "start",
    ...facts,
    epochNumber: 1,
    previous,
    auditDenied: 3,
  });
  expect(second).toEqual({ kind: "start", ...facts, epochNumber: 1 });
  // What was named is not counted again.
  expect([book.counters.auditDenied, book.counters.allow]).toEqual([2, 2]);
});

test("each range that is lost is told, up to sixty-four; the last one then stands for the rest", async () => {
  for (const count of [0, 1, 63, 64, 65, 70]) {
    using office = new Office();
    const { clerk } = await office.open();
    await clerk.lostRecords(epochId(9), ranges(count));
    const said = await office.said();
    expect(said).toHaveLength(Math.min(count, 64));
    for (const [n, { fromSeq, toSeq }] of ranges(Math.min(count, 63)).entries()) {
      expect(said[n]).toEqual({
        kind: "lost",
        tenant: EPOCH_INFO.tenant,
        what: "records",
        count: toSeq - fromSeq + 1,
        reason: "journal_corrupt",
        records: { epoch: epochId(9), fromSeq, toSeq },
      });
    }
    const rest = ranges(count).slice(63);
    const spanned = rest.map(() => ({
      count: rest.reduce((sum, { fromSeq, toSeq }) => sum + toSeq - fromSeq + 1, 0),
      records: { epoch: epochId(9), fromSeq: 630, toSeq: rest.at(-1)?.toSeq },
    }));
    expect(said.slice(63)).toMatchObject(spanned.slice(0, 1));
  }
});

test("ranges beyond the last are spanned whatever their order", async () => {
  using office = new Office();
  const { clerk } = await office.open();
  const some = Array.from({ length: 63 }, (_, n) => ({ fromSeq: n * 2, toSeq: n * 2 }));
  const late = [
    { fromSeq: 900, toSeq: 999 },
    { fromSeq: 500, toSeq: 501 },
    { fromSeq: 700, toSeq: 1_200 },
  ];
  await clerk.lostRecords(epochId(9), [...some, ...late]);
  expect((await office.said()).at(-1)).toMatchObject({
    count: 100 + 2 + 501,
    records: { fromSeq: 500, toSeq: 1_200 },
  });
});

test.each([
  ["enforce", "journal_unavailable"],
  ["observe", "observe"],
  ["break_glass", "break_glass"],
] as const)("calls without a record in %s are lost because of %s", async (mode, reason) => {
  using office = new Office();
  const { clerk } = await office.open({ mode });
  await clerk.lostCalls({ count: 4, sinceMs: 1_800_000_000_000, untilMs: 1_800_000_060_000 });
  expect(await office.said()).toEqual([
    {
      kind: "lost",
      tenant: EPOCH_INFO.tenant,
      what: "calls",
      count: 4,
      reason,
      calls: { since: "2027-01-15T08:00:00.000Z", until: "2027-01-15T08:01:00.000Z" },
    },
  ]);
});

test("a heartbeat follows a time in which something was written, and says what is counted", async () => {
  using office = new Office();
  const { clerk, writer, book } = await office.open();
  await writer.append(decision());
  clerk.run();
  // What was before is no reason.
  await office.pass(HEARTBEAT_MS);
  expect(await office.said()).toHaveLength(1);
  await writer.append(decision());
  book.counters.deny = 6;
  await office.pass(HEARTBEAT_MS);
  expect((await office.said()).slice(2)).toEqual([
    {
      kind: "heartbeat",
      tenant: EPOCH_INFO.tenant,
      uptimeMs: 2 * HEARTBEAT_MS,
      counters: { ...book.counters },
      journal: { bytes: 7, unacknowledged: 3, oldestUnacknowledgedMs: 11 },
    },
  ]);
  // Its own is none either.
  await office.pass(HEARTBEAT_MS);
  expect(await office.said()).toHaveLength(3);
});

test("a heartbeat says of stopped calls what no event has said", async () => {
  using office = new Office();
  const { clerk, writer, book } = await office.open();
  clerk.run();
  book.counters.auditDenied = 2;
  await writer.append(decision());
  expect(book.auditDeniedUnsaid()).toBe(2);
  await office.pass(HEARTBEAT_MS);
  expect(book.auditDeniedUnsaid()).toBe(0);
});

test("without an event there is a heartbeat at every sixtieth tick", async () => {
  using office = new Office();
  const { clerk } = await office.open();
  clerk.run();
  await office.pass(59 * HEARTBEAT_MS);
  expect(await office.said()).toEqual([]);
  await office.pass(HEARTBEAT_MS);
  expect(await office.said()).toHaveLength(1);
  await office.pass(59 * HEARTBEAT_MS);
  expect(await office.said()).toHaveLength(1);
  await office.pass(HEARTBEAT_MS);
  expect(await office.said()).toHaveLength(2);
});

test("a heartbeat in an epoch that has ended is nobody's fault", async () => {
  using office = new Office();
  const { clerk, writer, book } = await office.open();
  clerk.run();
  await writer.append(decision());
  await writer.close();
  book.counters.auditDenied = 1;
  await office.pass(HEARTBEAT_MS);
  expect([(await office.said()).length, book.auditDeniedUnsaid()]).toEqual([1, 1]);
});

test("the lease is renewed every so often, until the clerk is halted", async () => {
  using office = new Office();
  const { clerk } = await office.open();
  clerk.run();
  await office.pass(3 * LEASE_RENEW_MS);
  expect(office.renewals).toEqual([1, 2, 3].map((n) => n * LEASE_RENEW_MS));
  clerk.halt();
  await office.pass(HEARTBEAT_MS);
  expect(office.renewals).toHaveLength(3);
});

test("whoever slept through half of what a lease lasts asks whether it is still theirs", async () => {
  using office = new Office();
  const { clerk } = await office.open();
  office.time.pass(LEASE_STALE_MS / 2 - 1);
  await clerk.checkLease();
  expect(office.renewals).toEqual([]);
  office.time.pass(1);
  await clerk.checkLease();
  expect(office.renewals).toEqual([LEASE_STALE_MS / 2]);
  await clerk.checkLease();
  expect(office.renewals).toHaveLength(1);
  office.held = false;
  office.time.pass(LEASE_STALE_MS / 2);
  await expect(clerk.checkLease()).rejects.toThrow("lease was lost");
  // It stays lost.
  await expect(clerk.checkLease()).rejects.toThrow("lease was lost");
});

test("a stop is the last word, and says what is counted", async () => {
  using office = new Office();
  const { clerk, book } = await office.open();
  clerk.run();
  book.counters.auditDenied = 4;
  office.time.pass(1_234);
  expect(clerk.stopped).toBe(false);
  await clerk.stop("signal");
  expect([clerk.stopped, book.auditDeniedUnsaid()]).toEqual([true, 0]);
  expect(await office.said()).toEqual([
    {
      kind: "stop",
      tenant: EPOCH_INFO.tenant,
      reason: "signal",
      uptimeMs: 1_234,
      counters: { ...book.counters },
    },
  ]);
  await office.pass(HEARTBEAT_MS);
  expect(office.renewals).toEqual([]);
});

test("a stop that does not get to the disk is none, and a clock set back is no time", async () => {
  using office = new Office();
  const { clerk, writer, book } = await office.open();
  book.counters.auditDenied = 4;
  await writer.close();
  await expect(clerk.stop("shutdown")).rejects.toMatchObject({ code: "UNAVAILABLE" });
  expect([clerk.stopped, book.auditDeniedUnsaid()]).toEqual([false, 4]);
  using other = new Office();
  await other.open();
  other.time.set(-3_600_000);
  await other.clerk.stop("shutdown");
  expect(await other.said()).toMatchObject([{ uptimeMs: 0 }]);
});
