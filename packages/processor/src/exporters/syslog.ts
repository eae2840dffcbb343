import { CountersignError, errorCode, type SealedEvent } from "@countersign/model";
import {
  type Acknowledgement,
  type Component,
  type Consumer,
  type Decisions,
  durationMs,
  type ExporterSpec,
  limitConcurrency,
  type Receipted,
  type Runtime,
  sizeBytes,
  throwIfAborted,
} from "@countersign/pipeline";
import type { Format } from "../formats/format.ts";
import { FORMATS } from "../formats/formats.ts";
import { SettingError } from "../setting-error.ts";
import { createSinkHealth, haltedBy, type SinkHealth } from "./http-failure.ts";
import { Outcome } from "./outcome.ts";
import { createClosingDelivery, createDrainingDelivery, type Delivery } from "./syslog/delivery.ts";
import { octetCounted, syslogMessage } from "./syslog/message.ts";
import { refusalOf } from "./syslog/refusal.ts";
import { checkSyslog, SYSLOG_SCHEMA, type SyslogConfig } from "./syslog/settings.ts";
import { createTarget, type TargetSource } from "./syslog/target.ts";

/** Events to a syslog receiver. */
export const syslogExporter: ExporterSpec = {
  kind: "exporter",
  type: "syslog",
  stability: "beta",
  summary:
    "Sends events as syslog messages (RFC 5424, octet counting) over TLS or TCP. Nothing is acknowledged by the protocol: see `confirm`.",
  signals: ["decisions"],
  takes: ["decisions"],
  config: SYSLOG_SCHEMA,
  check: (config: SyslogConfig) => checkSyslog(config, sizeBytes),
  create: (config: SyslogConfig, runtime) => new SyslogExporter(config, runtime),
};

/** Frames that are sent and confirmed together: what `timeout` is for, and what is sent again when it fails. */
const MAX_PART_BYTES = 1_048_576;

interface Part {
  readonly indexes: number[];
  readonly frames: Uint8Array[];
  bytes: number;
}

class SyslogExporter implements Component, Consumer<Decisions>, Receipted {
  readonly mapping: string;
  readonly #config: SyslogConfig;
  readonly #runtime: Runtime;
  readonly #format: Format;
  readonly #maxBytes: number;
  readonly #health: SinkHealth;
  readonly #target: TargetSource;
  readonly #limited: Consumer<Decisions>;
  readonly #running = new Set<Promise<unknown>>();
  readonly #cut = new AbortController();
  #delivery: Delivery | undefined;

  constructor(config: SyslogConfig, runtime: Runtime) {
    this.#config = config;
    this.#runtime = runtime;
    this.#format = FORMATS[config.format];
    this.mapping = this.#format.version;
    this.#maxBytes = sizeBytes(config.max_message);
    this.#health = createSinkHealth(runtime);
    this.#target = createTarget(config, runtime.files);
    this.#limited = limitConcurrency<Decisions>(
      { consume: (batch, signal) => this.#send(batch, signal) },
      { id: runtime.id, concurrency: config.max_in_flight },
    );
  }

  /** Nothing is connected yet: a receiver that is away does not keep the service from starting. */
  async start(): Promise<void> {
    const { confirm, settle, timeout, connect_timeout } = this.#config;
    const create = confirm === "close" ? createClosingDelivery : createDrainingDelivery;
    this.#target.current();
    this.#delivery = create({
      target: this.#target,
      connectTimeoutMs: durationMs(connect_timeout),
      timeoutMs: durationMs(timeout),
      settleMs: durationMs(settle),
    });
  }

  /** Waits for what is under way; at the deadline it is given up, and its sender is told. */
  async stop(deadline: AbortSignal): Promise<void> {
    const delivery = this.#delivery;
    this.#delivery = undefined;
    const cut = (): void => this.#cut.abort();
    deadline.addEventListener("abort", cut, { once: true });
    if (deadline.aborted) cut();
    await Promise.allSettled(this.#running);
    deadline.removeEventListener("abort", cut);
    delivery?.close();
  }

  /** What no receiver is known to have is `failed`; what is too long for a message, or for the format, is so for good. */
  async consume(batch: Decisions, signal: AbortSignal): Promise<void> {
    throwIfAborted(signal, this.#runtime.id);
    const sending = this.#limited.consume(batch, AbortSignal.any([signal, this.#cut.signal]));
    const settled = sending.catch(() => undefined);
    this.#running.add(settled);
    void settled.finally(() => this.#running.delete(settled));
    await sending;
  }

  acknowledgementOf(): Acknowledgement {
    return { kind: this.#config.confirm === "close" ? "connection_closed" : "drained" };
  }

  async #send({ events }: Decisions, signal: AbortSignal): Promise<void> {
    const delivery = this.#delivery;
    if (delivery === undefined)
      throw new CountersignError("UNAVAILABLE", `${this.#runtime.id}: not started, or stopped`);
    const outcome = new Outcome(this.#runtime.id);
    const parts = this.#parts(events, outcome);
    // One after the other, and none after one that failed: events stay in order.
    for (const [nth, { frames }] of parts.entries()) {
      try {
        await this.#deliver(delivery, Buffer.concat(frames), signal);
      } catch (error) {
        const rest = parts.slice(nth).flatMap(({ indexes }) => indexes);
        outcome.fail(rest, error);
        break;
      }
    }
    outcome.settle();
  }

  async #deliver(delivery: Delivery, frames: Uint8Array, signal: AbortSignal): Promise<void> {
    try {
      await delivery.deliver(frames, signal);
      this.#health.well();
    } catch (error) {
      throwIfAborted(signal, this.#runtime.id);
      this.#target.forget();
      if (error instanceof SettingError) throw haltedBy(this.#health, error.message);
      throw refusalOf(error, this.#health);
    }
  }

  #parts(events: readonly SealedEvent[], outcome: Outcome): readonly Part[] {
    const parts: Part[] = [];
    for (const [index, event] of events.entries()) {
      const frame = this.#frame(event, index, outcome);
      if (frame === undefined) continue;
      let part = parts.at(-1);
      if (part === undefined || part.bytes + frame.length > MAX_PART_BYTES)
        parts.push((part = { indexes: [], frames: [], bytes: 0 }));
      part.indexes.push(index);
      part.frames.push(frame);
      part.bytes += frame.length;
    }
    return parts;
  }

  #frame(event: SealedEvent, index: number, outcome: Outcome): Uint8Array | undefined {
    const line = this.#line(event, index, outcome);
    if (line === undefined) return undefined;
    const message = syslogMessage(event, line, {
      facility: this.#config.facility,
      hostname: this.#config.hostname,
      appName: this.#config.app_name,
      enterpriseNumber: this.#config.enterprise_number,
      bom: this.#config.bom,
    });
    if (message.length <= this.#maxBytes) return octetCounted(message);
    outcome.refuse(index, "too_large");
    return undefined;
  }

  #line(event: SealedEvent, index: number, outcome: Outcome): Uint8Array | undefined {
    try {
      const line = this.#format.line(event);
      if (line === undefined) this.#countUnmapped();
      return line;
    } catch (error) {
      if (errorCode(error) !== "INPUT_INVALID") throw error;
      outcome.refuse(index, "not_mappable");
      return undefined;
    }
  }

  #countUnmapped(): void {
    const help = "Events of kinds that the format has no place for; not written.";
    this.#runtime.metrics
      .counter("exporter_unmapped_log_records", help, { exporter: this.#runtime.id })
      .add();
  }
}
