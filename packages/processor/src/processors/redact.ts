import { type AttributeAllowlist, CountersignError, MCP_ALLOWLIST } from "@countersign/model";
import type {
  Component,
  ConfigFault,
  Consumer,
  ProcessorSpec,
  Runtime,
  Traces,
} from "@countersign/pipeline";
import { wireOf, wireTraces } from "../otlp/wire-traces.ts";
import { createAllowedKeys } from "./allowed-keys.ts";
import { createPseudonym, MIN_PSEUDONYM_KEY_BYTES, type PseudonymConfig } from "./pseudonym.ts";
import { type ScrubRules, scrubWire } from "./scrub-wire.ts";
import type { RedactKind } from "./scrub-words.ts";

interface Config {
  readonly preset?: "mcp";
  readonly allow: readonly string[];
  readonly action: "drop" | "mask";
  readonly pseudonymise?: PseudonymConfig;
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
        examples: ["mcp"],
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
      pseudonymise: {
        type: "object",
        additionalProperties: false,
        required: ["attributes", "key", "kid"],
        description:
          "Attributes that pass as pseudonyms: the same value has the same one as long as the key stays.",
        properties: {
          attributes: {
            type: "array",
            minItems: 1,
            maxItems: 64,
            uniqueItems: true,
            items: { type: "string", minLength: 1, maxLength: 128 },
            description: "Their keys, exactly. They need not be in `allow`.",
          },
          key: {
            type: "string",
            maxLength: 4096,
            writeOnly: true,
            description:
              "Secret of at least 32 bytes, from ${file:…} or ${env:…}: openssl rand -base64 32.",
          },
          kid: {
            type: "string",
            pattern: "^[A-Za-z0-9_-]{1,32}$",
            description:
              "Name of the key, seen in every pseudonym: ps1.<kid>.…; new key, new name.",
          },
        },
      },
    },
  },
  check: faultsOf,
  create: (config: Config, runtime, next) => new Redact(config, runtime, next),
};

class Redact implements Component, Consumer<Traces> {
  readonly #rules: ScrubRules;
  readonly #runtime: Runtime;
  readonly #next: Consumer<Traces>;

  constructor(config: Config, runtime: Runtime, next: Consumer<Traces>) {
    this.#rules = rulesOf(config);
    this.#runtime = runtime;
    this.#next = next;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  async consume(batch: Traces, signal: AbortSignal): Promise<void> {
    const { bytes, spans, counts } = scrubWire(wireOf(batch), this.#rules);
    for (const [kind, amount] of counts) countKind(this.#runtime, kind, amount);
    await this.#next.consume(wireTraces(bytes, { checked: { spans } }), signal);
  }
}

function rulesOf({ preset, allow, pseudonymise, action }: Config): ScrubRules {
  const { keys, prefixes } = preset === "mcp" ? MCP_ALLOWLIST : NOTHING;
  return {
    keys: createAllowedKeys({
      pass: [...keys, ...allow],
      pseudonymise: pseudonymise?.attributes ?? [],
    }),
    prefixes: prefixes.map((prefix) => Buffer.from(prefix, "utf8")),
    pseudonym: pseudonymise === undefined ? withoutKey : createPseudonym(pseudonymise),
    action,
  };
}

const NOTHING: AttributeAllowlist = { keys: new Set(), prefixes: [] };

/** No attribute asks for a pseudonym then. */
function withoutKey(): never {
  throw new CountersignError("BUG", "redact: a pseudonym without a key");
}

function faultsOf({ preset, allow, pseudonymise }: Config): readonly ConfigFault[] {
  const faults: ConfigFault[] = [];
  if (preset === undefined && allow.length === 0 && pseudonymise === undefined) {
    faults.push({
      path: [],
      message: "nothing is allowed, so every attribute would be dropped",
      fix: "add `preset: mcp`, or keys to `allow`",
    });
  }
  if (pseudonymise !== undefined && Buffer.byteLength(pseudonymise.key) < MIN_PSEUDONYM_KEY_BYTES) {
    faults.push({
      path: ["pseudonymise", "key"],
      message: `the key is shorter than ${MIN_PSEUDONYM_KEY_BYTES} bytes: who tries all values finds the people`,
      fix: "make one with `openssl rand -base64 32` and name its file: ${file:/path}",
    });
  }
  return faults;
}

function countKind({ metrics, id }: Runtime, kind: RedactKind, amount: number): void {
  const help = "Values taken out, by why: a detector, or a member that is not allowed.";
  metrics.counter("processor_redacted_items", help, { processor: id, kind }).add(amount);
}
