// One pipeline of a configuration, fed by hand: its own processors, exporter, dead letters and receipts, so that sending again is
// delivery as usual. It runs beside the service and shares no file with it.
import { randomBytes } from "node:crypto";
import { CountersignError, errorCode, type Logger, type SealedEvent } from "@countersign/model";
import {
  type Component,
  type Config,
  type Consumer,
  createGraph,
  createMetrics,
  type Decisions,
  type ExporterSpec,
  type Graph,
  type LetterBox,
  type PipelineInputs,
  type Queryable,
  type ReceiptBox,
  type Receipted,
  type Retried,
  type ReceiverSpec,
  type Runtime,
} from "@countersign/pipeline";
import type { Route } from "./route.ts";

/** What became of the events that were given. */
export interface AgainCounts {
  /** Not let through by the pipeline's processors. */
  filtered: number;
  /** The sink had them. */
  alreadyThere: number;
  sent: number;
  deadLettered: number;
}

/** A pipeline that is fed by hand. */
export interface Again {
  readonly counts: Readonly<AgainCounts>;
  /** Whether the sink is asked what it has. */
  readonly asks: boolean;
  /** What the sink holds, as far as it can be asked. */
  readonly held: Queryable["held"];
  /** Whether sending twice makes duplicates in the sink. */
  readonly duplicates: boolean;
  start(signal: AbortSignal): Promise<void>;
  /** Resolves when the sink has the events, or their letters are kept, and the receipt is written. UNAVAILABLE after `patienceMs`. */
  deliver(batch: Decisions, signal: AbortSignal): Promise<void>;
  /** Keeps letters where the service keeps them. */
  deposit: LetterBox["deposit"];
  stop(deadline: AbortSignal): Promise<void>;
}

/** How it is made. */
export interface AgainOptions {
  readonly config: Config;
  readonly route: Pick<Route, "pipeline" | "exporter">;
  readonly logger: (component: string) => Logger;
  /** Asks the sink and sends nothing, writes nothing. */
  readonly dryRun?: boolean;
  /** In a dry run: told of the events that the sink should have and has not. */
  readonly absent?: (events: readonly SealedEvent[]) => void;
  /** Longest time for one batch. */
  readonly patienceMs: number;
  /** False: no receipt, for what is no whole range of the log. */
  readonly receipts?: boolean;
}

type Exporter = Component &
  Consumer<Decisions> &
  Partial<LetterBox> &
  Partial<ReceiptBox> &
  Receipted &
  Retried &
  Queryable;

const SOURCE = "again";

/** Makes it, not started. */
export function createAgain(options: AgainOptions): Again {
  return new HandFed(options);
}

class HandFed implements Again {
  readonly counts: AgainCounts = { filtered: 0, alreadyThere: 0, sent: 0, deadLettered: 0 };
  readonly #options: AgainOptions;
  readonly #graph: Graph;
  #head: Consumer<Decisions> | undefined;
  #exporter: Exporter | undefined;
  #boxes: LetterBox | undefined;
  #reached = 0;

  constructor(options: AgainOptions) {
    this.#options = options;
    this.#graph = createGraph({
      config: this.#config(),
      metrics: createMetrics(),
      logger: options.logger,
      beside: `again.${randomBytes(4).toString("hex")}`,
    });
  }

  get asks(): boolean {
    return this.#exporter?.missing !== undefined;
  }

  get held(): Queryable["held"] {
    const exporter = this.#exporter;
    return exporter?.held?.bind(exporter);
  }

  get duplicates(): boolean {
    return !this.asks && this.#options.route.exporter.spec.deduplicates !== true;
  }

  async start(signal: AbortSignal): Promise<void> {
    try {
      await this.#graph.start(signal);
    } catch (error) {
      await this.stop(AbortSignal.timeout(5000)).catch(() => undefined);
      throw error;
    }
  }

  stop(deadline: AbortSignal): Promise<void> {
    return this.#graph.stop(deadline);
  }

  async deposit(letters: Parameters<LetterBox["deposit"]>[0], signal: AbortSignal): Promise<void> {
    await this.#boxes?.deposit(letters, signal);
  }

  async deliver(batch: Decisions, signal: AbortSignal): Promise<void> {
    const { patienceMs, route } = this.#options;
    const late = AbortSignal.timeout(patienceMs);
    this.#reached = 0;
    try {
      await this.#head?.consume(batch, AbortSignal.any([signal, late]));
      this.counts.filtered += batch.events.length - this.#reached;
    } catch (error) {
      if (signal.aborted || !late.aborted) throw error;
      throw new CountersignError(
        "UNAVAILABLE",
        `${route.exporter.id}: did not take a batch in ${patienceMs / 1000} s; see above why. Mend it and run this again`,
        { cause: error },
      );
    }
  }

  /** The pipeline as it is, behind a receiver of ours and before an exporter that asks first. */
  #config(): Config {
    const { config, route, dryRun = false, receipts = true } = this.#options;
    const { pipeline, exporter } = route;
    const boxes = [config.deadLetter, ...(receipts ? [config.receipts] : [])];
    const kept = boxes.flatMap((id) => {
      const one = id === undefined || dryRun ? undefined : config.exporters.get(id);
      return one === undefined ? [] : [[one.id, one] as const];
    });
    const processors = pipeline.processors.flatMap((id) => {
      const one = config.processors.get(id);
      return one === undefined ? [] : [[id, one] as const];
    });
    const { receipts: receiptsId, ...rest } = config;
    return {
      ...rest,
      ...(receiptsId === undefined || dryRun || !receipts ? {} : { receipts: receiptsId }),
      receivers: new Map([[SOURCE, { id: SOURCE, spec: this.#receiver(), config: {} }]]),
      processors: new Map(processors),
      exporters: new Map([
        ...kept,
        [exporter.id, { ...exporter, spec: this.#asking(exporter.spec) }],
      ]),
      connectors: new Map(),
      extensions: new Map(),
      pipelines: [{ ...pipeline, receivers: [SOURCE], exporters: [exporter.id] }],
    };
  }

  #receiver(): ReceiverSpec {
    return {
      kind: "receiver",
      type: SOURCE,
      stability: "beta",
      summary: "What is sent again.",
      signals: ["decisions"],
      gives: { decisions: "decisions" },
      pulls: true,
      config: { type: "object" },
      create: (_config, runtime: Runtime, next: PipelineInputs) => {
        this.#head = next.decisions[0]?.consumer;
        this.#boxes = runtime.service.deadLetters;
        return { start: () => Promise.resolve(), stop: () => Promise.resolve() };
      },
    };
  }

  #asking(spec: ExporterSpec): ExporterSpec {
    return {
      ...spec,
      create: (config, runtime) => {
        const inner: Exporter = spec.create(config, runtime);
        this.#exporter = inner;
        return { ...passedOn(inner), consume: (batch, signal) => this.#consume(batch, signal) };
      },
    };
  }

  async #consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    const exporter = this.#exporter as Exporter;
    this.#reached = Math.max(this.#reached, batch.events.length);
    const wanted =
      exporter.missing === undefined
        ? [...batch.events.keys()]
        : await exporter.missing(batch.events, signal);
    const there = batch.events.length - wanted.length;
    const events = wanted.map((index) => batch.events[index] as SealedEvent);
    if (events.length > 0 && this.#options.dryRun !== true)
      return await this.#send({ ...batch, events }, wanted, { there, signal });
    this.#count({ there, sent: events.length, dead: 0 });
    this.#options.absent?.(events);
  }

  async #send(
    batch: Decisions,
    wanted: readonly number[],
    { there, signal }: { there: number; signal: AbortSignal },
  ): Promise<void> {
    try {
      await this.#exporter?.consume(batch, signal);
      this.#count({ there, sent: batch.events.length, dead: 0 });
    } catch (error) {
      const failed = (error as Partial<CountersignError>).failed ?? [...wanted.keys()];
      const final = errorCode(error) === "REJECTED" || errorCode(error) === "INPUT_INVALID";
      this.#count({
        there,
        sent: batch.events.length - failed.length,
        dead: final ? failed.length : 0,
      });
      throw renumbered(error, failed, wanted);
    }
  }

  /** What failed for now is not counted yet: it comes again, and the rest does not. */
  #count({ there, sent, dead }: { there: number; sent: number; dead: number }): void {
    this.counts.alreadyThere += there;
    this.counts.sent += sent;
    this.counts.deadLettered += dead;
  }
}

/** What the graph asks of an exporter, except `consume`. */
function passedOn(
  inner: Exporter,
): Component & Receipted & Retried & Partial<LetterBox & ReceiptBox> {
  const { mapping, retry } = inner;
  const deposit = inner.deposit?.bind(inner);
  const keep = inner.keep?.bind(inner);
  const acknowledgementOf = inner.acknowledgementOf?.bind(inner);
  return {
    start: (signal) => inner.start(signal),
    stop: (deadline) => inner.stop(deadline),
    ...(mapping === undefined ? {} : { mapping }),
    ...(retry === undefined ? {} : { retry }),
    ...(deposit === undefined ? {} : { deposit }),
    ...(keep === undefined ? {} : { keep }),
    ...(acknowledgementOf === undefined ? {} : { acknowledgementOf }),
  };
}

/** Indexes of the part that was sent, as those of the whole batch. */
function renumbered(
  error: unknown,
  failed: readonly number[],
  wanted: readonly number[],
): CountersignError {
  const code = errorCode(error) ?? "UNAVAILABLE";
  const { message, cause, retryAfterMs, reasons } = error as CountersignError;
  return new CountersignError(code, message, {
    cause,
    failed: failed.map((index) => wanted[index] as number),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(reasons === undefined ? {} : { reasons }),
  });
}
