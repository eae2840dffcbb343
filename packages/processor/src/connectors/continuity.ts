import { CountersignError, errorCode, findingEvent, type SealedEvent } from "@countersign/model";
import {
  type Component,
  type ConnectorSpec,
  type Consumer,
  type Decisions,
  DURATION_SCHEMA,
  durationMs,
  fanout,
  type Origin,
  type PipelineInputs,
  type Rebuilding,
  type Runtime,
} from "@countersign/pipeline";
import { openPart, type Part, savePart } from "./continuity/part.ts";
import type { WatchRules } from "./continuity/watch.ts";
import type { Found } from "./continuity/state.ts";

interface Config {
  readonly settle: string;
  readonly silent_after: string;
  readonly always_on: readonly string[];
  readonly policies?: readonly string[];
  readonly max_emitters: number;
  readonly state?: string;
}

/** Looks along the chains of a log. */
export const continuityConnector: ConnectorSpec = {
  kind: "connector",
  type: "continuity",
  stability: "beta",
  summary:
    "Follows every emitter's chain along a log; what is missing, forked, doubled or overdue becomes a finding event.",
  signals: ["decisions"],
  from: "decisions",
  to: "decisions",
  gives: "decisions",
  readsLog: true,
  endsLoops: true,
  config: {
    type: "object",
    additionalProperties: false,
    properties: {
      settle: {
        ...DURATION_SCHEMA,
        default: "5m",
        description: "How long a gap may wait for what explains it (a `lost` of the next epoch).",
      },
      silent_after: {
        ...DURATION_SCHEMA,
        default: "2h",
        description:
          "An emitter of `always_on` that is not heard of for so long is SILENT. An idle one speaks hourly.",
      },
      always_on: {
        type: "array",
        maxItems: 1024,
        default: [],
        items: { type: "string", pattern: "^[a-z0-9*][a-z0-9*._-]{0,62}$" },
        description: "Emitters that never sleep; `*` stands for any characters.",
      },
      policies: {
        type: "array",
        minItems: 1,
        maxItems: 1024,
        uniqueItems: true,
        items: { type: "string", pattern: "^sha256:[0-9a-f]{64}$" },
        description: "Digests of the policies in force; others are POLICY_UNKNOWN. Absent: any.",
      },
      max_emitters: {
        type: "integer",
        minimum: 1,
        maximum: 1_000_000,
        default: 10_000,
        description: "Emitters remembered; the one that was heard of longest ago makes room.",
      },
      state: {
        type: "string",
        minLength: 1,
        description:
          "Directory for what it remembers, so that a start need not read the whole log again. Absent: it does.",
      },
    },
  },
  create: (config: Config, runtime, next) => new Continuity(config, runtime, next),
};

/** Findings in one batch. */
const BATCH_FINDINGS = 512;
/** What is stored is at most so much behind. */
const SAVE_EVENTS = 50_000n;
const MAX_TICK_MS = 30_000;

class Continuity implements Component, Consumer<Decisions>, Rebuilding {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #next: Consumer<Decisions>;
  readonly #rules: WatchRules;
  readonly #component: string;
  readonly #parts = new Map<string, Part>();
  readonly #stopping = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(config: Config, runtime: Runtime, next: PipelineInputs) {
    this.#config = config;
    this.#runtime = runtime;
    this.#next = fanout(next.decisions.map(({ consumer }) => consumer));
    this.#component = runtime.id.replaceAll("/", ".").slice(0, 63);
    const patterns = config.always_on.map(patternOf);
    this.#rules = {
      settleMs: durationMs(config.settle),
      silentAfterMs: durationMs(config.silent_after),
      alwaysOn: (emitter) => patterns.some((pattern) => pattern.test(emitter)),
      policies: config.policies === undefined ? undefined : new Set(config.policies),
      maxEmitters: config.max_emitters,
    };
    const help = "Emitters whose chains are followed.";
    runtime.metrics.gauge("connector_emitters", help, { connector: runtime.id }, () =>
      [...this.#parts.values()].reduce((sum, { watch }) => sum + watch.state.emitters.size, 0),
    );
  }

  start(): Promise<void> {
    const { settleMs, silentAfterMs } = this.#rules;
    const everyMs = Math.min(MAX_TICK_MS, Math.max(10, Math.min(settleMs, silentAfterMs) / 4));
    this.#timer = setInterval(() => void this.#tick(), everyMs);
    this.#timer.unref();
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#last.catch(() => undefined);
    for (const part of this.#parts.values()) await this.#save(part);
    this.#parts.clear();
  }

  rebuildFrom(log: string, partition: number): bigint {
    return this.#partOf(log, partition).wants;
  }

  rebuilt(log: string, partition: number): void {
    this.#partOf(log, partition).goOn();
  }

  released(log: string, partition: number): void {
    this.#parts.get(keyOf(log, partition))?.stand();
  }

  /** Resolves when what was found in the batch is with the next pipelines. The same batch again: only what is left of it. */
  consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    return this.#inTurn(async () => {
      const { origin } = batch;
      if (origin === undefined)
        throw new CountersignError("BUG", `${this.#runtime.id}: a batch that is of no log`);
      // While it waited for its turn, the partition may have gone to somebody else.
      if (signal.aborted)
        throw new CountersignError("CANCELLED", `${this.#runtime.id}: the batch was given up`);
      const part = this.#partOf(origin.log, origin.partition);
      if (batch.again === true) part.stand();
      else part.goOn();
      this.#look(part, batch, origin);
      // What is still to be told may have been told by another replica, further on in what is read again.
      if (batch.again !== true) await this.#flush(part, signal);
      if (part.position - part.saved >= SAVE_EVENTS) await this.#save(part);
    });
  }

  #look(part: Part, batch: Decisions, origin: Origin): void {
    const events = part.unseen(batch, origin);
    for (const sealed of events) {
      part.heard(sealed);
      // The clock is of no use for what happened before this process began.
      const found = part.watch.observe(sealed, batch.again === true ? undefined : Date.now());
      if (batch.again !== true) this.#tell(part, found);
    }
    part.reached(events.at(-1), origin);
  }

  #tell(part: Part, findings: readonly Found[]): void {
    for (const { data, time } of findings) {
      const finding = findingEvent({ data, time, component: this.#component });
      if (!part.tell(finding)) continue;
      const labels = { connector: this.#runtime.id, finding: data.finding };
      this.#runtime.metrics.counter("connector_findings", "What was found.", labels).add(1);
      const { emitter = "none", epoch = "none" } = data.of;
      this.#runtime.log.warn("found", { finding: data.finding, emitter, epoch });
    }
  }

  /** One after the other: what was found first goes first, and nothing goes twice at a time. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work, work);
    this.#last = turn;
    return turn;
  }

  async #flush({ outbox }: Part, signal: AbortSignal): Promise<void> {
    while (outbox.length > 0) {
      const events: readonly SealedEvent[] = outbox.slice(0, BATCH_FINDINGS);
      await this.#next.consume({ events }, signal);
      outbox.splice(0, events.length);
    }
  }

  async #tick(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#stopping.signal.aborted) return;
      for (const part of this.#parts.values()) {
        if (!part.live) continue;
        this.#tell(part, part.watch.tick(Date.now()));
        await this.#flush(part, this.#stopping.signal);
      }
      this.#runtime.report({ state: "ok" });
    }).catch((error: unknown) => {
      if (errorCode(error) === "CANCELLED") return;
      const detail = "what was found cannot be handed on; it is tried again";
      this.#runtime.report({ state: "degraded", detail });
    });
  }

  #partOf(log: string, partition: number): Part {
    const key = keyOf(log, partition);
    const known = this.#parts.get(key);
    if (known !== undefined) return known;
    const { log: logger } = this.#runtime;
    const part = openPart({
      log,
      partition,
      directory: this.#config.state,
      rules: this.#rules,
      logger,
    });
    this.#parts.set(key, part);
    return part;
  }

  /** What cannot be stored is made of the log again. */
  async #save(part: Part): Promise<void> {
    const { state } = this.#config;
    if (state === undefined || part.outbox.length > 0) return;
    await savePart(part, state).catch((error: unknown) => {
      const reason = (error as NodeJS.ErrnoException).code ?? "error";
      this.#runtime.log.warn("cannot store what is remembered", { reason });
    });
  }
}

const keyOf = (log: string, partition: number): string => `${log}/${partition}`;

function patternOf(glob: string): RegExp {
  const literal = glob.replaceAll(/[.]/g, "\\.").replaceAll(/\*+/g, "[a-z0-9._-]*");
  return new RegExp(`^${literal}$`);
}
