// The in-process shipper: the epoch being written, and beside it what others left. Never in the way of an append, never
// the reason that a process stays alive.
import { AsyncLocalStorage } from "node:async_hooks";
import { errorCode, type Logger } from "@countersign/model";
import type { Acknowledgements } from "../acknowledgements.ts";
import type { ShippingState } from "../api.ts";
import type { OwnEpoch } from "../emission.ts";
import type { SeqRange } from "../epoch-reader.ts";
import { type JournalFs, systemCode } from "../fs.ts";
import { untilAborted } from "../wait.ts";
import { clearEpoch, drainAbandoned } from "./drain.ts";
import type { Poster } from "./post.ts";
import { createSender, type Sender } from "./sender.ts";
import { createShipment, type Shipment } from "./shipment.ts";

/** Time in which events gather before they are sent, unless somebody waits for the acknowledgement. */
const LINGER_MS = 200;
/** Unacknowledged events that are sent without lingering. */
const FULL_BATCH = 512;
const SWEEP_MS = 60_000;

/** What a shipper needs. */
export interface ShipperOptions {
  readonly fs: JournalFs;
  readonly log: Logger;
  readonly directory: string;
  readonly tenant: string;
  readonly poster: Poster;
  readonly acknowledgements: Acknowledgements;
  /** Records `lost`; rejects while no epoch is healthy. */
  reportLost(epoch: string, lost: readonly SeqRange[]): Promise<void>;
}

/** Ships what the journal holds. */
export interface Shipper {
  readonly state: Exclude<ShippingState, "off">;
  /** More of `own` is durable. The first time also starts the drain of what others left. */
  progress(own: OwnEpoch): void;
  /** Somebody waits for an acknowledgement: no lingering. */
  hasten(): void;
  /** `own` is over: resolves when nothing of it is in flight any more. Never rejects. */
  detach(own: OwnEpoch): Promise<void>;
  /** Ships what is left until `deadline`, or until the receiver cannot be reached. Never rejects. */
  flush(deadline: AbortSignal): Promise<void>;
  /** Deletes the segments of an epoch of ours that is over and acknowledged. */
  clear(own: OwnEpoch): Promise<void>;
  close(): void;
}

interface Live {
  readonly own: OwnEpoch;
  readonly abort: AbortController;
  shipment: Shipment | undefined;
  running: Promise<void> | undefined;
  /** Something became durable since the run began. */
  again: boolean;
  /** Somebody waits, so the next run follows at once. */
  urgent: boolean;
  linger: NodeJS.Timeout | undefined;
}

class JournalShipper implements Shipper {
  private readonly options: ShipperOptions;
  private readonly poster: Poster;
  private readonly sender: Sender;
  private readonly closing = new AbortController();
  /** Runs in the context in which the journal was made, not in that of the call that woke us. */
  private readonly outside = AsyncLocalStorage.snapshot();
  private live: Live | undefined;
  private sweeping: Promise<void> | undefined;
  private sweepTimer: NodeJS.Timeout | undefined;

  constructor(options: ShipperOptions) {
    this.options = options;
    this.poster = options.poster;
    this.sender = createSender(this.poster, options.log, () => options.acknowledgements.giveUp());
  }

  get state(): Exclude<ShippingState, "off"> {
    return this.sender.state;
  }

  progress(own: OwnEpoch): void {
    if (this.live?.own.writer !== own.writer) this.attach(own);
    const { acknowledgements } = this.options;
    const now = acknowledgements.awaited() || acknowledgements.unacknowledged() >= FULL_BATCH;
    if (now) this.hasten();
    else this.wakeLater();
  }

  hasten(): void {
    const { live } = this;
    if (live === undefined || this.closing.signal.aborted) return;
    clearTimeout(live.linger);
    live.linger = undefined;
    live.urgent = true;
    live.running ??= this.outside(() => this.run(live));
  }

  async detach(own: OwnEpoch): Promise<void> {
    const { live } = this;
    if (live?.own.writer !== own.writer) return;
    this.live = undefined;
    clearTimeout(live.linger);
    live.abort.abort();
    await live.running;
    await live.shipment?.close().catch(() => undefined);
  }

  async flush(deadline: AbortSignal): Promise<void> {
    clearInterval(this.sweepTimer);
    this.sender.hurry();
    this.hasten();
    await untilAborted(this.live?.running ?? Promise.resolve(), deadline);
    await untilAborted(this.sweeping ?? Promise.resolve(), deadline);
    this.closing.abort();
    this.live?.abort.abort();
    await this.sweeping;
  }

  async clear(own: OwnEpoch): Promise<void> {
    if (!this.options.acknowledgements.isComplete(own.writer.epoch)) return;
    // What stays is shipped again by the next process, and dropped as duplicates.
    await clearEpoch(this.options.fs, own.claim.path).catch(() => undefined);
  }

  close(): void {
    this.poster.close();
  }

  private attach(own: OwnEpoch): void {
    this.live = {
      own,
      abort: new AbortController(),
      shipment: undefined,
      running: undefined,
      again: false,
      urgent: false,
      linger: undefined,
    };
    this.outside(() => {
      this.sweep();
      this.sweepTimer ??= setInterval(() => this.sweep(), SWEEP_MS).unref();
    });
  }

  private wakeLater(): void {
    const { live } = this;
    if (live === undefined || this.closing.signal.aborted) return;
    if (live.running !== undefined) live.again = true;
    else live.linger ??= setTimeout(() => this.hasten(), LINGER_MS).unref();
  }

  private async run(live: Live): Promise<void> {
    try {
      while (live.urgent && !live.abort.signal.aborted) {
        live.urgent = false;
        live.again = false;
        live.shipment ??= await this.shipmentOf(live);
        await live.shipment.ship(live.abort.signal);
      }
    } catch (error) {
      // The next event tries again; what was read is still in front.
      this.explain(error);
    } finally {
      live.running = undefined;
      if (live.again && this.live === live) this.wakeLater();
    }
  }

  private async shipmentOf({ own }: Live): Promise<Shipment> {
    const { fs, log, acknowledgements } = this.options;
    const { epoch } = own.writer;
    return await createShipment({
      fs,
      log,
      epochPath: own.claim.path,
      sender: this.sender,
      limit: () => own.writer.durable?.position,
      onAcknowledged: (seq) => acknowledgements.acknowledge(epoch, seq),
      onDeleted: (segment) => own.writer.deletedBefore(segment),
      onLost: (lost) => this.options.reportLost(epoch, lost),
    });
  }

  private sweep(): void {
    if (this.closing.signal.aborted) return;
    const { acknowledgements } = this.options;
    this.sweeping ??= drainAbandoned(
      {
        ...this.options,
        sender: this.sender,
        onAcknowledged: (epoch, seq) => acknowledgements.acknowledge(epoch, seq),
      },
      this.closing.signal,
    )
      .catch((error: unknown) => this.explain(error))
      .finally(() => {
        this.sweeping = undefined;
      });
  }

  private explain(error: unknown): void {
    const code = errorCode(error);
    // Both were said already, by whoever knows more.
    if (code === "CANCELLED" || code === "REJECTED") return;
    this.options.log.warn("shipping paused: the journal cannot be read", {
      code: systemCode(error) ?? "none",
    });
  }
}

/** A shipper over `options.poster`. Connects to nothing yet. */
export function createShipper(options: ShipperOptions): Shipper {
  return new JournalShipper(options);
}
