import { CountersignError, errorCode, type SealedEvent } from "@countersign/model";
import {
  type Component,
  type Consumer,
  type Decisions,
  DURATION_SCHEMA,
  durationMs,
  type ExporterSpec,
  type Letter,
  type LetterBox,
  parseComponentId,
  type Queryable,
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
import { filesOf, lineEvent, linesOf } from "./line-search.ts";

interface Config {
  readonly directory: string;
  readonly format: FormatName;
  readonly mode: string;
  readonly max_file_size: string;
  readonly rotate_every?: string;
  readonly max_files?: number;
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
      rotate_every: {
        ...DURATION_SCHEMA,
        description:
          "The first line after this time starts a new file: 24h. Absent: only the size counts.",
      },
      max_files: {
        type: "integer",
        minimum: 1,
        maximum: 1_000_000,
        description:
          "Files that may be there; then lines are refused until some are moved away. Nothing is ever deleted. Absent: no limit.",
      },
    },
  },
  create: (config: Config, runtime) => new FileExporter(config, runtime),
};

class FileExporter implements Component, Consumer<Decisions>, LetterBox, ReceiptBox, Queryable {
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
    const { max_file_size, rotate_every, max_files } = this.#config;
    const base = this.#base();
    this.#file = await openLineFile({
      id,
      directory: this.#config.directory,
      base: beside === undefined ? base : `${base}.${beside}`,
      mode: Number.parseInt(this.#config.mode, 8),
      maxBytes: sizeBytes(max_file_size),
      ...(rotate_every === undefined ? {} : { maxAgeMs: durationMs(rotate_every) }),
      ...(max_files === undefined ? {} : { maxFiles: max_files }),
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

  /** Reads every file: a line is there, or it is not. */
  async missing(events: readonly SealedEvent[], signal: AbortSignal): Promise<readonly number[]> {
    const wanted = new Map<string, number[]>();
    for (const [index, event] of events.entries()) {
      const line = this.#mapped(event);
      if (line === undefined || line === "invalid") continue;
      const text = Buffer.from(line).toString("utf8");
      wanted.set(text, [...(wanted.get(text) ?? []), index]);
    }
    for await (const line of this.#lines(signal)) {
      wanted.delete(line);
      if (wanted.size === 0) break;
    }
    return [...wanted.values()].flat().toSorted((a, b) => a - b);
  }

  async *held(
    { fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number },
    signal: AbortSignal,
  ): AsyncIterable<string> {
    for await (const line of this.#lines(signal)) {
      const event = lineEvent(this.#config.format, line);
      if (event !== undefined && event.timeMs >= fromMs && event.timeMs < untilMs) yield event.id;
    }
  }

  /** Of the service's files and of those beside it, whoever of them asks. */
  async *#lines(signal: AbortSignal): AsyncIterable<string> {
    const { id } = this.#runtime;
    if (this.#file === undefined)
      throw new CountersignError("UNAVAILABLE", `${id}: not started, or stopped`);
    for await (const line of linesOf(await filesOf(this.#config.directory, this.#base(), id), id)) {
      throwIfAborted(signal, id);
      yield line;
    }
  }

  #base(): string {
    const parsed = parseComponentId(this.#runtime.id);
    return parsed?.name ?? parsed?.type ?? "file";
  }

  #line(event: SealedEvent): Uint8Array | undefined | "invalid" {
    const line = this.#mapped(event);
    if (line === undefined) this.#countUnmapped();
    return line;
  }

  #mapped(event: SealedEvent): Uint8Array | undefined | "invalid" {
    try {
      return this.#format.line(event);
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
