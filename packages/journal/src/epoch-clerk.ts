// The emitter's own events in one epoch (start, lost, heartbeat, stop), and the lease that shows the epoch is alive.
import {
  draftHeartbeat,
  draftLost,
  draftStart,
  draftStop,
  eventTime,
  type LostReason,
  type StartEvent,
  type StopReason,
} from "@countersign/model";
import type { JournalStatus } from "./api.ts";
import type { Clock } from "./clock.ts";
import type { CounterBook } from "./emitter-counters.ts";
import type { SeqRange } from "./epoch-reader.ts";
import type { EpochWriter } from "./epoch-writer.ts";
import { type Lease, LEASE_RENEW_MS, LEASE_STALE_MS } from "./lease.ts";
import type { EpochInfo } from "./options.ts";
import type { UnrecordedCalls } from "./unrecorded-calls.ts";

/** Ticks without any event after which a heartbeat is due all the same: hourly by default. */
const IDLE_TICKS = 60;
/** Most `lost` events for one earlier epoch; ranges beyond it are told in the last one. */
const MAX_LOST_EVENTS = 64;

/** What a clerk needs. */
export interface EpochClerkOptions {
  readonly writer: EpochWriter;
  readonly lease: Lease;
  readonly info: EpochInfo;
  readonly clock: Clock;
  readonly book: CounterBook;
  readonly heartbeatMs: number;
  status(): Pick<JournalStatus, "bytes" | "unacknowledged" | "oldestUnacknowledgedMs">;
}

/** Writes the emitter's own events. */
export interface EpochClerk {
  /** Whether `stop` is durable. */
  readonly stopped: boolean;
  start(previous: StartEvent["data"]["previous"], auditDenied: number): Promise<void>;
  /** One `lost` for each unreadable range of an earlier epoch. */
  lostRecords(epoch: string, lost: readonly SeqRange[]): Promise<void>;
  lostCalls(calls: UnrecordedCalls): Promise<void>;
  /** Starts heartbeats and lease renewal; neither keeps the process alive. */
  run(): void;
  /** Rejects if the directory is no longer ours: this process was asleep for so long that another took it. */
  checkLease(): Promise<void>;
  stop(reason: StopReason): Promise<void>;
  halt(): void;
}

class TimedEpochClerk implements EpochClerk {
  stopped = false;
  private readonly options: EpochClerkOptions;
  private readonly openedMs: number;
  private renewedMs: number;
  private timers: NodeJS.Timeout[] = [];
  private eventsBefore = 0;
  private idleTicks = 0;

  constructor(options: EpochClerkOptions) {
    this.options = options;
    this.openedMs = options.clock.now();
    this.renewedMs = Date.now();
  }

  async start(previous: StartEvent["data"]["previous"], auditDenied: number): Promise<void> {
    const { info, writer, book } = this.options;
    const { tenant, mode, durability, gate, server, policy, runtime } = info;
    await writer.append(
      draftStart({
        tenant,
        epochNumber: writer.epochNumber,
        ...(previous === undefined ? {} : { previous }),
        mode,
        durability,
        gate,
        server,
        policy,
        runtime,
        coverage: info.coverage(),
        ...(auditDenied === 0 ? {} : { auditDenied }),
      }),
    );
    book.restarted(auditDenied);
  }

  async lostRecords(epoch: string, lost: readonly SeqRange[]): Promise<void> {
    const { writer, info } = this.options;
    await Promise.all(
      joinBeyond(lost, MAX_LOST_EVENTS).map((range) =>
        writer.append(
          draftLost({
            tenant: info.tenant,
            what: "records",
            count: range.count,
            reason: "journal_corrupt",
            records: { epoch, fromSeq: range.fromSeq, toSeq: range.toSeq },
          }),
        ),
      ),
    );
  }

  async lostCalls(calls: UnrecordedCalls): Promise<void> {
    const { writer, info } = this.options;
    const reasons: Record<EpochInfo["mode"], LostReason> = {
      enforce: "journal_unavailable",
      observe: "observe",
      break_glass: "break_glass",
    };
    await writer.append(
      draftLost({
        tenant: info.tenant,
        what: "calls",
        count: calls.count,
        reason: reasons[info.mode],
        calls: { since: eventTime(calls.sinceMs), until: eventTime(calls.untilMs) },
      }),
    );
  }

  run(): void {
    const beat = setInterval(
      () => void this.tick().catch(() => undefined),
      this.options.heartbeatMs,
    );
    const renew = setInterval(() => void this.renew().catch(() => undefined), LEASE_RENEW_MS);
    this.timers = [beat, renew];
    for (const timer of this.timers) timer.unref();
    this.eventsBefore = this.options.writer.events;
  }

  async checkLease(): Promise<void> {
    if (Date.now() - this.renewedMs < LEASE_STALE_MS / 2) return;
    if (!(await this.renew())) throw new Error("journal: the epoch's lease was lost");
  }

  async stop(reason: StopReason): Promise<void> {
    this.halt();
    const { writer, info, book } = this.options;
    const counters = { ...book.counters };
    const uptimeMs = this.uptimeMs();
    await writer.append(draftStop({ tenant: info.tenant, reason, uptimeMs, counters }));
    book.said(counters);
    this.stopped = true;
  }

  halt(): void {
    for (const timer of this.timers.splice(0)) clearInterval(timer);
  }

  private uptimeMs(): number {
    return Math.max(0, this.options.clock.now() - this.openedMs);
  }

  private async renew(): Promise<boolean> {
    const held = await this.options.lease.renew();
    if (held) this.renewedMs = Date.now();
    return held;
  }

  private async tick(): Promise<void> {
    const { writer, info, book } = this.options;
    const busy = writer.events > this.eventsBefore;
    this.idleTicks = busy ? 0 : this.idleTicks + 1;
    if (busy || this.idleTicks >= IDLE_TICKS) {
      this.idleTicks = 0;
      const { bytes, unacknowledged, oldestUnacknowledgedMs } = this.options.status();
      const counters = { ...book.counters };
      const draft = draftHeartbeat({
        tenant: info.tenant,
        uptimeMs: this.uptimeMs(),
        counters,
        journal: { bytes, unacknowledged, oldestUnacknowledgedMs },
      });
      // A fault is told to whoever appends; the heartbeat has nobody to tell.
      await writer.append(draft).then(
        () => book.said(counters),
        () => undefined,
      );
    }
    this.eventsBefore = writer.events;
  }
}

/** At most `max` ranges; the last one then spans the rest, and its count is that of the records that are lost. */
function joinBeyond(
  lost: readonly SeqRange[],
  max: number,
): readonly (SeqRange & { readonly count: number })[] {
  const counted = lost.map((range) => ({ ...range, count: range.toSeq - range.fromSeq + 1 }));
  const rest = counted.slice(max - 1);
  if (rest.length <= 1) return counted;
  const fromSeq = Math.min(...rest.map((range) => range.fromSeq));
  const toSeq = Math.max(...rest.map((range) => range.toSeq));
  const count = rest.reduce((sum, range) => sum + range.count, 0);
  return [...counted.slice(0, max - 1), { fromSeq, toSeq, count }];
}

/** The clerk of an epoch that was just opened. */
export function createEpochClerk(options: EpochClerkOptions): EpochClerk {
  return new TimedEpochClerk(options);
}
