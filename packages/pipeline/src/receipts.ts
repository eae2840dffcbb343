// Proof of delivery: what was read from a range of a log, and what became of it at each sink.
import type { Component } from "./component.ts";
import type { Consumer, Decisions, Origin } from "./consumer.ts";
import { merkleRoot } from "./merkle-root.ts";

/** What a sink said when it took events over. */
export interface Acknowledgement {
  /** A constant of the exporter: `hec_ack`. Without one: `accepted`. */
  readonly kind: string;
  /** The sink's own number for it. */
  readonly id?: string;
}

/**
 * A range of a log and what became of it at one sink (contract, section 7). `events = delivered + filtered + deadLettered`.
 * Ranges of one sink and partition may overlap, and never gape. Offsets are decimal strings.
 */
export interface Receipt {
  readonly version: 1;
  /** Id of the exporter. */
  readonly sink: string;
  readonly log: string;
  readonly partition: number;
  readonly firstOffset: string;
  /** Included. */
  readonly lastOffset: string;
  /** Events in the range; records that were none are dead letters and are not counted. */
  readonly events: number;
  readonly delivered: number;
  readonly filtered: number;
  readonly deadLettered: number;
  /** RFC 6962 root over the sealed bytes of the range, filtered events included; lower-case hex. */
  readonly root: string;
  /** Format and version: `ecs@9.4.0+1`. */
  readonly mapping?: string;
  readonly acknowledgement: Acknowledgement;
  /** When the receipt was written; ISO 8601, UTC. */
  readonly time: string;
  /** Not by the pipeline: by `replay` or `dlq redrive`, beside it. */
  readonly again?: true;
}

/** Keeps receipts. */
export interface ReceiptBox {
  /** Resolves when they are durable. Rejects UNAVAILABLE when they cannot be: the position in the log then stays. */
  keep(receipts: readonly Receipt[], signal: AbortSignal): Promise<void>;
}

/** What an exporter may say of itself for receipts. */
export interface Receipted {
  /** Format and version of what it writes. */
  readonly mapping?: string;
  /** What the sink said to the batch that was just taken. */
  acknowledgementOf?(batch: Decisions): Acknowledgement | undefined;
}

interface Tally {
  reached: number;
  delivered: number;
  acknowledgement: Acknowledgement | undefined;
}

/** The receipts of one pipeline. */
export interface ReceiptBook {
  /** Stands around an exporter. `within` is what it counts as delivered, `edge` is the whole way there, dead letters included. */
  within(sink: string, exporter: Consumer<Decisions> & Receipted): Consumer<Decisions>;
  edge(sink: string, next: Consumer<Decisions>): Consumer<Decisions>;
  /** Stands at the head of the pipeline: writes the receipts before it says that the batch is taken. */
  head(next: Consumer<Decisions>): Consumer<Decisions>;
}

/** Makes the book of a pipeline that ends in `sinks`. `keeper` tries again without end. */
export function createReceiptBook(
  sinks: ReadonlyMap<string, Receipted>,
  keeper: Consumer<readonly Receipt[]> & Component,
): ReceiptBook {
  // An origin is one object from the head to the exporters: processors copy the batch around it.
  const open = new Map<Origin, Map<string, Tally>>();
  const tallyOf = (batch: Decisions, sink: string): Tally | undefined =>
    batch.origin === undefined ? undefined : open.get(batch.origin)?.get(sink);
  return {
    within: (sink, exporter) => ({
      async consume(batch, signal) {
        const count = (delivered: number): void => {
          const tally = tallyOf(batch, sink);
          if (tally === undefined || delivered <= 0) return;
          tally.delivered += delivered;
          tally.acknowledgement = exporter.acknowledgementOf?.(batch) ?? tally.acknowledgement;
        };
        try {
          await exporter.consume(batch, signal);
          count(batch.events.length);
        } catch (error) {
          const { failed } = error as { failed?: readonly number[] };
          if (failed !== undefined) count(batch.events.length - failed.length);
          throw error;
        }
      },
    }),
    edge: (sink, next) => ({
      async consume(batch, signal) {
        await next.consume(batch, signal);
        const tally = tallyOf(batch, sink);
        if (tally !== undefined) tally.reached += batch.events.length;
      },
    }),
    head: (next) => ({
      async consume(batch, signal) {
        const { origin, events } = batch;
        if (origin === undefined) return await next.consume(batch, signal);
        const tallies = new Map([...sinks.keys()].map((sink) => [sink, newTally()]));
        open.set(origin, tallies);
        try {
          await next.consume(batch, signal);
        } finally {
          open.delete(origin);
        }
        const root = merkleRoot(events.map(({ bytes }) => bytes));
        const receipts = [...tallies].map(([sink, tally]) =>
          receiptOf({ sink, origin, root, events: events.length, tally, by: sinks.get(sink) }),
        );
        await keeper.consume(receipts, signal);
      },
    }),
  };
}

function newTally(): Tally {
  return { reached: 0, delivered: 0, acknowledgement: undefined };
}

function receiptOf(of: {
  sink: string;
  origin: Origin;
  root: string;
  events: number;
  tally: Tally;
  by: Receipted | undefined;
}): Receipt {
  const { sink, origin, root, events, tally, by } = of;
  return {
    version: 1,
    sink,
    log: origin.log,
    partition: origin.partition,
    firstOffset: String(origin.first),
    lastOffset: String(origin.last),
    events,
    delivered: tally.delivered,
    filtered: events - tally.reached,
    deadLettered: tally.reached - tally.delivered,
    root,
    ...(by?.mapping === undefined ? {} : { mapping: by.mapping }),
    acknowledgement: tally.acknowledgement ?? { kind: "accepted" },
    time: new Date().toISOString(),
  };
}
