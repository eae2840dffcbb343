// Requests to HEC until each event of a batch is taken, refused, or has to wait.
import { type Acknowledgement, durationMs, type Runtime, sizeBytes } from "@countersign/pipeline";
import type { SplunkHecConfig } from "./settings.ts";
import { createSinkHealth, type SinkHealth } from "../http-failure.ts";
import { createHttpSink, type HttpSink } from "../http-sink.ts";
import { cutRequests, deliver, indexesOf, type Verdict } from "../deliver.ts";
import type { Outcome } from "../outcome.ts";
import { type Acknowledgements, createAcknowledgements } from "./acknowledgements.ts";
import { readHecAnswer } from "./answer.ts";
import { createPace, type Pace } from "./pace.ts";
import { type HecEvent, hecBody, hecSize } from "./envelope.ts";

/** Sends events of batches. */
export interface HecPush {
  /** Resolves when nothing of it is under way any more, with what Splunk said last. Rejects only when stopped. */
  send(
    events: readonly HecEvent[],
    outcome: Outcome,
    signal: AbortSignal,
  ): Promise<Acknowledgement | undefined>;
  close(): void;
}

/** Makes the sender of an exporter. */
export function createHecPush(config: SplunkHecConfig, runtime: Runtime): HecPush {
  return new Push(config, runtime);
}

/** One batch on its way. */
interface Way {
  readonly outcome: Outcome;
  readonly signal: AbortSignal;
  /** Requests that wait to be indexed. */
  readonly indexing: Promise<void>[];
  said: Acknowledgement | undefined;
}

class Push implements HecPush {
  readonly #limits: { readonly maxBytes: number; readonly maxEvents: number };
  readonly #sink: HttpSink;
  readonly #health: SinkHealth;
  readonly #pace: Pace;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #acks: Acknowledgements | undefined;

  constructor(config: SplunkHecConfig, runtime: Runtime) {
    this.#limits = { maxBytes: sizeBytes(config.max_body), maxEvents: config.max_events };
    this.#health = createSinkHealth(runtime);
    this.#sink = createHttpSink({ config, runtime, health: this.#health });
    this.#pace = createPace(runtime.id);
    this.#headers = {
      authorization: `Splunk ${config.token}`,
      "content-type": "application/json",
    };
    if (!config.acknowledge) return;
    this.#acks = createAcknowledgements({
      sink: this.#sink,
      health: this.#health,
      headers: () => this.#headers,
      runtime,
      timeoutMs: durationMs(config.acknowledge_timeout),
    });
  }

  async send(
    events: readonly HecEvent[],
    outcome: Outcome,
    signal: AbortSignal,
  ): Promise<Acknowledgement | undefined> {
    const way: Way = { outcome, signal, indexing: [], said: undefined };
    const limits = { ...this.#limits, sizeOf: hecSize };
    try {
      await deliver(cutRequests(events, limits), outcome, (some) => this.#post(some, way));
    } finally {
      await Promise.allSettled(way.indexing);
    }
    await Promise.all(way.indexing);
    return way.said;
  }

  close(): void {
    this.#acks?.close();
    this.#sink.close();
  }

  async #post(events: HecEvent[], way: Way): Promise<Verdict> {
    await this.#acks?.ready(way.signal);
    await this.#pace.turn(way.signal);
    const channel = this.#acks?.channel();
    const highestBefore = channel?.highest ?? -1;
    const answer = await this.#sink
      .send({
        path: "/services/collector/event",
        headers: { ...this.#headers, ...channel?.headers() },
        parts: [hecBody(events)],
        signal: way.signal,
      })
      .catch((error: unknown) => {
        if (channel !== undefined) this.#acks?.retire(channel);
        throw error;
      });
    channel?.learn(answer.setCookie);
    const read = readHecAnswer(answer, this.#health);
    if (read.kind === "failed") {
      if (read.isChannelGone && channel !== undefined) this.#acks?.retire(channel);
      throw read.error;
    }
    if (read.kind !== "taken") return read;
    this.#pace.taken(read.isSlow);
    if (this.#acks === undefined || channel === undefined) {
      this.#health.well();
      way.said = { kind: "hec_200" };
      return read;
    }
    if (read.ackId === undefined) throw this.#acks.missing();
    const ticket = { channel, ackId: read.ackId, highestBefore };
    const said = { kind: "hec_ack", id: String(read.ackId) };
    const indexed = this.#acks.indexed(ticket, way.signal).then(() => void (way.said = said));
    const settled = this.#indexed(indexed, events, way);
    // It may be cut off while the next request is still on its way, and nobody listens yet.
    settled.catch(() => undefined);
    way.indexing.push(settled);
    return read;
  }

  async #indexed(done: Promise<void>, events: HecEvent[], { outcome }: Way): Promise<void> {
    try {
      await done;
      this.#health.well();
    } catch (error) {
      outcome.fail(indexesOf([events]), error);
    }
  }
}
