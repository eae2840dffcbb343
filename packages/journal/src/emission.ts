// The life of an emitter: which epoch is being written, what happens when there is none yet, and when one ends by a fault.
import {
  type Counters,
  type CountersignError,
  type EventDraft,
  type Logger,
  type SealedEvent,
  type StartEvent,
  type StopReason,
} from "@countersign/model";
import { type Acknowledgements, createAcknowledgements } from "./acknowledgements.ts";
import type { AppendOptions, JournalStatus } from "./api.ts";
import { type Claim, closeSettled } from "./claim.ts";
import type { Clock } from "./clock.ts";
import { createDiskBudget, type DiskBudget } from "./disk-budget.ts";
import { createCounterBook } from "./emitter-counters.ts";
import { writeEnd } from "./end-record.ts";
import { createEpochClerk, type EpochClerk } from "./epoch-clerk.ts";
import type { Durable, EpochWriter } from "./epoch-writer.ts";
import type { SeqRange } from "./epoch-reader.ts";
import type { JournalFs } from "./fs.ts";
import {
  findHome,
  type Home,
  openEpoch,
  type OpenedEpoch,
  type OpeningOptions,
} from "./opening.ts";
import type { EpochInfo, JournalLimits } from "./options.ts";
import { openingFault, outOfBudget, overloaded, unavailable } from "./refusals.ts";
import { createReserve, type Reserve } from "./reserve.ts";
import { joinCalls, type UnrecordedCalls } from "./unrecorded-calls.ts";
import { untilAborted } from "./wait.ts";
import { createWaitingLine } from "./waiting-line.ts";

const MAX_BACKOFF = 30;
const ALMOST_FULL =
  "the journal is 80 % full. When it is full, calls are stopped: is the processor reachable, and are events shipped?";

/** What an emission needs; defaults are filled in. */
export interface EmissionOptions {
  readonly directory: string;
  readonly emitter: string | undefined;
  readonly epoch: EpochInfo;
  readonly fs: JournalFs;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: JournalLimits;
  readonly heartbeatMs: number;
  readonly reopenAfterMs: number;
  /** More of an epoch of ours is durable. */
  onProgress(epoch: OwnEpoch): void;
  /** It is over; awaited before its directory is given back. */
  onOver(epoch: OwnEpoch): Promise<void>;
  /** It ended in order, and that is written down. */
  onStopped(epoch: OwnEpoch): Promise<void>;
}

/** An epoch that this process wrote or writes. */
export interface OwnEpoch {
  readonly emitter: string;
  readonly writer: EpochWriter;
  readonly claim: Claim;
}

interface CurrentEpoch extends OwnEpoch {
  readonly clerk: EpochClerk;
}

/** The emitter of this process. */
export interface Emission {
  readonly acknowledgements: Acknowledgements;
  readonly counters: Counters;
  /** See {@link Journal.append}. */
  append(draft: EventDraft, options?: AppendOptions): Promise<SealedEvent>;
  /** Opens the epoch if there is none. What comes of it is told to whoever appends. */
  open(): void;
  /** See {@link Journal.noteUnrecorded}. */
  noteUnrecorded(calls: UnrecordedCalls): void;
  status(): Omit<JournalStatus, "shipping">;
  /** Records what was found unreadable; rejects while no epoch is healthy. */
  reportLost(epoch: string, lost: readonly SeqRange[]): Promise<void>;
  /** Writes `stop` and closes the epoch; its directory stays ours until {@link letGo}. Never rejects. */
  stop(reason: StopReason, deadline: AbortSignal): Promise<void>;
  /** Writes down how the last epoch ended, and gives its directory back. Never rejects. */
  letGo(): Promise<void>;
}

class EpochAfterEpoch implements Emission {
  readonly acknowledgements: Acknowledgements = createAcknowledgements();
  private readonly options: EmissionOptions;
  private readonly book = createCounterBook();
  private readonly budget: DiskBudget;
  private readonly reserve: Reserve;
  private home: Home | undefined;
  private current: CurrentEpoch | undefined;
  private opening: Promise<void> | undefined;
  private readonly line = createWaitingLine();
  private spare: Claim | undefined;
  private previous: StartEvent["data"]["previous"];
  private releasing: Promise<void> = Promise.resolve();
  private unrecorded: UnrecordedCalls | undefined;
  private fault: CountersignError | undefined;
  private retryAtMs = 0;
  private backoffMs: number;
  private ended = false;

  constructor(options: EmissionOptions) {
    this.options = options;
    this.backoffMs = options.reopenAfterMs;
    this.budget = createDiskBudget(options.fs, options.limits.diskBytes, (bytes, limitBytes) => {
      options.log.warn(ALMOST_FULL, { bytes, limitBytes });
    });
    this.reserve = createReserve(options.fs, options.limits.reserveBytes);
  }

  get counters(): Counters {
    return this.book.counters;
  }

  append(draft: EventDraft, options?: AppendOptions): Promise<SealedEvent> {
    if (this.ended) return Promise.reject(unavailable("journal: it was stopped"));
    const writer = this.current?.writer;
    if (writer !== undefined) {
      const refusal = this.refusal(writer);
      return refusal === undefined ? writer.append(draft, options) : Promise.reject(refusal);
    }
    const waitMs = this.waitMs();
    if (this.opening === undefined && waitMs > 0) {
      return Promise.reject(this.downError(waitMs));
    }
    if (this.line.full) return Promise.reject(overloaded());
    const sealed = this.line.join(draft, options);
    this.open();
    return sealed;
  }

  open(): void {
    if (this.ended || this.current !== undefined) return;
    this.opening ??= this.tryOpen().finally(() => {
      this.opening = undefined;
    });
  }

  noteUnrecorded(calls: UnrecordedCalls): void {
    this.unrecorded = joinCalls(this.unrecorded, calls);
    if (this.current !== undefined) void this.sayUnrecorded(this.current);
  }

  async reportLost(epoch: string, lost: readonly SeqRange[]): Promise<void> {
    if (this.current === undefined) throw unavailable("journal: no epoch is open");
    await this.current.clerk.lostRecords(epoch, lost);
  }

  status(): Omit<JournalStatus, "shipping"> {
    const { current, home, fault } = this;
    return {
      ...(home === undefined ? {} : { emitter: home.emitter }),
      ...(current === undefined ? {} : { epoch: current.writer.epoch }),
      bytes: this.budget.bytes(current?.writer.bytes ?? 0),
      unacknowledged: this.acknowledgements.unacknowledged(),
      oldestUnacknowledgedMs: this.acknowledgements.oldestMs(this.options.clock.now()),
      ...(fault === undefined ? {} : { fault: fault.message }),
    };
  }

  async stop(reason: StopReason, deadline: AbortSignal): Promise<void> {
    await untilAborted(this.opening ?? Promise.resolve(), deadline);
    const unsaid = this.book.auditDeniedUnsaid() > 0 || this.unrecorded !== undefined;
    if (this.current === undefined && (unsaid || this.fault !== undefined)) {
      if (this.home !== undefined) await this.reserve.spend(this.home.emitterPath);
      this.retryAtMs = 0;
      this.open();
      await untilAborted(this.opening ?? Promise.resolve(), deadline);
    }
    this.ended = true;
    const current = this.current;
    if (current === undefined) return;
    await untilAborted(current.clerk.stop(reason), deadline);
    await untilAborted(current.writer.close(), deadline);
  }

  async letGo(): Promise<void> {
    await this.releasing;
    const current = this.current;
    this.current = undefined;
    if (current !== undefined) await this.release(current, "stop");
    else await this.spare?.lease.release();
  }

  private refusal(writer: EpochWriter): CountersignError | undefined {
    if (!writer.hasRoom()) return overloaded();
    if (!this.budget.exceeded(writer.bytes, this.options.clock.now())) return undefined;
    return outOfBudget();
  }

  /** Until the next try. A clock that was set back does not make it longer. */
  private waitMs(): number {
    const waitMs = this.retryAtMs - this.options.clock.now();
    return waitMs > this.backoffMs ? 0 : waitMs;
  }

  private downError(waitMs: number): CountersignError {
    const { fault } = this;
    if (fault?.code === "CONFIG_INVALID") return fault;
    return unavailable(fault?.message ?? "journal: no epoch is open", waitMs);
  }

  private async tryOpen(): Promise<void> {
    const { fs, directory, emitter, log, epoch: info } = this.options;
    try {
      await this.releasing;
      this.home ??= await findHome(fs, directory, { emitter, log });
      // Before anybody is let in: many short lives must not fill what one long life may not.
      await this.budget.measure(this.home.emitterPath, 0);
      const opened = await openEpoch({
        fs,
        home: this.home,
        info,
        log,
        spare: this.spare,
        onClaim: (claim) => {
          this.spare = claim;
        },
        writer: this.writerOptions(),
      });
      await this.begin(this.home, opened);
    } catch (error) {
      this.openingFailed(error);
    }
  }

  private writerOptions(): OpeningOptions["writer"] {
    const { clock, limits } = this.options;
    return {
      clock,
      segmentBytes: limits.segmentBytes,
      maxWaiting: limits.maxWaiting,
      maxWaitingBytes: limits.maxWaitingBytes,
      gatherMs: limits.gatherMs,
      guard: () => this.current?.clerk.checkLease() ?? Promise.resolve(),
      onDurable: (durable) => this.advanced(durable),
      onFault: (error) => this.faulted(error),
    };
  }

  private async begin(home: Home, opened: OpenedEpoch): Promise<void> {
    const { fresh } = opened.predecessor;
    try {
      await this.writeFirst(home, opened);
    } catch (error) {
      // Somebody else may look at it; what was lost there has not been recorded.
      await fresh?.lease.release();
      throw error;
    }
    this.opened(home, opened.claim);
    await this.closePredecessor(opened.predecessor);
  }

  /** `start` first, then what was lost, then whoever waited: one batch, one sync. */
  private async writeFirst(home: Home, opened: OpenedEpoch): Promise<void> {
    const { writer, claim, predecessor } = opened;
    const clerk = createEpochClerk({
      writer,
      lease: claim.lease,
      info: this.options.epoch,
      clock: this.options.clock,
      book: this.book,
      heartbeatMs: this.options.heartbeatMs,
      status: () => this.status(),
    });
    const current = { emitter: home.emitter, writer, claim, clerk };
    const { fresh, end } = predecessor;
    const denied = this.book.auditDeniedUnsaid();
    const started = clerk.start(this.previous ?? end, denied);
    if (writer.events === 0) {
      // What this process says of itself is not valid: without a start there is no epoch.
      await Promise.all([started, writer.close()]);
    }
    this.current = current;
    const lost = fresh === undefined || end === undefined ? [] : end.lost;
    const reported = clerk.lostRecords(end?.epoch ?? "", lost);
    void this.sayUnrecorded(current);
    const refusal = this.refusal(writer);
    if (refusal === undefined) this.line.passOn(writer);
    else this.line.refuse(refusal);
    await Promise.all([started, reported]);
  }

  private opened(home: Home, claim: Claim): void {
    this.spare = undefined;
    this.fault = undefined;
    this.backoffMs = this.options.reopenAfterMs;
    this.current?.clerk.run();
    void this.budget.measure(home.emitterPath, claim.number);
    void this.reserve.fill(home.emitterPath);
  }

  private async closePredecessor(predecessor: OpenedEpoch["predecessor"]): Promise<void> {
    const { fresh, end } = predecessor;
    if (fresh === undefined || end === undefined) return;
    const { previous } = this;
    // Our own failed epoch: what callers were told is what counts, not what may have surfaced.
    const record =
      previous?.epoch === end.epoch
        ? { ...end, seq: previous.seq, hash: previous.hash, end: previous.end }
        : end;
    await closeSettled(this.options.fs, fresh, record).catch(() => undefined);
  }

  private advanced(durable: Durable): void {
    const { current } = this;
    if (current === undefined) return;
    this.acknowledgements.durable(current.writer.epoch, durable.seq, this.options.clock.now());
    this.options.onProgress(current);
  }

  private async sayUnrecorded(current: CurrentEpoch): Promise<void> {
    const calls = this.unrecorded;
    if (calls === undefined) return;
    this.unrecorded = undefined;
    await current.clerk.lostCalls(calls).catch(() => {
      this.unrecorded = joinCalls(this.unrecorded, calls);
    });
  }

  /** The epoch being written has ended. Synchronous: whoever appends next finds none. */
  private faulted(error: CountersignError): void {
    const { current } = this;
    if (current === undefined) return;
    this.current = undefined;
    current.clerk.halt();
    this.note(error);
    const { durable, epoch } = current.writer;
    if (durable === undefined) return;
    this.previous = { epoch, seq: durable.seq, hash: durable.hash, end: "journal_fault" };
    this.spare = undefined;
    this.releasing = this.release(current, "journal_fault");
  }

  private async release(own: CurrentEpoch, end: "stop" | "journal_fault"): Promise<void> {
    const { durable, epoch, epochNumber } = own.writer;
    const { emitter } = own;
    const { tenant } = this.options.epoch;
    await this.options.onOver(own);
    try {
      const known = end === "journal_fault" || own.clerk.stopped;
      if (durable !== undefined && known) {
        const { seq, hash } = durable;
        await writeEnd(this.options.fs, own.claim.path, {
          emitter,
          epoch,
          epochNumber,
          tenant,
          seq,
          hash,
          end,
          lost: [],
        });
        if (end === "stop") await this.options.onStopped(own);
      }
    } catch {
      // Whoever comes next scans the epoch instead.
    }
    await own.claim.lease.release();
  }

  private openingFailed(error: unknown): void {
    // The writer told already what became of it.
    const fault = this.fault !== undefined && this.retryAtMs > this.options.clock.now();
    const told = fault ? (this.fault as CountersignError) : this.note(openingFault(error));
    this.line.refuse(told);
  }

  private note(error: CountersignError): CountersignError {
    this.fault = error;
    this.retryAtMs = this.options.clock.now() + this.backoffMs;
    this.backoffMs = Math.min(2 * this.backoffMs, MAX_BACKOFF * this.options.reopenAfterMs);
    this.options.log.error(error.message, {
      retryAfterMs: this.retryAtMs - this.options.clock.now(),
    });
    return error;
  }
}

/** Opens nothing before it is asked to. */
export function createEmission(options: EmissionOptions): Emission {
  return new EpochAfterEpoch(options);
}
