// One epoch on its way to the processor: in order, one batch in flight, acknowledged segments deleted behind it.
import type { Logger } from "@countersign/model";
import {
  createEpochReader,
  type EpochReader,
  type JournalRecord,
  type Position,
  type SeqRange,
} from "../epoch-reader.ts";
import type { JournalFs } from "../fs.ts";
import { listSegments, segmentPath } from "../layout.ts";
import type { SegmentHeader } from "../segment.ts";
import { type Cursor, openCursor } from "./cursor.ts";
import { encodedSize, type EncodedRecord, encodeRecord } from "./otlp-logs.ts";
import type { Sender } from "./sender.ts";

/** Contract, section 7. */
const MAX_BATCH_EVENTS = 512;
const MAX_BATCH_BYTES = 1024 * 1024;
/** Room for what surrounds the records of a request. */
const ENVELOPE_BYTES = 8_192;

/** What a shipment needs. */
export interface ShipmentOptions {
  readonly fs: JournalFs;
  readonly epochPath: string;
  readonly sender: Sender;
  readonly log: Logger;
  /** The epoch is being written: how far it may be read. Absent: its process is gone, and all of it may be. */
  limit?(): Position | undefined;
  /** The processor has everything up to `seq`. */
  onAcknowledged(seq: number): void;
  /** Segments before this one were acknowledged and are deleted. */
  onDeleted?(segment: number): void;
  /** Found to be unreadable on the way. Resolves when that is recorded. */
  onLost(lost: readonly SeqRange[]): Promise<void>;
}

/** Ships one epoch. */
export interface Shipment {
  /** Number of the next event to ship, as far as is known. */
  readonly next: number | undefined;
  /**
   * Ships what can be read now; of a live epoch, what is durable at the moment of the call. Rejects as
   * {@link Sender.send} does. One call at a time.
   */
  ship(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

interface Encoded extends EncodedRecord {
  readonly segment: number;
  readonly bytes: number;
}

class EpochShipment implements Shipment {
  private readonly options: ShipmentOptions;
  private readonly cursor: Cursor;
  private readonly reader: EpochReader;
  private readonly buffer: Encoded[] = [];
  private lost: SeqRange[] = [];
  private resource: SegmentHeader | undefined;
  private oldestSegment = 0;

  constructor(options: ShipmentOptions, cursor: Cursor) {
    this.options = options;
    this.cursor = cursor;
    this.reader = createEpochReader({
      fs: options.fs,
      epochPath: options.epochPath,
      live: options.limit !== undefined,
      ...(cursor.next === undefined ? {} : { fromSeq: cursor.next }),
    });
  }

  get next(): number | undefined {
    return this.cursor.next;
  }

  async ship(signal: AbortSignal): Promise<void> {
    const limit = this.options.limit?.();
    if (this.options.limit !== undefined && limit === undefined) return;
    for (;;) {
      await this.fill(limit);
      if (this.buffer.length === 0) return;
      const batch = this.take();
      await this.options.sender.send(batch, this.resource as SegmentHeader, signal);
      // Only now is it out of our hands: what was not taken stays in front.
      this.buffer.splice(0, batch.length);
      const last = batch.at(-1) as Encoded;
      await this.cursor.move(last.seq + 1);
      this.options.onAcknowledged(last.seq);
      await this.deleteBefore(last.segment);
    }
  }

  async close(): Promise<void> {
    await this.reader.close();
    await this.cursor.close();
  }

  private async fill(limit: Position | undefined): Promise<void> {
    await this.reportLost();
    while (this.buffer.length < MAX_BATCH_EVENTS) {
      const step = await this.reader.next(limit);
      if (step === undefined) return;
      this.lost.push(...step.lost);
      for (const record of step.records) {
        const encoded = this.encode(record);
        if (encoded === undefined) this.lost.push({ fromSeq: record.seq, toSeq: record.seq });
        else this.buffer.push(encoded);
      }
      await this.reportLost();
    }
  }

  /** What could not be recorded now is recorded before anything more is sent. */
  private async reportLost(): Promise<void> {
    if (this.lost.length === 0) return;
    await this.options.onLost(this.lost);
    this.lost = [];
  }

  private encode(record: JournalRecord): Encoded | undefined {
    try {
      const encoded = encodeRecord(record.body);
      this.resource ??= this.reader.header ?? resourceOf(record.body);
      return { ...encoded, segment: record.segment, bytes: encodedSize(encoded) };
    } catch {
      this.options.log.error("a record with a valid checksum is no event", { seq: record.seq });
      return undefined;
    }
  }

  private take(): Encoded[] {
    let bytes = ENVELOPE_BYTES;
    let count = 0;
    for (const record of this.buffer) {
      bytes += record.bytes + 1;
      if (count === MAX_BATCH_EVENTS || (count > 0 && bytes > MAX_BATCH_BYTES)) break;
      count += 1;
    }
    return this.buffer.slice(0, count);
  }

  private async deleteBefore(segment: number): Promise<void> {
    if (segment <= this.oldestSegment) return;
    const { fs, epochPath } = this.options;
    await this.cursor.sync();
    for (const index of await listSegments(fs, epochPath)) {
      if (index < segment) await fs.remove(segmentPath(epochPath, index));
    }
    this.oldestSegment = segment;
    this.options.onDeleted?.(segment);
  }
}

/** For an epoch whose segment headers are unreadable; the service was named there alone. */
function resourceOf(body: Uint8Array): SegmentHeader {
  const { data } = JSON.parse(Buffer.from(body).toString("utf8")) as {
    data: { tenant: string; chain: { emitter: string; epoch: string; seq: number; prev: string } };
  };
  const { emitter, epoch, seq, prev } = data.chain;
  return {
    format: 1,
    emitter,
    epoch,
    epochNumber: 0,
    segment: 0,
    firstSeq: seq,
    prev,
    tenant: data.tenant,
    service: { name: "unknown_service" },
    producer: "unknown",
  };
}

/** A shipment of an epoch whose lease we hold. */
export async function createShipment(options: ShipmentOptions): Promise<Shipment> {
  return new EpochShipment(options, await openCursor(options.fs, options.epochPath));
}
