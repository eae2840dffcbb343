// The life of an emitter as the journal writes it: processes that overlap, die, leave things behind, and what is shipped of it.
import {
  type CallTransport,
  type Chain,
  type Counters,
  draftDecision,
  draftHeartbeat,
  draftLost,
  draftOutcome,
  draftStart,
  draftStop,
  type EventDraft,
  eventTime,
  GENESIS,
  seal,
  type SealedEvent,
  uuidv7,
  withheldEvent,
  zeroCounters,
} from "@countersign/model";
import type { Random } from "./random.ts";

/** How the epoch before ended, as a start names it. */
type End = "stop" | "no_stop" | "journal_fault" | "corrupt";

const DIGEST = `sha256:${"ab".repeat(32)}`;
const START_MS = Date.UTC(2026, 10, 22, 9);
const MINUTE_MS = 60_000;

/** One epoch that is being written. */
export class LivingEpoch {
  readonly epoch: string;
  readonly number: number;
  readonly emitter: string;
  /** What was written and not shipped. */
  readonly unsent: SealedEvent[] = [];
  readonly open: string[] = [];
  chain: Chain;
  last: SealedEvent | undefined;
  ended: End | undefined;

  constructor(emitter: string, number: number, random: Random) {
    this.epoch = random.text("0123456789abcdef", 32);
    this.number = number;
    this.emitter = emitter;
    this.chain = { emitter, epoch: this.epoch, seq: 0, prev: GENESIS };
  }

  append(draft: EventDraft, timeMs: number): SealedEvent {
    const sealed = seal(draft, this.chain, eventTime(timeMs));
    this.chain = { ...this.chain, seq: this.chain.seq + 1, prev: sealed.hash };
    this.last = sealed;
    this.unsent.push(sealed);
    return sealed;
  }
}

/** An emitter: its processes, and the log that its events reach. */
export class EmitterLife {
  readonly log: SealedEvent[] = [];
  /** When each event reached the log. */
  readonly reached: number[] = [];
  readonly random: Random;
  readonly emitter: string;
  timeMs: number = START_MS;
  living: LivingEpoch[] = [];
  readonly dead: LivingEpoch[] = [];
  /** Epochs that died without a word, and that no start named: each of them is a NO_STOP when time has passed. */
  readonly unaccounted: Set<string> = new Set();
  #numbers = 0;
  #void: number | undefined;

  constructor(random: Random, emitter = "tickets-1") {
    this.random = random;
    this.emitter = emitter;
  }

  /** A process begins: it takes a number, names the newest epoch that is over, and ships what others left behind. */
  start(own?: LivingEpoch): LivingEpoch {
    const number = this.#void ?? (this.#numbers += 1);
    this.#void = undefined;
    const epoch = new LivingEpoch(this.emitter, number, this.random);
    const over = own ?? this.dead.toSorted((a, b) => b.number - a.number)[0];
    if (over !== undefined) this.unaccounted.delete(over.epoch);
    const { last, ended } = over ?? {};
    const previous =
      over === undefined || last === undefined || ended === undefined
        ? {}
        : {
            previous: {
              epoch: over.epoch,
              seq: over.chain.seq - 1,
              hash: last.hash,
              end: ended,
            },
          };
    epoch.append(draftStart({ ...START, epochNumber: number, ...previous }), this.timeMs);
    this.living.push(epoch);
    return epoch;
  }

  /** A process takes a number and dies before its first event: the next one that opens uses it. */
  dieBeforeFirst(): void {
    if (this.#void !== undefined) return;
    this.#numbers += 1;
    this.#void = this.#numbers;
  }

  /** A process that opened in the same moment took the number after the one that is free. */
  skipVoid(): LivingEpoch {
    const free = this.#void;
    this.#void = undefined;
    const epoch = this.start();
    this.#void = free;
    return epoch;
  }

  decide(epoch: LivingEpoch): SealedEvent {
    const id = uuidv7();
    const allow = this.random.chance(0.7);
    if (allow) epoch.open.push(id);
    return epoch.append(decision(id, allow), this.timeMs);
  }

  finish(epoch: LivingEpoch, writer: LivingEpoch = epoch): void {
    const id = epoch.open.shift();
    if (id === undefined) return;
    const call = { method: "tools/call", name: "read_ticket" };
    const fields = { tenant: "acme", decisionId: id, status: "completed", durationUs: 9 } as const;
    writer.append(draftOutcome({ ...fields, id: uuidv7(), call }), this.timeMs);
  }

  beat(epoch: LivingEpoch): void {
    const journal = { bytes: 1, unacknowledged: 0, oldestUnacknowledgedMs: 0 };
    epoch.append(draftHeartbeat({ ...LIFE, journal }), this.timeMs);
  }

  stop(epoch: LivingEpoch): void {
    while (epoch.open.length > 0) this.finish(epoch);
    epoch.append(draftStop({ ...LIFE, reason: "shutdown" }), this.timeMs);
    this.#over(epoch, "stop");
  }

  crash(epoch: LivingEpoch): void {
    this.#over(epoch, "no_stop");
    this.unaccounted.add(epoch.epoch);
  }

  /** The disk fails: the same process goes on with a new epoch, and the outcomes of what ran come there. */
  fault(epoch: LivingEpoch): LivingEpoch {
    this.#over(epoch, "journal_fault");
    const open = epoch.open.splice(0);
    const next = this.start(epoch);
    next.open.push(...open);
    return next;
  }

  /** A part of what a dead epoch left is unreadable: another one says so, before the rest is shipped. */
  lose(dead: LivingEpoch, by: LivingEpoch): void {
    // What says of something lost is not lost, too: then nobody would say it.
    if (dead.unsent.length < 3 || dead.unsent.some(({ event }) => event.type.includes("lost")))
      return;
    const from = 1 + this.random.below(dead.unsent.length - 2);
    const count = 1 + this.random.below(dead.unsent.length - from - 1);
    const gone = dead.unsent.splice(from, count);
    const fromSeq = seqOf(gone[0]);
    const toSeq = seqOf(gone.at(-1));
    const records = { epoch: dead.epoch, fromSeq, toSeq };
    const fields = { tenant: "acme", what: "records", reason: "journal_corrupt" } as const;
    by.append(draftLost({ ...fields, count, records }), this.timeMs);
  }

  /** Ships some or all of what an epoch wrote. */
  ship(epoch: LivingEpoch, count: number = epoch.unsent.length): void {
    const shipped = epoch.unsent.splice(0, count);
    this.log.push(...shipped);
    this.reached.push(...shipped.map(() => this.timeMs));
  }

  shipAll(): void {
    for (const epoch of [...this.dead, ...this.living]) this.ship(epoch);
  }

  pass(minutes: number): void {
    this.timeMs += Math.round(minutes * MINUTE_MS);
  }

  /** So much time with somebody speaking that whatever waits for it is told. */
  goOn(hours = 6): void {
    const [epoch = this.start()] = this.living;
    // The next one that opens uses the number that is free, and one later shows that nobody is left to.
    if (this.#void !== undefined) this.stop(this.start());
    for (let minutes = 0; minutes < hours * 60; minutes += 20) {
      this.pass(20);
      for (const one of this.living) this.beat(one);
      if (minutes % 100 === 0) this.stop(this.start());
      this.shipAll();
    }
    this.beat(epoch);
    this.shipAll();
  }

  #over(epoch: LivingEpoch, end: End): void {
    epoch.ended = end;
    this.living = this.living.filter((one) => one !== epoch);
    this.dead.push(epoch);
  }
}

const LIFE: { tenant: string; uptimeMs: number; counters: Counters } = {
  tenant: "acme",
  uptimeMs: 1,
  counters: zeroCounters(),
};

const START = {
  tenant: "acme",
  mode: "enforce",
  durability: "journal",
  gate: "in_process",
  server: { id: "urn:mcp:tickets" },
  policy: { digest: DIGEST, default: "deny" },
  runtime: { countersign: "0.1.0", node: "24.0.0", os: "linux" },
  coverage: { sdks: [] },
} as const;

function decision(id: string, allow: boolean): EventDraft {
  const verdict = allow
    ? ({ decision: "allow", reason: "permitted", effect: "run" } as const)
    : ({ decision: "deny", reason: "unmapped", effect: "block" } as const);
  const transport: CallTransport = "stdio";
  return draftDecision({
    id,
    tenant: "acme",
    mode: "enforce",
    ...verdict,
    call: { method: "tools/call", name: "read_ticket", transport, gate: "in_process" },
    nameKnown: true,
    server: { id: "urn:mcp:tickets" },
    policy: { digest: DIGEST, rule: "tools.read_ticket" },
    durationUs: 100,
  });
}

/** Its number in the chain; -1 without one. */
export function seqOf(sealed: SealedEvent | undefined): number {
  return (sealed?.event.data as { chain?: Chain } | undefined)?.chain?.seq ?? -1;
}

const DRAIN_MS = 30 * MINUTE_MS;

/** A life with processes that come and go, die, and leave things behind; nothing in it is a fault of the record. */
export function randomLife(random: Random, steps: number): EmitterLife {
  const life = new EmitterLife(random);
  life.start();
  let drainedMs = life.timeMs;
  for (let step = 0; step < steps; step += 1) {
    const epoch = life.living.length === 0 ? life.start() : random.pick(life.living);
    life.pass(random.chance(0.01) ? 600 : random.below(100) / 60);
    const what = random.below(100);
    if (what < 45) life.decide(epoch);
    else if (what < 70) life.finish(epoch);
    else if (what < 76) life.beat(epoch);
    else if (what < 80 && life.living.length < 5) life.start();
    else if (what < 83) life.stop(epoch);
    else if (what < 86) life.crash(epoch);
    else if (what < 88) life.fault(epoch);
    else if (what < 90) life.dieBeforeFirst();
    else if (what < 91) life.skipVoid();
    else if (what < 93 && life.dead.length > 0) life.lose(random.pick(life.dead), epoch);
    else if (what < 94) withhold(random.pick([...life.living, ...life.dead]), random);
    else life.ship(epoch, random.below(epoch.unsent.length + 1));
    // Who lives ships what the dead left behind, whole, and with it what it says of them: within half an hour.
    if (life.living.length === 0 || (random.chance(0.95) && life.timeMs - drainedMs < DRAIN_MS))
      continue;
    life.shipAll();
    drainedMs = life.timeMs;
  }
  life.shipAll();
  return life;
}

/** Kinds with text of others in them: only those can be withheld. */
const FREE_TEXT = /\.(start|decision|outcome)\./;

/** Intake puts a `withheld` in the place of an event. */
function withhold(epoch: LivingEpoch, random: Random): void {
  if (epoch.unsent.length === 0) return;
  const at = random.below(epoch.unsent.length);
  const original = epoch.unsent[at];
  if (original === undefined || !FREE_TEXT.test(original.event.type)) return;
  epoch.unsent[at] = withheldEvent(original, "card", "data.call.name");
}
