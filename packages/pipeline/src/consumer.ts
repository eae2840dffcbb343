import type { SealedEvent } from "@countersign/model";
import type { ResourceSpans } from "./otlp-data.ts";

/** Whoever takes batches over. Backpressure, acknowledgement and shutdown rest on this one promise. */
export interface Consumer<Batch> {
  /**
   * Resolves when the callee is responsible for the whole batch: the caller may forget it. A rejection may list `failed`
   * indexes; the rest was accepted. Rejects CANCELLED when `signal` aborts first.
   */
  consume(batch: Batch, signal: AbortSignal): Promise<void>;
}

/** Sealed events. */
export interface Decisions {
  readonly events: readonly SealedEvent[];
  /** Where in a log they came from; batching never joins two origins, so that receipts can name ranges. */
  readonly origin?: Origin;
  /** They were taken over before: read once more for a state that is rebuilt ({@link Rebuilding}), and for nothing else. */
  readonly again?: true;
}

/**
 * Who makes a state of a log, and has to read again what was taken over before its process began, or while another replica
 * read the partition. A receiver that keeps its place asks at each beginning, reads what lacks, marked `again`, and says so.
 */
export interface Rebuilding {
  /** The first position that its state does not hold yet. */
  rebuildFrom(log: string, partition: number): bigint;
  /** The state is as far as the receiver's position: what comes now is new, and time counts. */
  rebuilt(log: string, partition: number): void;
  /** Somebody else reads the partition from now on: nothing that it holds of it can be told any more. */
  released(log: string, partition: number): void;
}

/** A range of positions of a log, end included. */
export interface Origin {
  readonly log: string;
  readonly partition: number;
  readonly first: bigint;
  readonly last: bigint;
  /** Where in the range an event of the batch stands: a dead letter names it. */
  offsetOf?(event: SealedEvent): bigint | undefined;
}

/** Who sent a batch, as the receiver found by a credential. */
export interface SentBy {
  readonly tenant: string;
  /** A name, or a pattern with one `*`. */
  readonly emitter: string;
}

/** Spans as OTLP has them. */
export interface Traces {
  /** Of a batch that has `wire`, read when somebody first asks: rejects INPUT_INVALID then if the bytes are none. */
  readonly resourceSpans: readonly ResourceSpans[];
  /** The same spans as bytes, if that is how they came. */
  readonly wire?: WireSpans;
  /** Absent: the receiver asks for no credential. */
  readonly sentBy?: SentBy;
}

/** Spans as protobuf. */
export interface WireSpans {
  /** Together one `ExportTraceServiceRequest`: it is a repeated field and nothing else, so requests are joined by concatenation. */
  readonly parts: readonly Uint8Array[];
  readonly spans: number;
  /** Throws INPUT_INVALID when the bytes are no request. Whoever takes bytes over without reading them asks first. */
  check(): void;
}

/** Log records: what comes in by the `decisions` signal until `intake` made events of them. */
export interface Logs {
  readonly records: readonly EventCarrier[];
  /** Absent: the receiver asks for no credential. */
  readonly sentBy?: SentBy;
}

/** Of a log record, what may carry a sealed event (contract, section 7). */
export interface EventCarrier {
  /** `event_name`. */
  readonly name: string | undefined;
  /** The attribute that says the event's hash. */
  readonly hash: string | undefined;
  /** Text as UTF-8, or bytes; undefined for a body that is neither. */
  readonly body: Uint8Array | undefined;
}

/** What a pipeline carries, as its name in the configuration says. */
export type Signal = "traces" | "decisions";

/** Batches by kind. `logs` exists only between a receiver and `intake`. */
export interface Batches {
  readonly traces: Traces;
  readonly logs: Logs;
  readonly decisions: Decisions;
}

/** Kind of a batch between two components. */
export type BatchKind = keyof Batches;

/** How many items a batch holds: spans, log records, or events. */
export function countItems(batch: Traces | Logs | Decisions): number {
  if ("events" in batch) return batch.events.length;
  if ("records" in batch) return batch.records.length;
  if (batch.wire !== undefined) return batch.wire.spans;
  let items = 0;
  for (const resource of batch.resourceSpans) {
    for (const scope of resource.scopeSpans ?? []) items += scope.spans?.length ?? 0;
  }
  return items;
}

/** One batch of several: of bytes, if all have them. */
export function joinTraces(batches: readonly Traces[]): Traces {
  const [only] = batches;
  return batches.length === 1 && only !== undefined ? only : new JoinedTraces(batches);
}

class JoinedTraces implements Traces {
  readonly #batches: readonly Traces[];
  readonly wire?: WireSpans;
  readonly sentBy?: SentBy;

  constructor(batches: readonly Traces[]) {
    this.#batches = batches;
    const sentBy = batches[0]?.sentBy;
    if (sentBy !== undefined && batches.every((batch) => isSame(batch.sentBy, sentBy)))
      this.sentBy = sentBy;
    const wires = batches.flatMap(({ wire }) => wire ?? []);
    if (wires.length < batches.length) return;
    this.wire = {
      parts: wires.flatMap(({ parts }) => parts),
      spans: wires.reduce((sum, { spans }) => sum + spans, 0),
      check: () => {
        for (const wire of wires) wire.check();
      },
    };
  }

  get resourceSpans(): readonly ResourceSpans[] {
    return this.#batches.flatMap((batch) => batch.resourceSpans);
  }
}

/** Spans of two senders are nobody's. */
function isSame(one: SentBy | undefined, other: SentBy): boolean {
  return one?.tenant === other.tenant && one.emitter === other.emitter;
}
