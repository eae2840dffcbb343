// The emitter's durable log: one epoch at a time, opened when it is first needed, ended by the first fault.
import {
  type Counters,
  type EventDraft,
  type SealedEvent,
  stderrLogger,
  type StopReason,
} from "@countersign/model";
import type { AppendOptions, Journal, JournalStatus } from "./api.ts";
import { systemClock } from "./clock.ts";
import { createEmission, type Emission } from "./emission.ts";
import { checkEmitter } from "./emitter.ts";
import { nodeFs } from "./fs.ts";
import { DEFAULT_LIMITS, type JournalOptions } from "./options.ts";
import { createPoster } from "./ship/post.ts";
import { createShipper, type Shipper } from "./ship/shipper.ts";

const OPEN_AFTER_MS = 5_000;
const HEARTBEAT_MS = 60_000;
const REOPEN_AFTER_MS = 1_000;

class DurableJournal implements Journal {
  private readonly emission: Emission;
  private readonly shipper: Shipper | undefined;
  private readonly lazyOpen: NodeJS.Timeout;
  private stopping: Promise<void> | undefined;

  constructor(emission: Emission, shipper: Shipper | undefined, openAfterMs: number) {
    this.emission = emission;
    this.shipper = shipper;
    this.lazyOpen = setTimeout(() => emission.open(), openAfterMs);
    this.lazyOpen.unref();
  }

  get counters(): Counters {
    return this.emission.counters;
  }

  append(draft: EventDraft, options?: AppendOptions): Promise<SealedEvent> {
    return this.emission.append(draft, options);
  }

  async acknowledged(event: SealedEvent, timeoutMs: number): Promise<boolean> {
    if (this.shipper === undefined || this.shipper.state === "halted") return false;
    this.shipper.hasten();
    return await this.emission.acknowledgements.wait(event, timeoutMs);
  }

  noteUnrecorded(count: number, sinceMs: number, untilMs: number): void {
    this.emission.noteUnrecorded({ count, sinceMs, untilMs });
  }

  status(): JournalStatus {
    return { ...this.emission.status(), shipping: this.shipper?.state ?? "off" };
  }

  stop(reason: StopReason, deadline: AbortSignal): Promise<void> {
    this.stopping ??= this.end(reason, deadline);
    return this.stopping;
  }

  private async end(reason: StopReason, deadline: AbortSignal): Promise<void> {
    clearTimeout(this.lazyOpen);
    // Nothing of ours keeps a process alive, but for this.
    const keepAlive = setInterval(() => undefined, 1_000);
    try {
      await this.emission.stop(reason, deadline);
      await this.shipper?.flush(deadline);
      await this.emission.letGo();
      this.shipper?.close();
      this.emission.acknowledgements.giveUp();
    } finally {
      clearInterval(keepAlive);
    }
  }
}

/**
 * A journal in `options.directory`. Opens nothing yet: a process that dies at once leaves no trace.
 * @throws CONFIG_INVALID for an emitter name that is not well formed
 */
export function createJournal(options: JournalOptions): Journal {
  const env = options.env ?? process.env;
  const name = options.emitter ?? env["COUNTERSIGN_EMITTER"];
  const fs = options.fs ?? nodeFs;
  const log = options.log ?? stderrLogger("journal");
  // The two know each other: what is durable is shipped, and what shipping finds unreadable is recorded.
  let shipper: Shipper | undefined;
  const emission = createEmission({
    directory: options.directory,
    emitter: name === undefined || name === "" ? undefined : checkEmitter(name),
    epoch: options.epoch,
    fs,
    clock: options.clock ?? systemClock,
    log,
    limits: { ...DEFAULT_LIMITS, ...options.limits },
    heartbeatMs: options.heartbeatMs ?? HEARTBEAT_MS,
    reopenAfterMs: options.reopenAfterMs ?? REOPEN_AFTER_MS,
    onProgress: (own) => shipper?.progress(own),
    onOver: async (own) => await shipper?.detach(own),
    onStopped: async (own) => await shipper?.clear(own),
  });
  if (options.ship !== undefined) {
    shipper = createShipper({
      fs,
      log,
      directory: options.directory,
      tenant: options.epoch.tenant,
      poster: (options.connect ?? createPoster)(options.ship),
      acknowledgements: emission.acknowledgements,
      reportLost: (epoch, lost) => emission.reportLost(epoch, lost),
    });
  }
  return new DurableJournal(emission, shipper, options.openAfterMs ?? OPEN_AFTER_MS);
}
