import { CountersignError, type SealedEvent } from "@countersign/model";
import {
  type Acknowledgement,
  type Component,
  type Consumer,
  type Decisions,
  type ExporterSpec,
  type Queryable,
  type Receipted,
  type Retried,
  type Runtime,
  sizeBytes,
  throwIfAborted,
} from "@countersign/pipeline";
import type { Format } from "../formats/format.ts";
import { FORMATS } from "../formats/formats.ts";
import { type Bulk, createBulk } from "./elasticsearch/bulk.ts";
import {
  createDocuments,
  type Document,
  type Documents,
  eventIdOf,
} from "./elasticsearch/documents.ts";
import { createKnownIds, type KnownIds } from "./elasticsearch/known-ids.ts";
import { createPlaces } from "./elasticsearch/places.ts";
import {
  authorizationOf,
  checkSettings,
  type ElasticsearchConfig,
  ELASTICSEARCH_SETTINGS,
} from "./elasticsearch/settings.ts";
import { createStreamCheck, type StreamCheck } from "./elasticsearch/stream-check.ts";
import { createSinkHealth } from "./http-failure.ts";
import { createHttpSink, type HttpSink, retryOf } from "./http-sink.ts";
import { Outcome } from "./outcome.ts";

/** Events into a data stream of Elasticsearch or OpenSearch. */
export const elasticsearchExporter: ExporterSpec = {
  kind: "exporter",
  type: "elasticsearch",
  stability: "beta",
  summary:
    "Indexes events into a data stream of Elasticsearch or OpenSearch: each once, refused ones told apart from the others.",
  signals: ["decisions"],
  takes: ["decisions"],
  config: ELASTICSEARCH_SETTINGS,
  check: checkSettings,
  create: (config: ElasticsearchConfig, runtime) => new ElasticsearchExporter(config, runtime),
};

/** Longest piece of an answer that is about one event: two names of 255 bytes, an id, an error type. */
const MAX_ITEM_ANSWER_BYTES = 768;
const MIN_ANSWER_BYTES = 1_048_576;

class ElasticsearchExporter
  implements Component, Consumer<Decisions>, Receipted, Retried, Queryable
{
  readonly mapping: string;
  readonly retry: NonNullable<Retried["retry"]>;
  readonly #id: string;
  readonly #runtime: Runtime;
  readonly #format: Format;
  readonly #asksFirst: boolean;
  readonly #sink: HttpSink;
  readonly #documents: Documents;
  readonly #stream: StreamCheck;
  readonly #bulk: Bulk;
  readonly #known: KnownIds;
  readonly #places = createPlaces();
  readonly #duplicates: (amount: number) => void;
  /** The destination said that it has not got them. */
  readonly #absent = new WeakSet<SealedEvent>();
  readonly #refused = new WeakMap<SealedEvent, string>();
  readonly #running = new Set<Promise<unknown>>();
  readonly #cut = new AbortController();
  #isOpen = false;

  constructor(config: ElasticsearchConfig, runtime: Runtime) {
    const { id, metrics } = runtime;
    this.#id = id;
    this.#runtime = runtime;
    this.#format = FORMATS[config.format];
    this.mapping = this.#format.version;
    this.retry = retryOf(config);
    this.#asksFirst = config.deduplicate === "restart";
    const health = createSinkHealth(runtime);
    const maxAnswerBytes = Math.max(MIN_ANSWER_BYTES, config.max_events * MAX_ITEM_ANSWER_BYTES);
    this.#sink = createHttpSink({ config, runtime, health, maxAnswerBytes });
    const to = {
      sink: this.#sink,
      health,
      runtime,
      stream: config.data_stream,
      headers: authorizationOf(config),
    };
    this.#stream = createStreamCheck(to);
    const limits = { maxEvents: config.max_events, maxBytes: sizeBytes(config.max_body) };
    this.#bulk = createBulk(to, limits);
    this.#known = createKnownIds(to);
    this.#documents = createDocuments(this.#format, runtime);
    const help = "Events that the destination had already; they are there once.";
    const counter = metrics.counter("exporter_duplicate_log_records", help, { exporter: id });
    this.#duplicates = (amount) => counter.add(amount);
  }

  /** A destination that is away or wrong keeps nobody else from starting: it is looked at again before each batch. */
  async start(signal: AbortSignal): Promise<void> {
    this.#isOpen = true;
    await this.#stream.check(signal).catch(() => undefined);
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#isOpen = false;
    const cut = (): void => this.#cut.abort();
    if (deadline.aborted) cut();
    deadline.addEventListener("abort", cut, { once: true });
    await Promise.allSettled(this.#running);
    deadline.removeEventListener("abort", cut);
    this.#sink.close();
  }

  async consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    await this.#while((either) => this.#deliver(batch, either), signal);
  }

  acknowledgementOf(): Acknowledgement {
    return { kind: "bulk_item" };
  }

  async missing(events: readonly SealedEvent[], signal: AbortSignal): Promise<readonly number[]> {
    const documents = this.#documents.of(events);
    return await this.#while(async (either) => {
      const held = await this.#known.among(
        documents.map(({ id }) => id),
        either,
      );
      return documents.filter(({ id }) => !held.has(id)).map(({ index }) => index);
    }, signal);
  }

  async *held(
    range: { readonly fromMs: number; readonly untilMs: number },
    signal: AbortSignal,
  ): AsyncIterable<string> {
    const either = AbortSignal.any([signal, this.#cut.signal]);
    for await (const id of this.#known.inRange(range, either)) yield eventIdOf(id);
  }

  async #deliver(batch: Decisions, signal: AbortSignal): Promise<void> {
    await this.#stream.check(signal);
    const outcome = new Outcome(this.#id);
    const documents = this.#documents
      .of(batch.events, outcome)
      .filter((document) => !this.#isRefused(document, outcome));
    const rest = this.#places.isNext(batch.origin)
      ? documents
      : await this.#notThere(documents, signal);
    // Until all of it is known to have arrived, it may have been sent.
    this.#places.forget(batch.origin);
    for (const { event } of rest) this.#absent.delete(event);
    const report = await this.#bulk.send(rest, outcome, signal);
    this.#duplicates(report.duplicates);
    for (const { event } of report.absent) this.#absent.add(event);
    for (const [{ event }, reason] of report.refused) this.#refused.set(event, reason);
    this.#noteFailureStore([...report.refused.values()]);
    if (report.streamIsWrong) this.#stream.doubt();
    outcome.settle();
    this.#places.take(batch.origin);
  }

  /** What was refused for good is not sent again with what waits beside it: a failure store would take it twice. */
  #isRefused({ event, index }: Document, outcome: Outcome): boolean {
    const reason = this.#refused.get(event);
    if (reason !== undefined) outcome.refuse(index, reason);
    return reason !== undefined;
  }

  /** An id is unique in a backing index only: after a rollover the same event would be accepted once more. */
  async #notThere(
    documents: readonly Document[],
    signal: AbortSignal,
  ): Promise<readonly Document[]> {
    const unsure = documents.filter(({ event }) => !this.#absent.has(event));
    if (!this.#asksFirst || unsure.length === 0) return documents;
    const held = await this.#known.among(
      unsure.map(({ id }) => id),
      signal,
    );
    this.#duplicates(held.size);
    return documents.filter(({ id }) => !held.has(id));
  }

  #noteFailureStore(reasons: readonly string[]): void {
    const stored = reasons.filter((reason) => reason === "failure_store").length;
    if (stored === 0) return;
    const help = "Events that the destination put into its failure store; dead-lettered here.";
    const { id, metrics, log } = this.#runtime;
    metrics.counter("exporter_failure_store_log_records", help, { exporter: id }).add(stored);
    log.error("the mapping does not take our events: the failure store has them, no search does", {
      exporter: id,
      events: stored,
    });
  }

  async #while<Value>(
    work: (signal: AbortSignal) => Promise<Value>,
    signal: AbortSignal,
  ): Promise<Value> {
    throwIfAborted(signal, this.#id);
    if (!this.#isOpen)
      throw new CountersignError("UNAVAILABLE", `${this.#id}: not started, or stopped`);
    const running = work(AbortSignal.any([signal, this.#cut.signal]));
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }
}
