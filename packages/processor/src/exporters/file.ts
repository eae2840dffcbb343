import { CountersignError, errorCode, type SealedEvent } from "@countersign/model";
import {
  type Component,
  type Consumer,
  type Decisions,
  type ExporterSpec,
  type Letter,
  type LetterBox,
  parseComponentId,
  type Receipt,
  type ReceiptBox,
  type Runtime,
  sizeBytes,
  throwIfAborted,
} from "@countersign/pipeline";
import type { Format } from "../formats/format.ts";
import { FORMAT_NAMES, FORMATS, type FormatName } from "../formats/formats.ts";
import { letterLine, receiptLine } from "./letter-line.ts";
import { type LineFile, openLineFile } from "./line-file.ts";

interface Config {
  readonly directory: string;
  readonly format: FormatName;
  readonly mode: string;
  readonly max_file_size: string;
}

/** Events as lines, in any format. */
export const fileExporter: ExporterSpec = {
  kind: "exporter",
  type: "file",
  stability: "beta",
  summary:
    "Appends events to files, a line each, in any format. Keeps dead letters, quarantine and receipts.",
  signals: ["decisions"],
  takes: ["decisions"],
  keepsLetters: true,
  keepsReceipts: true,
  config: {
    type: "object",
    additionalProperties: false,
    required: ["directory", "format"],
    properties: {
      directory: {
        type: "string",
        minLength: 1,
        description: "A directory on a local disk.",
        examples: ["/var/lib/countersign/out"],
      },
      format: {
        enum: FORMAT_NAMES,
        description: "native keeps the sealed bytes; the others are for a SIEM.",
      },
      mode: {
        type: "string",
        pattern: "^0[0-7]{3}$",
        default: "0600",
        description: 'Permission bits in quotes: "0600", "0640".',
      },
      max_file_size: {
        type: "string",
        format: "size",
        default: "64MiB",
        description: "A new file is started beyond it: 64MiB.",
      },
    },
  },
  create: (config: Config, runtime) => new FileExporter(config, runtime),
};

class FileExporter implements Component, Consumer<Decisions>, LetterBox, ReceiptBox {
  readonly #config: Config;
  readonly #runtime: Runtime;
  readonly #format: Format;
  #file: LineFile | undefined;

  constructor(config: Config, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    this.#format = FORMATS[config.format];
  }

  async start(): Promise<void> {
    const { id, beside } = this.#runtime;
    const parsed = parseComponentId(id);
    const base = parsed?.name ?? parsed?.type ?? "file";
    this.#file = await openLineFile({
      id,
      directory: this.#config.directory,
      base: beside === undefined ? base : `${base}.${beside}`,
      mode: Number.parseInt(this.#config.mode, 8),
      maxBytes: sizeBytes(this.#config.max_file_size),
    });
  }

  async stop(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }

  /** Rejects REJECTED for events that the format cannot express validly; the others are written. */
  async consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal, this.#runtime.id);
    const lines: Uint8Array[] = [];
    const failed: number[] = [];
    for (const [index, event] of batch.events.entries()) {
      const line = this.#line(event);
      if (line === "invalid") failed.push(index);
      else if (line !== undefined) lines.push(line);
    }
    await this.#append(lines);
    if (failed.length === 0) return;
    throw new CountersignError(
      "REJECTED",
      `${this.#runtime.id}: ${failed.length} events cannot be written as ${this.#format.version}`,
      { failed },
    );
  }

  async deposit(letters: readonly Letter[], signal: AbortSignal): Promise<void> {
    throwIfAborted(signal, this.#runtime.id);
    await this.#append(letters.map(letterLine));
  }

  async keep(receipts: readonly Receipt[], signal: AbortSignal): Promise<void> {
    throwIfAborted(signal, this.#runtime.id);
    await this.#append(receipts.map(receiptLine));
  }

  #line(event: SealedEvent): Uint8Array | undefined | "invalid" {
    try {
      const line = this.#format.line(event);
      if (line === undefined) this.#countUnmapped();
      return line;
    } catch (error) {
      if (errorCode(error) !== "INPUT_INVALID") throw error;
      return "invalid";
    }
  }

  #countUnmapped(): void {
    const help = "Events of kinds that the format has no place for; not written.";
    this.#runtime.metrics
      .counter("exporter_unmapped_log_records", help, { exporter: this.#runtime.id })
      .add();
  }

  async #append(lines: readonly Uint8Array[]): Promise<void> {
    if (this.#file === undefined) {
      throw new CountersignError("UNAVAILABLE", `${this.#runtime.id}: not started, or stopped`);
    }
    try {
      await this.#file.append(lines);
      this.#runtime.report({ state: "ok" });
    } catch (error) {
      this.#runtime.report({ state: "failed", detail: "the disk takes no bytes" });
      throw error;
    }
  }
}
