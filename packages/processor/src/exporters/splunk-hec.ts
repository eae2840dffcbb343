import { CountersignError } from "@countersign/model";
import {
  type Acknowledgement,
  type Component,
  type ConfigFault,
  type Consumer,
  type Decisions,
  DURATION_SCHEMA,
  type ExporterSpec,
  type Receipted,
  type Retried,
  type Runtime,
  throwIfAborted,
} from "@countersign/pipeline";
import type { Format } from "../formats/format.ts";
import { FORMAT_NAMES, FORMATS } from "../formats/formats.ts";
import { checkHttpSink, HTTP_SINK_PROPERTIES, retryOf } from "./http-sink.ts";
import { mapEvents } from "./mapped.ts";
import { Outcome } from "./outcome.ts";
import { type HecEvent, hecEnvelope } from "./splunk/envelope.ts";
import { createHecPush, type HecPush } from "./splunk/push.ts";
import type { SplunkHecConfig } from "./splunk/settings.ts";

const TEXT = { type: "string", minLength: 1, maxLength: 1024 } as const;

/** Events to Splunk's HTTP Event Collector. */
export const splunkHecExporter: ExporterSpec = {
  kind: "exporter",
  type: "splunk_hec",
  stability: "beta",
  summary:
    "Sends events to Splunk's HTTP Event Collector, with indexer acknowledgement if wanted. No idempotency there: dedupe by event_hash.",
  signals: ["decisions"],
  takes: ["decisions"],
  config: {
    type: "object",
    additionalProperties: false,
    required: ["endpoint", "token"],
    properties: {
      ...(HTTP_SINK_PROPERTIES as Record<string, object>),
      endpoint: {
        ...(HTTP_SINK_PROPERTIES["endpoint"] as object),
        description: "Base address of HEC, without /services/collector.",
        examples: ["https://splunk.example:8088"],
      },
      token: {
        type: "string",
        pattern: "^[\\x21-\\x7e]{1,1024}$",
        writeOnly: true,
        description: "Token of HEC, from ${env:…} or ${file:…}.",
        examples: ["${env:SPLUNK_HEC_TOKEN}"],
      },
      index: { ...TEXT, description: "Index to write into. Absent: the token's own." },
      source: { ...TEXT, description: "Splunk's `source`. Absent: the event's own, its emitter." },
      sourcetype: {
        ...TEXT,
        description: "Splunk's `sourcetype`. Absent: `countersign:` and the format.",
      },
      format: {
        enum: FORMAT_NAMES,
        default: "native",
        description: "What `event` holds; native is the sealed event as it is.",
      },
      acknowledge: {
        type: "boolean",
        default: false,
        description:
          "true: done when the indexer has the events (Splunk Enterprise; the token needs indexer acknowledgement). false: done at the 200, before Splunk's pipeline.",
      },
      acknowledge_timeout: {
        ...DURATION_SCHEMA,
        default: "5m",
        description: "How long an indexer may take; then the events are sent again: 5m.",
      },
      max_body: {
        type: "string",
        format: "size",
        default: "1MiB",
        description: "Longest body, before compression: 1MiB.",
      },
      max_events: {
        type: "integer",
        minimum: 1,
        maximum: 10_000,
        default: 1000,
        description: "Events in one request.",
      },
    },
  },
  check: checkSplunk,
  create: (config: SplunkHecConfig, runtime) => new SplunkHecExporter(config, runtime),
};

function checkSplunk(config: SplunkHecConfig): readonly ConfigFault[] {
  const faults = [...checkHttpSink(config)];
  if (/\/services\/collector/.test(new URL(config.endpoint).pathname)) {
    faults.push({
      path: ["endpoint"],
      message: "has the path of HEC in it",
      fix: "write the base address: https://splunk.example:8088",
    });
  }
  return faults;
}

class SplunkHecExporter implements Component, Consumer<Decisions>, Receipted, Retried {
  readonly mapping: string;
  readonly retry: NonNullable<Retried["retry"]>;
  readonly #runtime: Runtime;
  readonly #format: Format;
  readonly #envelope: ReturnType<typeof hecEnvelope>;
  readonly #config: SplunkHecConfig;
  readonly #said = new WeakMap<Decisions, Acknowledgement>();
  readonly #running = new Set<Promise<unknown>>();
  #push: HecPush | undefined;

  constructor(config: SplunkHecConfig, runtime: Runtime) {
    const { format: name, source, index, sourcetype = `countersign:${name}` } = config;
    this.#config = config;
    this.#runtime = runtime;
    this.#format = FORMATS[name];
    this.mapping = this.#format.version;
    this.retry = retryOf(config);
    this.#envelope = hecEnvelope({
      format: this.#format,
      sourcetype,
      ...(source === undefined ? {} : { source }),
      ...(index === undefined ? {} : { index }),
    });
  }

  start(): Promise<void> {
    this.#push ??= createHecPush(this.#config, this.#runtime);
    return Promise.resolve();
  }

  /** Waits for what is under way: whoever sent it stops waiting at `deadline`, and so does this. */
  async stop(deadline: AbortSignal): Promise<void> {
    const push = this.#push;
    this.#push = undefined;
    const cut = (): void => push?.close();
    if (deadline.aborted) cut();
    deadline.addEventListener("abort", cut, { once: true });
    await Promise.allSettled(this.#running);
    deadline.removeEventListener("abort", cut);
    cut();
  }

  async consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal, this.#runtime.id);
    if (this.#push === undefined)
      throw new CountersignError("UNAVAILABLE", `${this.#runtime.id}: not started, or stopped`);
    const sending = this.#send(batch, this.#push, signal);
    this.#running.add(sending);
    try {
      await sending;
    } finally {
      this.#running.delete(sending);
    }
  }

  acknowledgementOf(batch: Decisions): Acknowledgement | undefined {
    return this.#said.get(batch);
  }

  async #send(batch: Decisions, push: HecPush, signal: AbortSignal): Promise<void> {
    const outcome = new Outcome(this.#runtime.id);
    const events: HecEvent[] = [];
    for (const mapped of mapEvents(batch, this.#format, { runtime: this.#runtime, outcome }))
      events.push(this.#envelope(mapped));
    const said = await push.send(events, outcome, signal);
    if (said !== undefined) this.#said.set(batch, said);
    outcome.settle();
  }
}
