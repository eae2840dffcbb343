import { type ArchiveIndex, openIndex } from "@countersign/archive";
import { type Console, createConsole } from "@countersign/console";
import { CountersignError } from "@countersign/model";
import type { Component, ExtensionSpec, Runtime } from "@countersign/pipeline";
import { archiveOf } from "../exporters/archive.ts";
import { tracesOf } from "../exporters/memory.ts";
import { ENDPOINT_SCHEMA, endpointOf, loopbackOnly } from "../listen.ts";

interface Config {
  readonly endpoint: string;
  readonly archive: string;
  readonly traces?: string;
  readonly allowed_hosts: readonly string[];
  readonly token?: string;
}

/** The page. */
export const consoleExtension: ExtensionSpec = {
  kind: "extension",
  type: "console",
  stability: "beta",
  summary:
    "The page: decisions of the archive, and the spans of the memory exporter. Its address, with a token, is printed at start.",
  signals: [],
  config: {
    type: "object",
    additionalProperties: false,
    required: ["archive"],
    properties: {
      endpoint: { ...ENDPOINT_SCHEMA, default: "127.0.0.1:4180" },
      archive: {
        type: "string",
        description: "Id of the archive exporter.",
        examples: ["archive"],
      },
      traces: { type: "string", description: "Id of a memory exporter; absent: no spans." },
      allowed_hosts: {
        type: "array",
        default: [],
        maxItems: 32,
        items: { type: "string", minLength: 1, maxLength: 253 },
        description: "Host names, besides loopback names, under which browsers may ask.",
      },
      token: {
        type: "string",
        pattern: "^[A-Za-z0-9._~-]{16,256}$",
        writeOnly: true,
        description:
          "16 to 256 characters A-Z a-z 0-9 . _ ~ -, from ${env:…} or ${file:…}; absent: made at each start.",
      },
    },
  },
  check: ({ endpoint }: Config) => loopbackOnly(endpoint, ["endpoint"]),
  references: ({ archive, traces }: Config) => [
    { path: ["archive"], id: archive, kind: "exporter", types: ["archive"] },
    ...(traces === undefined
      ? []
      : [{ path: ["traces"], id: traces, kind: "exporter" as const, types: ["memory"] }]),
  ],
  create: (config: Config, runtime) => new ConsoleExtension(config, runtime),
};

class ConsoleExtension implements Component {
  readonly #config: Config;
  readonly #runtime: Runtime;
  #index: ArchiveIndex | undefined;
  #console: Console | undefined;

  constructor(config: Config, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
  }

  /** The address with its token; empty before the start. */
  get url(): string {
    return this.#console?.url ?? "";
  }

  async start(signal: AbortSignal): Promise<void> {
    const { service, id, log } = this.#runtime;
    const archive = archiveOf(service.exporter(this.#config.archive));
    if (archive === undefined)
      throw new CountersignError("BUG", `${id}: ${this.#config.archive} is no archive exporter`);
    const traces =
      this.#config.traces === undefined
        ? undefined
        : tracesOf(service.exporter(this.#config.traces));
    this.#index = await openIndex({ log: archive.log, directory: archive.directory, logger: log });
    const { host, port } = endpointOf(this.#config.endpoint);
    this.#console = createConsole({
      index: this.#index,
      log: archive.log,
      host,
      port,
      allowedHosts: this.#config.allowed_hosts,
      logger: log,
      ...(traces === undefined ? {} : { traces }),
      ...(this.#config.token === undefined ? {} : { token: this.#config.token }),
    });
    await this.#console.start(signal);
  }

  async stop(deadline: AbortSignal): Promise<void> {
    await this.#console?.stop(deadline);
    await this.#index?.close();
    this.#index = undefined;
  }
}
