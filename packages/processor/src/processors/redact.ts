import { MCP_ALLOWLIST } from "@countersign/model";
import type { Component, Consumer, ProcessorSpec, Runtime, Traces } from "@countersign/pipeline";
import { createScrubber, type RedactKind, type Scrubber } from "./scrub-text.ts";
import { scrubTraces } from "./scrub-traces.ts";

interface Config {
  readonly preset?: "mcp";
  readonly allow: readonly string[];
  readonly action: "drop" | "mask";
}

/** An allowlist of attributes, then detectors over what is left. */
export const redactProcessor: ProcessorSpec = {
  kind: "processor",
  type: "redact",
  stability: "beta",
  summary:
    "Drops every attribute that is not allowed, then takes card numbers, e-mails, keys and the like out of the rest.",
  signals: ["traces"],
  takes: "traces",
  gives: "traces",
  config: {
    type: "object",
    additionalProperties: false,
    properties: {
      preset: {
        enum: ["mcp"],
        description:
          "mcp allows what Countersign's own spans carry below opt-in, and service.*, telemetry.*, otel.*.",
      },
      allow: {
        type: "array",
        default: [],
        maxItems: 512,
        uniqueItems: true,
        items: { type: "string", minLength: 1, maxLength: 128 },
        description: "More attribute keys that may pass, exactly.",
      },
      action: {
        enum: ["drop", "mask"],
        default: "mask",
        description:
          "What a hit becomes: [card] in its place (mask), or nothing at all of the value (drop).",
      },
    },
  },
  check: ({ preset, allow }: Config) =>
    preset === undefined && allow.length === 0
      ? [
          {
            path: [],
            message: "nothing is allowed, so every attribute would be dropped",
            fix: "add `preset: mcp`, or keys to `allow`",
          },
        ]
      : [],
  create: (config: Config, runtime, next) => new Redact(config, runtime, next),
};

class Redact implements Component, Consumer<Traces> {
  readonly #scrubber: Scrubber;
  readonly #next: Consumer<Traces>;

  constructor(config: Config, runtime: Runtime, next: Consumer<Traces>) {
    const preset =
      config.preset === "mcp" ? MCP_ALLOWLIST : { keys: new Set<string>(), prefixes: [] };
    this.#scrubber = createScrubber({
      keys: new Set([...preset.keys, ...config.allow]),
      prefixes: preset.prefixes,
      action: config.action,
      count: (kind, amount) => countKind(runtime, kind, amount),
    });
    this.#next = next;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  async consume(batch: Traces, signal: AbortSignal): Promise<void> {
    await this.#next.consume(scrubTraces(batch, this.#scrubber), signal);
  }
}

function countKind({ metrics, id }: Runtime, kind: RedactKind, amount: number): void {
  const help = "Values taken out, by why: a detector, or a member that is not allowed.";
  metrics.counter("processor_redacted_items", help, { processor: id, kind }).add(amount);
}
