// Gets one batch across, however long it takes: 200 and only 200 counts. What a retry cannot mend halts everything and
// says so, since going on would mean to skip an event.
import { CountersignError, errorCode, type Logger } from "@countersign/model";
import type { ShippingState } from "../api.ts";
import { systemCode } from "../fs.ts";
import type { SegmentHeader } from "../segment.ts";
import { sleep } from "../wait.ts";
import { type EncodedRecord, encodeRequest } from "./otlp-logs.ts";
import type { Answer, Poster } from "./post.ts";

const FIRST_BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 30_000;
/** Longest wait that a receiver may ask for. */
const MAX_RETRY_AFTER_MS = 300_000;
/** Answers that another attempt may change (OTLP specification, "Retryable response codes"; 500 and 408 besides). */
const RETRYABLE: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Sends batches. */
export interface Sender {
  readonly state: Exclude<ShippingState, "off">;
  /** Resolves when the receiver is responsible for all records. Rejects CANCELLED, or REJECTED when halted. */
  send(
    records: readonly EncodedRecord[],
    resource: SegmentHeader,
    signal: AbortSignal,
  ): Promise<void>;
  /** From now on a receiver that cannot be reached ends the attempt: this process wants to go. */
  hurry(): void;
}

class RetryingSender implements Sender {
  state: Exclude<ShippingState, "off"> = "ok";
  private readonly poster: Poster;
  private readonly log: Logger;
  private readonly onHalt: () => void;
  private readonly nudge = new AbortController();

  constructor(poster: Poster, log: Logger, onHalt: () => void) {
    this.poster = poster;
    this.log = log;
    this.onHalt = onHalt;
  }

  hurry(): void {
    this.nudge.abort();
  }

  async send(
    records: readonly EncodedRecord[],
    resource: SegmentHeader,
    signal: AbortSignal,
  ): Promise<void> {
    for (let backoffMs = FIRST_BACKOFF_MS; ; backoffMs = Math.min(2 * backoffMs, MAX_BACKOFF_MS)) {
      if (this.state === "halted") throw halted();
      if (signal.aborted) throw cancelled();
      const answer = await this.attempt(records, resource, signal);
      if (answer === undefined && this.nudge.signal.aborted) throw cancelled();
      if (answer?.status === 200 && !this.isPartial(answer)) {
        if (this.state === "retrying") this.log.info("shipping again", { to: this.poster.target });
        this.state = "ok";
        return;
      }
      if (answer?.status === 413 && records.length > 1) {
        await this.sendHalves(records, resource, signal);
        return;
      }
      if (answer !== undefined && !RETRYABLE.has(answer.status)) throw this.halt(answer);
      this.retrying(answer);
      const asked = Math.min(answer?.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS);
      // Full jitter above the half, so that emitters that failed together do not come back together.
      const wakers = this.nudge.signal.aborted
        ? signal
        : AbortSignal.any([signal, this.nudge.signal]);
      await sleep(Math.max(asked, backoffMs * (0.5 + Math.random() / 2)), wakers);
    }
  }

  private async sendHalves(
    records: readonly EncodedRecord[],
    resource: SegmentHeader,
    signal: AbortSignal,
  ): Promise<void> {
    const half = Math.ceil(records.length / 2);
    await this.send(records.slice(0, half), resource, signal);
    await this.send(records.slice(half), resource, signal);
  }

  private async attempt(
    records: readonly EncodedRecord[],
    resource: SegmentHeader,
    signal: AbortSignal,
  ): Promise<Answer | undefined> {
    try {
      return await this.poster.post(encodeRequest(records, resource, Date.now()), signal);
    } catch (error) {
      if (errorCode(error) === "CANCELLED") throw error;
      this.log.debug("no answer", { to: this.poster.target, code: systemCode(error) ?? "none" });
      return undefined;
    }
  }

  /** There is no partial success in this contract; a receiver that rejects records and says 200 is not ours. */
  private isPartial(answer: Answer): boolean {
    try {
      const body = JSON.parse(answer.body) as { partialSuccess?: { rejectedLogRecords?: unknown } };
      return Number(body.partialSuccess?.rejectedLogRecords ?? 0) > 0;
    } catch {
      return false;
    }
  }

  private retrying(answer: Answer | undefined): void {
    if (this.state === "retrying") return;
    this.state = "retrying";
    const why = answer === undefined ? "no answer" : `status ${answer.status}`;
    this.log.warn("the processor does not take events now; they wait in the journal", {
      to: this.poster.target,
      why,
    });
  }

  private halt(answer: Answer): CountersignError {
    if (this.state !== "halted") {
      this.state = "halted";
      const { status } = answer;
      const what =
        status === 401 || status === 403
          ? "the processor refuses this emitter's credential. Shipping has stopped; nothing is lost. Mend it and restart."
          : "this endpoint refuses our events. Shipping has stopped; nothing is lost. Is it a Countersign receiver?";
      this.log.error(what, { to: this.poster.target, status });
      this.onHalt();
    }
    return halted();
  }
}

function halted(): CountersignError {
  return new CountersignError("REJECTED", "journal/ship: halted; a person must act");
}

function cancelled(): CountersignError {
  return new CountersignError("CANCELLED", "journal/ship: given up for now; the events stay");
}

/** A sender over `poster`. `onHalt` is called once. */
export function createSender(poster: Poster, log: Logger, onHalt: () => void): Sender {
  return new RetryingSender(poster, log, onHalt);
}
