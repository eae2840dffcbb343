// A machine that lives several lives over one simulated disk: journals append, roll, ship and stop while operations fail,
// until the power goes at some operation, or the processes are killed; the last life is undisturbed and drains what is left.
// Everything is chosen by the seed, so a failure is looked at again by running its seed.
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Journal } from "../api.ts";
import { createJournal } from "../journal.ts";
import type { JournalFs } from "../fs.ts";
import type { Operation } from "./faulty-fs.ts";
import { EPOCH_INFO, type RecordingLogger, recordingLogger } from "./journal-fixture.ts";
import { createRandom, type Random } from "./random.ts";
import { Schedule } from "./schedule.ts";
import { SimulatedDisk } from "./simulated-disk.ts";
import { createSimulatedFs } from "./simulated-fs.ts";
import { SimulatedReceiver } from "./simulated-receiver.ts";
import { SimulatedTime } from "./simulated-time.ts";
import { framesFrom, SimulationLedger } from "./simulation-ledger.ts";
import { simulateWork } from "./simulated-work.ts";

const ERRNOS = ["EIO", "ENOSPC", "EDQUOT", "EROFS", "EMFILE"] as const;
const MAX_CRASHES = 3;
/** Operations at which the power may go: any, a sync, the removal of a segment. A life of a few dozen events has some hundred. */
const MAX_OPERATIONS = 300;
const MAX_SYNCS = 40;
const MAX_REMOVALS = 6;
const SYNCS: ReadonlySet<Operation> = new Set(["datasync", "sync", "syncDirectory"]);
/** How often an operation fails, and how often one that only reading needs: it is rare, and would seldom fail. */
const FAULT_RATES = [
  [0, 0],
  [0, 0.2],
  [0.01, 0.01],
  [0.05, 0.05],
] as const;
const READS: ReadonlySet<Operation> = new Set(["size"]);
/** Turns of the event loop after which a life counts as stuck. */
const MAX_TURNS = 200_000;
const RESTART_MS = 180_000;

/** What came of a seed. */
export interface SimulationResult {
  /** Empty, or the journal is wrong. */
  readonly problems: readonly string[];
  /** Equal for two runs of one seed. */
  readonly trace: string;
  readonly operations: number;
  readonly faults: number;
  readonly powerCuts: number;
  readonly kills: number;
  /** Events that callers were told are durable. */
  readonly told: number;
  readonly cuts: number;
  /** Records that the simulation made unreadable. */
  readonly rotten: number;
}

/** The one fault of a simulation in which nothing else fails but the power. */
export interface OneFault {
  /** Which operation, counted over all lives, from 1. */
  readonly nth: number;
  readonly errno: string;
}

/** Runs one seed. Takes over timers and clocks while it does: one at a time. */
export async function simulate(seed: number, one?: OneFault): Promise<SimulationResult> {
  const simulation = new Simulation(createRandom(seed), one);
  return await simulation.run();
}

interface Life {
  readonly schedule: Schedule;
  readonly fs: JournalFs;
  readonly log: RecordingLogger;
  readonly journals: readonly Journal[];
}

class Simulation {
  readonly #random: Random;
  readonly #one: OneFault | undefined;
  readonly #time = new SimulatedTime();
  readonly #disk = new SimulatedDisk();
  readonly #receiver = new SimulatedReceiver();
  readonly #ledger: SimulationLedger;
  readonly #count = { operations: 0, faults: 0, powerCuts: 0, kills: 0 };
  #trace = "";
  #asked = 0;
  #faultRate = 0;
  #readFaultRate = 0;
  #trouble = 0;
  #syncsLeft = Infinity;
  #removalsLeft = Infinity;

  constructor(random: Random, one: OneFault | undefined) {
    this.#random = random;
    this.#one = one;
    this.#ledger = new SimulationLedger(this.#disk, this.#receiver);
  }

  async run(): Promise<SimulationResult> {
    const restore = this.#time.install(createRandom(this.#random.below(2 ** 31)));
    try {
      const crashes = 1 + this.#random.below(MAX_CRASHES);
      for (let life = 0; life < crashes; life++) await this.#liveUntilCrash();
      await this.#liveUndisturbed();
      // A lease that could not be given back dies with its process, and the next one drains.
      if (this.#one !== undefined) {
        this.#disk.forgetProcesses();
        this.#time.pass(RESTART_MS);
        const { operations } = this.#count;
        await this.#liveUndisturbed();
        this.#count.operations = operations;
      }
      this.#ledger.close();
    } finally {
      restore();
    }
    const { told, problems, cuts, rotten } = this.#ledger;
    return {
      ...this.#count,
      problems,
      trace: this.#trace,
      told: told.size,
      cuts,
      rotten: rotten.size,
    };
  }

  async #liveUntilCrash(): Promise<void> {
    const random = this.#random;
    [this.#faultRate, this.#readFaultRate] = random.pick(FAULT_RATES);
    this.#trouble = random.pick([0, 0.2, 0.8]);
    const life = this.#boot(random.pick([1, 1, 2]));
    const when = random.below(4);
    this.#syncsLeft = when < 2 ? 1 + random.below(MAX_SYNCS) : Infinity;
    this.#removalsLeft = when === 2 ? 1 + random.below(MAX_REMOVALS) : Infinity;
    const crashAt = 1 + random.below(MAX_OPERATIONS);
    const works = life.journals.map((journal) =>
      simulateWork({ journal, random, ledger: this.#ledger, schedule: life.schedule }),
    );
    await this.#drive(life.schedule, Promise.all(works), crashAt);
    await this.#crash(life);
  }

  async #crash({ schedule, journals }: Life): Promise<void> {
    schedule.powerOff();
    const gone = new AbortController();
    gone.abort();
    // What a dead process still does comes to nothing; this ends its timers and promises.
    await this.#drive(
      schedule,
      Promise.all(journals.map((journal) => journal.stop("shutdown", gone.signal))),
    );
    this.#time.clear();
    this.#count.operations += schedule.steps;
    this.#trace += schedule.trace.toString(16).padStart(8, "0");
    if (this.#random.chance(0.8)) {
      this.#count.powerCuts += 1;
      this.#disk.cut(this.#random);
      if (this.#random.chance(0.2)) this.#rot();
    } else {
      this.#count.kills += 1;
    }
    this.#disk.forgetProcesses();
    this.#time.pass(RESTART_MS);
    if (this.#random.chance(0.1)) this.#time.set(-3_600_000);
  }

  async #liveUndisturbed(): Promise<void> {
    this.#faultRate = this.#readFaultRate = 0;
    this.#trouble = 0;
    this.#syncsLeft = this.#removalsLeft = Infinity;
    const before = this.#ledger.cuts;
    const life = this.#boot(1);
    const [journal] = life.journals as [Journal];
    const deadline = new AbortController();
    const drained = async (): Promise<void> => {
      // The first event of this life starts the drain, and the next ones tell when it is over.
      const { schedule } = life;
      const work = { journal, schedule, random: this.#random, ledger: this.#ledger };
      const certain = this.#one === undefined;
      await simulateWork({ ...work, certain, sweeps: certain ? 4 : 2 });
      await journal.stop("shutdown", deadline.signal);
    };
    await this.#drive(life.schedule, drained());
    const said = life.log.lines.filter(
      ({ level, message }) => level === "warn" && message.startsWith("recovered:"),
    ).length;
    // A first segment without a whole header is removed, and reported as well.
    if (this.#one === undefined && said < this.#ledger.cuts - before) {
      this.#ledger.problems.push(`${this.#ledger.cuts - before} tails cut, ${said} reported`);
    }
    this.#time.clear();
    this.#count.operations += life.schedule.steps;
    this.#trace += life.schedule.trace.toString(16).padStart(8, "0");
  }

  #boot(processes: number): Life {
    const random = this.#random;
    const schedule = new Schedule(random);
    const log = recordingLogger();
    const fs = createSimulatedFs({
      disk: this.#disk,
      schedule,
      random,
      nowMs: () => this.#time.nowMs,
      fault: (operation) => this.#fault(operation),
      losing: (path, from) => {
        this.#ledger.losing(path, from);
        if (path.endsWith(".wal")) this.#removalsLeft -= 1;
      },
    });
    const limits = {
      segmentBytes: random.pick([2_048, 4_096, 16_384]),
      reserveBytes: random.pick([0, 512]),
    };
    const journals = Array.from({ length: processes }, () =>
      createJournal({
        directory: "/journal",
        emitter: "origin",
        epoch: EPOCH_INFO,
        fs,
        log,
        env: {},
        limits,
        openAfterMs: 3_600_000,
        reopenAfterMs: 50,
        ship: { endpoint: "http://127.0.0.1:1" },
        connect: () => this.#receiver.connect(schedule, () => ({ random, trouble: this.#trouble })),
      }),
    );
    return { schedule, fs, log, journals };
  }

  #fault(operation: Operation): string | undefined {
    const random = this.#random;
    // The power goes while it runs: nobody hears of it.
    if (SYNCS.has(operation) && --this.#syncsLeft <= 0) return "EIO";
    if (this.#one !== undefined)
      return ++this.#asked === this.#one.nth ? this.#one.errno : undefined;
    const rate = READS.has(operation) ? this.#readFaultRate : this.#faultRate;
    if (rate === 0) return undefined;
    if (operation === "append" && random.chance(0.1)) return "short";
    if (!random.chance(rate)) return undefined;
    this.#count.faults += 1;
    return random.pick(ERRNOS);
  }

  /** Lets the machine run until `work` has settled, or the power goes at operation `crashAt`. */
  async #drive(schedule: Schedule, work: Promise<unknown>, crashAt = Infinity): Promise<void> {
    const state = { settled: false };
    const end = (): void => {
      state.settled = true;
    };
    work.then(end, (error: unknown) => {
      this.#ledger.problems.push(`an unexpected ${String(error)}`);
      end();
    });
    let idle = 0;
    for (let turn = 0; !state.settled && schedule.steps < crashAt; turn++) {
      if (!schedule.off && (this.#syncsLeft <= 0 || this.#removalsLeft <= 0)) return;
      if (turn > MAX_TURNS) throw new Error("stuck: nothing comes to an end");
      await nextTurn();
      if (state.settled) return;
      if (schedule.step()) idle = 0;
      else if (++idle > 3) this.#time.advance();
    }
  }

  /**
   * A durable record loses a bit: not the last of its file, which cannot be told from a torn write, and a decision, since with a
   * `lost` event goes what it says.
   */
  #rot(): void {
    for (const [path, content] of this.#disk.files()) {
      if (!path.endsWith(".wal")) continue;
      const frames = framesFrom(content.cached, 0)
        .slice(0, -1)
        .filter(({ body }) => Buffer.from(body).includes(".decision."));
      if (frames.length === 0) continue;
      const { start, end, key } = this.#random.pick(frames);
      const at = start + 20 + this.#random.below(end - start - 20);
      content.cached[at] = (content.cached[at] as number) ^ 1;
      content.durable = Buffer.from(content.cached);
      this.#ledger.rotten.add(key);
      return;
    }
  }
}
