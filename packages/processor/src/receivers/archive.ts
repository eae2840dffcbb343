import type { ArchiveLog } from "@countersign/archive";
import { CountersignError, errorCode } from "@countersign/model";
import {
  type Component,
  type Consumer,
  type Decisions,
  pause,
  type PipelineInputs,
  type ReceiverSpec,
  type Runtime,
  saidOf,
} from "@countersign/pipeline";
import { type Cursor, openCursor } from "../cursor.ts";
import { type ArchiveHolder, archiveOf } from "../exporters/archive.ts";

interface Config {
  readonly from: string;
  readonly cursors: string;
}

/** Reads the archive back. */
export const archiveReceiver: ReceiverSpec = {
  kind: "receiver",
  type: "archive",
  stability: "beta",
  summary:
    "Reads the archive from a stored position, one for each pipeline; moves on when the pipeline took the events.",
  signals: ["decisions"],
  gives: { decisions: "decisions" },
  pulls: true,
  config: {
    type: "object",
    additionalProperties: false,
    required: ["from", "cursors"],
    properties: {
      from: { type: "string", description: "Id of the archive exporter.", examples: ["archive"] },
      cursors: {
        type: "string",
        minLength: 1,
        description: "Directory of the stored positions.",
        examples: ["/var/lib/countersign/cursors"],
      },
    },
  },
  references: ({ from }: Config) => [
    { path: ["from"], id: from, kind: "exporter", types: ["archive"], feeds: true },
  ],
  create: (config: Config, runtime, next) => new ArchiveReceiver(config, runtime, next),
};

const BATCH_EVENTS = 512;
/** Wait after a failure that is not the pipeline's: the log, or the cursor. */
const RETRY_MS = 1000;

class ArchiveReceiver implements Component {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #inputs: PipelineInputs["decisions"];
  readonly #stopping = new AbortController();
  /** Ends what is under way, when the deadline of `stop` passes. */
  readonly #cancel = new AbortController();
  #loops: Promise<void>[] = [];

  constructor(config: Config, runtime: Runtime, next: PipelineInputs) {
    this.#config = config;
    this.#runtime = runtime;
    this.#inputs = next.decisions;
  }

  async start(): Promise<void> {
    const { id, service } = this.#runtime;
    const archive = archiveOf(service.exporter(this.#config.from));
    if (archive === undefined)
      throw new CountersignError("BUG", `${id}: ${this.#config.from} is no archive exporter`);
    for (const input of this.#inputs) {
      const cursor = await this.#openCursor(input.pipeline, archive);
      this.#loops.push(this.#follow(archive, cursor, input));
    }
  }

  async stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    const cut = (): void => this.#cancel.abort();
    if (deadline.aborted) cut();
    deadline.addEventListener("abort", cut, { once: true });
    await Promise.all(this.#loops);
    deadline.removeEventListener("abort", cut);
  }

  async #openCursor(pipeline: string, archive: ArchiveHolder): Promise<Cursor> {
    const { id, metrics } = this.#runtime;
    const cursor = await openCursor({
      directory: this.#config.cursors,
      name: pipeline,
      origin: archive.origin,
      id,
    });
    if (cursor.position > archive.log.size) {
      throw new CountersignError(
        "CONFIG_INVALID",
        `${id}: pipeline ${pipeline} has read up to position ${cursor.position}, but the archive ends at ${archive.log.size}: it is not the archive that was read. Restore it, or name another cursors directory`,
      );
    }
    const { log } = archive;
    metrics.gauge(
      "receiver_lag",
      "Events in the archive that the pipeline has not taken yet.",
      { receiver: id, pipeline },
      () => Number(log.size - cursor.position),
    );
    return cursor;
  }

  async #follow(
    archive: ArchiveHolder,
    cursor: Cursor,
    to: PipelineInputs["decisions"][number],
  ): Promise<void> {
    const { log, origin } = archive;
    const stopping = this.#stopping.signal;
    const until = cursor.position;
    let rebuilt = to.rebuilding?.rebuildFrom(origin, 0) ?? until;
    while (!stopping.aborted) {
      try {
        while (rebuilt < until && !stopping.aborted) {
          rebuilt = await this.#handOnAgain(archive, rebuilt, { until, ...to });
        }
        to.rebuilding?.rebuilt(origin, 0);
        await log.wait(cursor.position, stopping);
        await this.#handOn(log, origin, cursor, to.consumer);
        this.#runtime.report({ state: "ok" });
      } catch (error) {
        if (stopping.aborted) return;
        this.#note(error, to.pipeline);
        await pause(RETRY_MS, stopping, this.#runtime.id).catch(() => undefined);
      }
    }
  }

  async #handOn(
    log: ArchiveLog,
    origin: string,
    cursor: Cursor,
    consumer: Consumer<Decisions>,
  ): Promise<void> {
    const entries = await log.read(cursor.position, BATCH_EVENTS);
    const last = entries.at(-1)?.position;
    if (last === undefined) return;
    await consumer.consume(
      {
        events: entries.map(({ event }) => event),
        origin: {
          log: origin,
          partition: 0,
          first: cursor.position,
          last,
          offsetOf: (wanted) => entries.find(({ event }) => event === wanted)?.position,
        },
      },
      this.#cancel.signal,
    );
    await cursor.commit(last + 1n);
  }

  /** What was taken over before: for the state of who rebuilds it, and without a new position. */
  async #handOnAgain(
    { log, origin }: ArchiveHolder,
    from: bigint,
    { until, consumer }: { until: bigint; consumer: Consumer<Decisions> },
  ): Promise<bigint> {
    const rest = Number(until - from);
    const entries = await log.read(from, Math.min(rest, BATCH_EVENTS));
    const last = entries.at(-1)?.position ?? until - 1n;
    const events = entries.map(({ event }) => event);
    const range = { log: origin, partition: 0, first: from, last };
    await consumer.consume({ events, origin: range, again: true }, this.#cancel.signal);
    return last + 1n;
  }

  #note(error: unknown, pipeline: string): void {
    this.#runtime.report({
      state: "degraded",
      detail: "a pipeline does not move on; it is tried again",
    });
    this.#runtime.log.warn("the pipeline does not move on", {
      pipeline,
      code: errorCode(error) ?? "unknown",
      reason: saidOf(error),
    });
  }
}
