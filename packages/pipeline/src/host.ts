import { CountersignError, type Logger } from "@countersign/model";
import type { Component } from "./component.ts";
import type { Config } from "./config.ts";
import type { LetterBox } from "./letters.ts";
import type { Metrics } from "./metrics.ts";
import type { ComponentKind, ComponentState, Runtime, ServiceHealth, ServiceView } from "./spec.ts";

/** What the graph gives to its components. */
export interface Host {
  readonly metrics: Metrics;
  readonly view: ServiceView;
  logger(id: string): Logger;
  runtime(kind: ComponentKind, id: string): Runtime;
  /** Exporters exist before they are known to the others. */
  connect(exporters: ReadonlyMap<string, Component>, config: Config): void;
  enter(phase: ServiceHealth["phase"]): void;
  health(): ServiceHealth;
}

/** Makes the host of one graph. */
export function createHost(options: { metrics: Metrics; logger: (id: string) => Logger }): Host {
  return new GraphHost(options);
}

class GraphHost implements Host {
  readonly metrics: Metrics;
  readonly view: ServiceView;
  readonly #logger: (id: string) => Logger;
  readonly #states = new Map<string, ComponentState>();
  #exporters: ReadonlyMap<string, Component> = new Map();
  #phase: ServiceHealth["phase"] = "starting";
  #deadLetter: string | undefined;
  #quarantine: string | undefined;

  constructor(options: { metrics: Metrics; logger: (id: string) => Logger }) {
    this.metrics = options.metrics;
    this.#logger = options.logger;
    this.view = {
      exporter: (id) => this.#exporters.get(id),
      deadLetters: this.#box("dead_letter", () => this.#deadLetter),
      quarantine: this.#box("quarantine", () => this.#quarantine),
      health: () => this.health(),
    };
  }

  logger(id: string): Logger {
    return this.#logger(id);
  }

  runtime(kind: ComponentKind, id: string): Runtime {
    const key = `${kind} ${id}`;
    return {
      id,
      log: this.#logger(id),
      metrics: this.metrics,
      report: (state) => void this.#states.set(key, state),
      service: this.view,
    };
  }

  connect(exporters: ReadonlyMap<string, Component>, config: Config): void {
    this.#exporters = exporters;
    this.#deadLetter = config.deadLetter;
    this.#quarantine = config.quarantine;
  }

  enter(phase: ServiceHealth["phase"]): void {
    this.#phase = phase;
  }

  health(): ServiceHealth {
    return { phase: this.#phase, components: this.#states };
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
        const exporter = id === undefined ? undefined : this.#exporters.get(id);
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
