import { CountersignError, type Logger } from "@countersign/model";
import type { Component } from "./component.ts";
import type { Config } from "./configured.ts";
import { createHaltNotice } from "./halt-notice.ts";
import type { LetterBox } from "./letters.ts";
import type { Metrics } from "./metrics.ts";
import { besideTheWayIn } from "./readiness.ts";
import type { Receipt, ReceiptBox } from "./receipts.ts";
import type { ComponentKind, ComponentState, Runtime, ServiceHealth, ServiceView } from "./spec.ts";
import type { Trace } from "./trace.ts";

/** What the graph gives to its components. */
export interface Host {
  readonly metrics: Metrics;
  readonly view: ServiceView;
  /** The service's own traces, if there are some. */
  readonly trace: Trace | undefined;
  logger(id: string): Logger;
  runtime(kind: ComponentKind, id: string, files?: Runtime["files"]): Runtime;
  /** Keeps receipts; undefined when the configuration names no place for them. */
  readonly receipts: ReceiptBox | undefined;
  /** Clients and exporters exist before they are known to the others. */
  connect(known: Known, config: Config): void;
  enter(phase: ServiceHealth["phase"]): void;
  health(): ServiceHealth;
}

interface Known {
  readonly exporters: ReadonlyMap<string, Component>;
  readonly clients: ReadonlyMap<string, Component>;
  /** Filled while they are made. */
  readonly extensions: ReadonlyMap<string, Component>;
}

interface HostOptions {
  readonly metrics: Metrics;
  readonly logger: (id: string) => Logger;
  readonly trace?: Trace;
  /** See `Runtime.beside`. */
  readonly beside?: string;
}

/** Makes the host of one graph. */
export function createHost(options: HostOptions): Host {
  return new GraphHost(options);
}

class GraphHost implements Host {
  readonly metrics: Metrics;
  readonly view: ServiceView;
  readonly trace: Trace | undefined;
  readonly #logger: (id: string) => Logger;
  readonly #beside: string | undefined;
  readonly #states = new Map<string, ComponentState>();
  #known: Known = { exporters: new Map(), clients: new Map(), extensions: new Map() };
  #phase: ServiceHealth["phase"] = "starting";
  #besideTheWayIn: ServiceHealth["beside"] = new Set();
  #deadLetter: string | undefined;
  #quarantine: string | undefined;
  #receipts: string | undefined;

  constructor(options: HostOptions) {
    this.metrics = options.metrics;
    this.trace = options.trace;
    this.#beside = options.beside;
    this.#logger = options.logger;
    this.view = {
      exporter: (id) => this.#known.exporters.get(id),
      client: (id) => this.#known.clients.get(id),
      extension: (id) => this.#known.extensions.get(id),
      deadLetters: this.#box("dead_letter", () => this.#deadLetter),
      quarantine: this.#box("quarantine", () => this.#quarantine),
      health: () => this.health(),
    };
  }

  logger(id: string): Logger {
    return this.#logger(id);
  }

  runtime(kind: ComponentKind, id: string, files?: Runtime["files"]): Runtime {
    const key = `${kind} ${id}`;
    const log = this.#logger(id);
    const told = kind === "exporter" ? createHaltNotice(log) : undefined;
    if (kind === "exporter" || kind === "receiver") {
      this.metrics.gauge(
        `${kind}_halted`,
        `1 while the ${kind} does not go on until somebody mends it; it goes on by itself then.`,
        { [kind]: id },
        () => (this.#states.get(key)?.state === "failed" ? 1 : 0),
      );
    }
    return {
      id,
      log,
      metrics: this.metrics,
      report: (state) => {
        this.#states.set(key, state);
        told?.(state);
      },
      service: this.view,
      ...(files === undefined ? {} : { files }),
      ...(this.trace === undefined ? {} : { trace: this.trace }),
      ...(this.#beside === undefined ? {} : { beside: this.#beside }),
    };
  }

  get receipts(): ReceiptBox | undefined {
    const id = this.#receipts;
    return id === undefined
      ? undefined
      : { keep: (receipts, signal) => this.#keep(id, receipts, signal) };
  }

  async #keep(id: string, receipts: readonly Receipt[], signal: AbortSignal): Promise<void> {
    const box = this.#known.exporters.get(id) as Partial<ReceiptBox> | undefined;
    if (box?.keep === undefined)
      throw new CountersignError("BUG", `service: exporter ${id} cannot keep receipts`);
    const again = this.#beside === undefined ? {} : { again: true as const };
    await box.keep(
      receipts.map((receipt) => ({ ...receipt, ...again })),
      signal,
    );
  }

  connect(known: Known, config: Config): void {
    this.#known = known;
    this.#besideTheWayIn = besideTheWayIn(config);
    this.#receipts = config.receipts;
    this.#deadLetter = config.deadLetter;
    this.#quarantine = config.quarantine;
  }

  enter(phase: ServiceHealth["phase"]): void {
    this.#phase = phase;
  }

  health(): ServiceHealth {
    return { phase: this.#phase, components: this.#states, beside: this.#besideTheWayIn };
  }

  #box(name: string, idOf: () => string | undefined): LetterBox {
    const counter = this.metrics.counter(
      name === "quarantine" ? "quarantined_items" : "dead_letter_items",
      "Items kept aside, with a reason.",
    );
    return {
      deposit: async (letters, signal) => {
        if (letters.length === 0) return;
        const id = idOf();
        const exporter = id === undefined ? undefined : this.#known.exporters.get(id);
        const box = exporter as Partial<LetterBox> | undefined;
        if (box?.deposit === undefined) {
          throw new CountersignError(
            "UNAVAILABLE",
            `service: no exporter for \`${name}\`; name one in the configuration`,
          );
        }
        await box.deposit(letters, signal);
        counter.add(letters.length);
      },
    };
  }
}
