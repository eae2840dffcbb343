// Indexer acknowledgement: a 200 of HEC says only that the request was understood; its number has to be asked for until it is true.
import { setTimeout as delay } from "node:timers/promises";
import { CountersignError } from "@countersign/model";
import type { Runtime } from "@countersign/pipeline";
import { awayBy, type SinkHealth } from "../http-failure.ts";
import { type AckQuestion, askAcks, isChannelGone, notAcknowledging } from "./ack-question.ts";
import { type Channel, createChannel } from "./channel.ts";

/** A request that HEC took, and waits to be indexed. */
export interface Ticket {
  readonly channel: Channel;
  readonly ackId: number;
  /** {@link Channel.highest} when the request was sent: a true number of the same indexer is above it. */
  readonly highestBefore: number;
}

/** The acknowledgements of one exporter. */
export interface Acknowledgements {
  /** Before a request. Rejects as long as the token has no indexer acknowledgement: an event that was sent all the same would be there again and again. */
  ready(signal: AbortSignal): Promise<void>;
  /** For the next request. */
  channel(): Channel;
  /** Nobody sends in this channel again; who waits in it goes on waiting. */
  retire(channel: Channel): void;
  /** A request was taken without a number: the token was changed. */
  missing(): CountersignError;
  /** Resolves when the indexer has the request. Rejects UNAVAILABLE when that is not known: send it again. */
  indexed(ticket: Ticket, signal: AbortSignal): Promise<void>;
  /** Nobody waits any longer. */
  close(): void;
}

/** How to ask, and how long. */
export interface AcknowledgementOptions extends AckQuestion {
  readonly runtime: Runtime;
  readonly health: SinkHealth;
  readonly timeoutMs: number;
  /** Wait before the first question, 250 ms; doubled, up to 5 s, as long as nothing new is acknowledged. */
  readonly firstPollMs?: number;
}

const FIRST_POLL_MS = 250;
const MAX_POLL_MS = 5000;
/** Requests that may wait; one more is refused. */
const MAX_PENDING = 10_000;
const IDS_A_QUESTION = 1000;

/** After a breakdown: an indexer that was only cut off acknowledges within this, one that has restarted never does. */
const AFTER_BREAKDOWN_MS = 60_000;

interface Waiting {
  untilMs: number;
  resolve(): void;
  reject(error: CountersignError): void;
}

/** Makes the book of acknowledgements. */
export function createAcknowledgements(options: AcknowledgementOptions): Acknowledgements {
  return new AckBook(options);
}

class AckBook implements Acknowledgements {
  readonly #options: AcknowledgementOptions;
  readonly #closed = new AbortController();
  readonly #waiting = new Map<Channel, Map<number, Waiting>>();
  /** Channels whose last question got no answer. */
  readonly #broken = new WeakSet<Channel>();
  readonly #lost: { add(amount?: number): void };
  #channel = createChannel();
  #isReady = false;

  constructor(options: AcknowledgementOptions) {
    this.#options = options;
    const { id, metrics } = options.runtime;
    const labels = { exporter: id };
    const help = "Requests that Splunk took and has not indexed yet.";
    metrics.gauge("exporter_pending_acknowledgements", help, labels, () => this.#pending());
    const lost =
      "Requests that were not acknowledged in time, or whose channel was lost: sent again.";
    this.#lost = metrics.counter("exporter_lost_acknowledgements", lost, labels);
  }

  async ready(signal: AbortSignal): Promise<void> {
    if (this.#isReady) return;
    // HEC answers `false` for a number that it never gave, or does not know the channel yet.
    await askAcks(this.#options, { channel: this.#channel, ids: [0], signal }).catch(
      (error: unknown) => {
        if (!isChannelGone(error)) throw error;
      },
    );
    this.#isReady = true;
  }

  missing(): CountersignError {
    this.#isReady = false;
    return notAcknowledging(this.#options.health);
  }

  channel(): Channel {
    return this.#channel;
  }

  retire(channel: Channel): void {
    if (channel === this.#channel) this.#channel = createChannel();
  }

  async indexed(ticket: Ticket, signal: AbortSignal): Promise<void> {
    const { channel, ackId, highestBefore } = ticket;
    const { runtime, health, timeoutMs } = this.#options;
    // Nobody asks any more.
    if (this.#closed.signal.aborted) throw cutOff(runtime.id);
    const all = this.#waiting.get(channel) ?? new Map<number, Waiting>();
    // The indexer counts upwards. A number that it gave before comes from another one, or from one that has started again: what is
    // acknowledged from now on may not be what we wait for.
    if (ackId <= highestBefore || all.has(ackId)) {
      const detail =
        "acknowledgements count anew; did Splunk restart, or does a load balancer not keep us at one indexer?";
      this.#lose(channel, detail);
      throw awayBy(health, detail);
    }
    channel.highest = Math.max(channel.highest, ackId);
    if (this.#pending() >= MAX_PENDING)
      throw new CountersignError(
        "OVERLOADED",
        `${runtime.id}: too many requests wait to be indexed`,
      );
    const done = Promise.withResolvers<void>();
    const cancel = (): void => done.reject(cutOff(runtime.id));
    all.set(ackId, {
      untilMs: performance.now() + timeoutMs,
      resolve: done.resolve,
      reject: done.reject,
    });
    if (!this.#waiting.has(channel)) {
      this.#waiting.set(channel, all);
      void this.#poll(channel, all);
    }
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel, { once: true });
    try {
      await done.promise;
    } finally {
      signal.removeEventListener("abort", cancel);
      all.delete(ackId);
    }
  }

  close(): void {
    this.#closed.abort();
    const { id } = this.#options.runtime;
    for (const all of this.#waiting.values()) {
      for (const one of all.values()) one.reject(cutOff(id));
    }
  }

  #pending(): number {
    let pending = 0;
    for (const all of this.#waiting.values()) pending += all.size;
    return pending;
  }

  async #poll(channel: Channel, all: Map<number, Waiting>): Promise<void> {
    const { firstPollMs = FIRST_POLL_MS } = this.#options;
    const { signal } = this.#closed;
    let waitMs = firstPollMs;
    while (all.size > 0 && !signal.aborted) {
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) break;
      this.#expire(all);
      const acknowledged = await this.#ask(channel, all);
      waitMs = acknowledged > 0 ? firstPollMs : Math.min(MAX_POLL_MS, waitMs * 2);
    }
    this.#waiting.delete(channel);
  }

  /** How many were acknowledged. */
  async #ask(channel: Channel, all: Map<number, Waiting>): Promise<number> {
    const ids = [...all.keys()];
    let acknowledged = 0;
    for (let at = 0; at < ids.length; at += IDS_A_QUESTION) {
      const some = ids.slice(at, at + IDS_A_QUESTION);
      try {
        const { signal } = this.#closed;
        const indexed = await askAcks(this.#options, { channel, ids: some, signal });
        for (const id of indexed) all.get(id)?.resolve();
        acknowledged += indexed.length;
        this.#answered(channel, all);
      } catch (error) {
        this.#failed(channel, error);
      }
    }
    return acknowledged;
  }

  /** It cannot be told whether Splunk has restarted and forgotten what waits: it is given a while, not the whole time. */
  #answered(channel: Channel, all: Map<number, Waiting>): void {
    if (!this.#broken.delete(channel)) return;
    const latestMs = performance.now() + AFTER_BREAKDOWN_MS;
    for (const one of all.values()) one.untilMs = Math.min(one.untilMs, latestMs);
  }

  /** Without an answer Splunk may have restarted: numbers of a new life must not be taken for the old ones. */
  #failed(channel: Channel, error: unknown): void {
    this.retire(channel);
    this.#broken.add(channel);
    if (isChannelGone(error))
      this.#lose(channel, "Splunk does not know the channel any more; what waits is sent again");
  }

  #lose(channel: Channel, detail: string): void {
    this.retire(channel);
    const { health } = this.#options;
    const all = this.#waiting.get(channel);
    if (all === undefined) return;
    this.#lost.add(all.size);
    for (const one of all.values()) one.reject(awayBy(health, detail));
  }

  #expire(all: Map<number, Waiting>): void {
    const { health, timeoutMs } = this.#options;
    const nowMs = performance.now();
    for (const one of all.values()) {
      if (one.untilMs > nowMs) continue;
      this.#lost.add();
      const detail = `no acknowledgement within ${timeoutMs} ms, or 60 s after a breakdown; sent again, it may be there twice`;
      one.reject(awayBy(health, detail));
    }
  }
}

function cutOff(id: string): CountersignError {
  return new CountersignError("CANCELLED", `${id}: stopped before it was indexed`);
}
