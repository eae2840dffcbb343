import { CountersignError } from "@countersign/model";
import {
  type Acknowledgement,
  type Component,
  type ConfigFault,
  type Consumer,
  type Decisions,
  type ExporterSpec,
  type Receipted,
  type Retried,
  type Runtime,
  sizeBytes,
  throwIfAborted,
} from "@countersign/pipeline";
import type { Format } from "../formats/format.ts";
import { FORMAT_NAMES, FORMATS, type FormatName } from "../formats/formats.ts";
import { cutRequests, deliver, type Verdict } from "./deliver.ts";
import { HEADERS_SCHEMA } from "./headers.ts";
import { createSinkHealth, type SinkHealth } from "./http-failure.ts";
import {
  checkHttpSink,
  createHttpSink,
  HTTP_SINK_PROPERTIES,
  type HttpSink,
  type HttpSinkConfig,
  retryOf,
} from "./http-sink.ts";
import { type Mapped, mapEvents } from "./mapped.ts";
import { Outcome } from "./outcome.ts";
import { readWebhookAnswer } from "./webhook/answer.ts";
import { type BodyForm, bodyForm, webhookBody } from "./webhook/body.ts";
import {
  idempotencyKeyOf,
  SIGNATURE_HEADER,
  signatureOf,
  type SigningKey,
} from "./webhook/signature.ts";

interface Config extends HttpSinkConfig {
  readonly keys: readonly SigningKey[];
  readonly format: FormatName;
  readonly headers: Readonly<Record<string, string>>;
  readonly max_body: string;
  readonly max_events: number;
}

/** Room for what stands around the lines. */
const AROUND_BYTES = 2;

/** Events to any HTTP endpoint. */
export const webhookExporter: ExporterSpec = {
  kind: "exporter",
  type: "webhook",
  stability: "beta",
  summary:
    "Posts events to an HTTP endpoint, signed by HMAC-SHA256: batches of CloudEvents, arrays of other JSON formats, or lines.",
  signals: ["decisions"],
  takes: ["decisions"],
  config: {
    type: "object",
    additionalProperties: false,
    required: ["endpoint", "keys"],
    properties: {
      ...(HTTP_SINK_PROPERTIES as Record<string, object>),
      endpoint: {
        ...(HTTP_SINK_PROPERTIES["endpoint"] as object),
        description: "Where to post, with its path.",
        examples: ["https://soc.example/hooks/countersign"],
      },
      compression: {
        enum: ["gzip", "none"],
        default: "none",
        description: "Of what is sent. The signature is over the body before it.",
      },
      keys: {
        type: "array",
        minItems: 1,
        maxItems: 2,
        description: "Keys that sign: one, or two while one is replaced by the other.",
        examples: [[{ id: "2026q4", secret: "${env:WEBHOOK_SECRET}" }]],
        items: {
          type: "object",
          additionalProperties: false,
          required: ["id", "secret"],
          properties: {
            id: {
              type: "string",
              pattern: "^(?![vt]$)[A-Za-z0-9_-]{1,32}$",
              description: "Name of the key in the signature.",
              examples: ["2026q4"],
            },
            secret: {
              type: "string",
              minLength: 32,
              maxLength: 1024,
              writeOnly: true,
              description: "At least 32 characters, random; from ${env:…} or ${file:…}.",
            },
          },
        },
      },
      format: {
        enum: FORMAT_NAMES,
        default: "native",
        description: "native: the sealed events, which are CloudEvents.",
      },
      headers: HEADERS_SCHEMA,
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
  check: checkWebhook,
  create: (config: Config, runtime) => new WebhookExporter(config, runtime),
};

function checkWebhook(config: Config): readonly ConfigFault[] {
  const faults = [...checkHttpSink(config, { query: "allowed" })];
  const [first, second] = config.keys;
  if (first?.id === second?.id) {
    const fix = "give the new key a name of its own";
    faults.push({ path: ["keys"], message: "has two keys of one name", fix });
  }
  return faults;
}

class WebhookExporter implements Component, Consumer<Decisions>, Receipted, Retried {
  readonly mapping: string;
  readonly retry: NonNullable<Retried["retry"]>;
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #health: SinkHealth;
  readonly #format: Format;
  readonly #form: BodyForm;
  readonly #said = new WeakMap<Decisions, Acknowledgement>();
  readonly #running = new Set<Promise<void>>();
  #sink: HttpSink | undefined;

  constructor(config: Config, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    this.#health = createSinkHealth(runtime);
    this.#format = FORMATS[config.format];
    this.#form = bodyForm(config.format, this.#format);
    this.mapping = this.#format.version;
    this.retry = retryOf(config);
  }

  start(): Promise<void> {
    this.#sink ??= createHttpSink({
      config: this.#config,
      runtime: this.#runtime,
      health: this.#health,
    });
    return Promise.resolve();
  }

  /** Waits for what is under way; every request has a time limit, and `deadline` cuts it. */
  async stop(deadline: AbortSignal): Promise<void> {
    const sink = this.#sink;
    this.#sink = undefined;
    const cut = (): void => sink?.close();
    if (deadline.aborted) cut();
    deadline.addEventListener("abort", cut, { once: true });
    await Promise.allSettled(this.#running);
    deadline.removeEventListener("abort", cut);
    cut();
  }

  async consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal, this.#runtime.id);
    if (this.#sink === undefined)
      throw new CountersignError("UNAVAILABLE", `${this.#runtime.id}: not started, or stopped`);
    const sending = this.#deliver(batch, this.#sink, signal);
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

  async #deliver(batch: Decisions, sink: HttpSink, signal: AbortSignal): Promise<void> {
    const outcome = new Outcome(this.#runtime.id);
    const events = mapEvents(batch, this.#format, { runtime: this.#runtime, outcome });
    const requests = cutRequests(events, {
      maxBytes: sizeBytes(this.#config.max_body) - AROUND_BYTES,
      maxEvents: this.#config.max_events,
      sizeOf: ({ line }) => line.length + 1,
    });
    await deliver(requests, outcome, async (some) => {
      const { verdict, id } = await this.#post(some, sink, signal);
      if (verdict.kind === "taken") this.#said.set(batch, { kind: "webhook_2xx", id });
      return verdict;
    });
    outcome.settle();
  }

  async #post(
    events: readonly Mapped[],
    sink: HttpSink,
    signal: AbortSignal,
  ): Promise<{ verdict: Verdict; id: string }> {
    const { headers, keys } = this.#config;
    const body = webhookBody(events, this.#form);
    const sealed = events.map(({ event }) => event);
    const id = idempotencyKeyOf(sealed, this.mapping);
    const answer = await sink.send({
      path: "",
      headers: {
        ...headers,
        "content-type": this.#form.contentType,
        "idempotency-key": `"${id}"`,
        [SIGNATURE_HEADER]: signatureOf(body, keys),
      },
      parts: [body],
      signal,
    });
    const verdict = readWebhookAnswer(answer, this.#health);
    if (verdict.kind === "taken") this.#health.well();
    return { verdict, id };
  }
}
