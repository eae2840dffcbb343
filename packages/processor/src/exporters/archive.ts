import { type ArchiveLog, openArchive } from "@countersign/archive";
import {
  type Chain,
  CountersignError,
  errorCode,
  findingEvent,
  type SealedEvent,
} from "@countersign/model";
import {
  type Component,
  type Consumer,
  type Decisions,
  type ExporterSpec,
  type Runtime,
  throwIfAborted,
} from "@countersign/pipeline";

interface Config {
  readonly directory: string;
  readonly origin: string;
}

/** The durable log of everything. */
export const archiveExporter: ExporterSpec = {
  kind: "exporter",
  type: "archive",
  stability: "beta",
  summary: "Appends events to the archive: durable, exactly once by emitter, epoch and seq.",
  signals: ["decisions"],
  takes: ["decisions"],
  config: {
    type: "object",
    additionalProperties: false,
    required: ["directory", "origin"],
    properties: {
      directory: {
        type: "string",
        minLength: 1,
        description: "A directory on a local disk.",
        examples: ["/var/lib/countersign/archive"],
      },
      origin: {
        type: "string",
        pattern: "^[a-z0-9][a-z0-9.-]*/[A-Za-z0-9._/-]{1,128}$",
        maxLength: 255,
        description: "The log's name for good, <host>/<tenant>: audit.example/acme.",
        examples: ["audit.example/acme"],
      },
    },
  },
  create: (config: Config, runtime) => new ArchiveExporter(config, runtime),
};

/** What the archive receiver and the console need of the exporter. */
export interface ArchiveHolder {
  readonly directory: string;
  readonly origin: string;
  /** Open from `start` to `stop`. Throws UNAVAILABLE otherwise. */
  readonly log: ArchiveLog;
}

/** The archive that a component holds; undefined if it is another exporter. */
export function archiveOf(component: Component | undefined): ArchiveHolder | undefined {
  return component instanceof ArchiveExporter ? component : undefined;
}

class ArchiveExporter implements Component, Consumer<Decisions>, ArchiveHolder {
  readonly directory: string;
  readonly origin: string;
  readonly #runtime: Runtime;
  #log: ArchiveLog | undefined;

  constructor(config: Config, runtime: Runtime) {
    this.directory = config.directory;
    this.origin = config.origin;
    this.#runtime = runtime;
    const labels = { exporter: runtime.id };
    const gauge = (name: string, help: string, read: (log: ArchiveLog) => number): void =>
      runtime.metrics.gauge(name, help, labels, () =>
        this.#log === undefined ? 0 : read(this.#log),
      );
    gauge("archive_size", "Events in the archive.", (log) => Number(log.size));
    gauge(
      "archive_duplicates",
      "Events that were there already.",
      (log) => log.status().duplicates,
    );
    gauge("archive_forks", "Events whose place holds another one.", (log) => log.status().forks);
  }

  get log(): ArchiveLog {
    if (this.#log !== undefined) return this.#log;
    throw new CountersignError("UNAVAILABLE", `${this.#runtime.id}: the archive is not open`);
  }

  async start(): Promise<void> {
    const { directory, origin } = this;
    this.#log = await openArchive({ directory, origin, log: this.#runtime.log });
  }

  async stop(): Promise<void> {
    const log = this.#log;
    this.#log = undefined;
    await log?.close();
  }

  /** Rejects REJECTED for events that have no place, or whose place holds another event (a fork: the first stays). */
  async consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal, this.#runtime.id);
    const { log } = this;
    try {
      const { forks, standing } = await log.append(batch.events);
      await tellForks(
        log,
        forks.map((index) => batch.events[index]),
        standing,
      );
      this.#runtime.report({ state: "ok" });
      if (forks.length > 0)
        throw this.#rejected("their place in the chain holds another event (fork)", forks);
    } catch (error) {
      if (errorCode(error) !== "INPUT_INVALID") throw this.#noted(error, log);
      await this.#appendRest(log, batch, (error as CountersignError).failed ?? []);
    }
  }

  /** The archive takes all of a call or nothing: what it can take goes in without the rest. */
  async #appendRest(log: ArchiveLog, batch: Decisions, failed: readonly number[]): Promise<void> {
    const bad = new Set(failed.length === 0 ? batch.events.keys() : failed);
    const rest = [...batch.events.keys()].filter((index) => !bad.has(index));
    const events = rest.map((index) => batch.events[index] as SealedEvent);
    const { forks, standing } = await log.append(events);
    await tellForks(
      log,
      forks.map((index) => events[index]),
      standing,
    );
    for (const fork of forks) bad.add(rest[fork] as number);
    throw this.#rejected("they have no place in a chain, or it holds another event", [...bad]);
  }

  #rejected(why: string, failed: readonly number[]): CountersignError {
    const text = `${this.#runtime.id}: ${failed.length} events cannot be archived: ${why}`;
    return new CountersignError("REJECTED", text, { failed });
  }

  #noted(error: unknown, log: ArchiveLog): unknown {
    const { fault } = log.status();
    if (fault !== undefined) {
      this.#runtime.report({
        state: "failed",
        detail: "the archive refuses to write until it is opened again",
      });
    }
    return error;
  }
}

/** Who reads the log never sees the second history of a place: so the finding is made here, by the name and words of `continuity`. */
async function tellForks(
  log: ArchiveLog,
  forks: readonly (SealedEvent | undefined)[],
  standing: readonly string[],
): Promise<void> {
  const findings = forks.flatMap((sealed, index) => {
    const { chain, tenant } = (sealed?.event.data ?? {}) as { chain?: Chain; tenant?: string };
    const expected = standing[index];
    if (
      sealed === undefined ||
      chain === undefined ||
      tenant === undefined ||
      expected === undefined
    )
      return [];
    const of = { emitter: chain.emitter, epoch: chain.epoch, seq: chain.seq, hash: sealed.hash };
    const data = { tenant, finding: "FORK", of, expected } as const;
    return [findingEvent({ data, time: sealed.event.time, component: "continuity" })];
  });
  if (findings.length > 0) await log.append(findings);
}
