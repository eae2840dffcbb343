// Reads an epoch's records in order, whatever state its files are in: recovery, shipper and `tail` all read through
// this. The rule (and the only one): bad bytes with a valid frame after them, or in a segment that is not the last, are
// damage to something that was durable; bad bytes at the very end of the last segment are a torn write.
import { decodeFrame, findFrame } from "./frames.ts";
import type { JournalFile, JournalFs } from "./fs.ts";
import { listSegments, segmentPath } from "./layout.ts";
import { readHeader, type SegmentHeader } from "./segment.ts";
import { readRange } from "./read-range.ts";
import { MAX_FRAME_BYTES, SegmentWindows, WINDOW_BYTES } from "./segment-windows.ts";

/** One record as it is on the disk. */
export interface JournalRecord {
  readonly seq: number;
  /** The sealed bytes. */
  readonly body: Uint8Array;
  readonly segment: number;
  readonly offset: number;
}

/** Sequence numbers, both included. */
export interface SeqRange {
  readonly fromSeq: number;
  readonly toSeq: number;
}

/** Bytes at the end of the last segment that are no frame. */
export interface TornTail {
  readonly segment: number;
  readonly offset: number;
  readonly bytes: number;
}

/** Something an epoch holds. */
interface Step {
  readonly records: readonly JournalRecord[];
  /** Durable once, unreadable now. */
  readonly lost: readonly SeqRange[];
  /** Bytes were damaged, whether or not a record is missing. */
  readonly damaged: boolean;
  readonly torn?: TornTail;
}

/** How far the bytes are known to be durable; nothing after it is read. */
export interface Position {
  readonly segment: number;
  readonly offset: number;
}

/** Reads on from where the last call ended. */
export interface EpochReader {
  /** Next records, in order; undefined when there is nothing more (yet). After a rejection the next call reads the same again. */
  next(limit?: Position): Promise<Step | undefined>;
  /** Header of the segment being read. */
  readonly header: SegmentHeader | undefined;
  close(): Promise<void>;
}

/** What to read. */
export interface EpochReaderOptions {
  readonly fs: JournalFs;
  readonly epochPath: string;
  /** Skip what is before; a gap right after it counts as lost. */
  readonly fromSeq?: number;
  /** The writer may live: an incomplete end is not judged, and later calls may find more. */
  readonly live?: boolean;
}

interface OpenFile {
  readonly file: JournalFile;
  readonly windows: SegmentWindows;
  readonly index: number;
  offset: number;
  /** Once it is known not to grow any more. */
  size: number | undefined;
}

class SegmentedEpochReader implements EpochReader {
  header: SegmentHeader | undefined;
  private readonly fs: JournalFs;
  private readonly epochPath: string;
  private readonly fromSeq: number;
  private readonly live: boolean;
  private expected: number | undefined;
  private open: OpenFile | undefined;
  private lastIndex = -1;
  /** Where to go on after an error. */
  private resume: Position | undefined;
  private finished = false;

  constructor(options: EpochReaderOptions) {
    this.fs = options.fs;
    this.epochPath = options.epochPath;
    this.fromSeq = options.fromSeq ?? 0;
    this.live = options.live ?? false;
  }

  async next(limit?: Position): Promise<Step | undefined> {
    while (!this.finished) {
      const { expected, lastIndex, open, resume } = this;
      const place = open && { segment: open.index, offset: open.offset };
      try {
        const lost: SeqRange[] = [];
        if (this.open === undefined && !(await this.openNext(limit, lost))) return undefined;
        const step = await this.readStep(this.open as OpenFile, limit, lost);
        if (step === undefined) return undefined;
        if (step.records.length > 0 || step.lost.length > 0 || step.damaged || step.torn) {
          return step;
        }
      } catch (error) {
        // What was read and not handed out is read again; else the next call would go on after it.
        await this.closeFile().catch(() => undefined);
        this.expected = expected;
        this.lastIndex = place === undefined ? lastIndex : place.segment - 1;
        this.resume = place ?? resume;
        this.finished = false;
        throw error;
      }
    }
    return undefined;
  }

  async close(): Promise<void> {
    this.finished = true;
    await this.closeFile();
  }

  private async closeFile(): Promise<void> {
    const { open } = this;
    this.open = undefined;
    await open?.windows.idle();
    await open?.file.close();
  }

  private async hasSegmentAfter(index: number): Promise<boolean> {
    return (await listSegments(this.fs, this.epochPath)).some((n) => n > index);
  }

  private async openNext(limit: Position | undefined, lost: SeqRange[]): Promise<boolean> {
    const index = (await listSegments(this.fs, this.epochPath)).find((n) => n > this.lastIndex);
    if (index === undefined || (limit !== undefined && index > limit.segment)) return false;
    const file = await this.fs.open(segmentPath(this.epochPath, index), "read");
    const found = await readHeader(file).catch(async (error: unknown) => {
      await file.close();
      throw error;
    });
    if (found !== undefined) {
      this.header = found.header;
      this.expectFrom(found.header.firstSeq, lost);
    } else if (index === 0) {
      // Its header is unreadable, but the first segment begins at 0 by its name.
      this.expectFrom(0, lost);
    }
    const offset = this.resume?.segment === index ? this.resume.offset : (found?.end ?? 0);
    this.open = { file, windows: new SegmentWindows(file), index, offset, size: undefined };
    this.resume = undefined;
    this.lastIndex = index;
    return true;
  }

  /** A segment says where it begins: whatever should have come before and did not is lost. */
  private expectFrom(firstSeq: number, lost: SeqRange[]): void {
    this.expected ??= Math.min(firstSeq, this.fromSeq === 0 ? firstSeq : this.fromSeq);
    if (firstSeq > this.expected) this.skipTo(firstSeq, lost);
  }

  private skipTo(seq: number, lost: SeqRange[]): void {
    const fromSeq = Math.max(this.expected ?? seq, this.fromSeq);
    if (fromSeq < seq) lost.push({ fromSeq, toSeq: seq - 1 });
    this.expected = seq;
  }

  private async readStep(
    open: OpenFile,
    limit: Position | undefined,
    lost: SeqRange[],
  ): Promise<Step | undefined> {
    const fileEnd = open.size ?? (await open.file.size());
    const end = limit?.segment === open.index ? Math.min(limit.offset, fileEnd) : fileEnd;
    const window = await open.windows.read(open.offset, end);
    const records: JournalRecord[] = [];
    const decoded = this.decode(open, window, records, lost);
    open.offset += decoded.used;
    const more = open.offset < end && window.length >= WINDOW_BYTES && decoded.stop === "short";
    if (more && !this.live) open.size = fileEnd;
    const step = { records, lost, damaged: decoded.damaged };
    if (more) return step;
    const later = limit?.segment !== open.index && (await this.hasSegmentAfter(open.index));
    // A living writer may have written on here before it began the next segment: what was the end is looked at again.
    if (later && this.live && (await open.file.size()) > fileEnd) return step;
    if (open.offset < end) return await this.afterBad(open, step, end);
    return await this.afterEnd(open, step, later);
  }

  private decode(
    open: OpenFile,
    window: Buffer,
    records: JournalRecord[],
    lost: SeqRange[],
  ): { used: number; stop: "short" | "bad"; damaged: boolean } {
    let at = 0;
    let damaged = false;
    for (;;) {
      const frame = decodeFrame(window, at);
      if (typeof frame !== "object") return { used: at, stop: frame, damaged };
      at = frame.end;
      this.expected ??= Math.max(frame.seq, this.fromSeq);
      // A number that has been passed: an old copy of a frame, not a record.
      if (frame.seq < this.expected) damaged ||= frame.seq >= this.fromSeq;
      else {
        if (frame.seq > this.expected) {
          damaged = true;
          this.skipTo(frame.seq, lost);
        }
        this.expected = frame.seq + 1;
        if (frame.seq >= this.fromSeq) {
          const offset = open.offset + frame.start;
          records.push({ seq: frame.seq, body: frame.body, segment: open.index, offset });
        }
      }
    }
  }

  private async afterBad(open: OpenFile, step: Step, end: number): Promise<Step | undefined> {
    const found = await findFrameInFile(open.file, open.offset, end);
    if (found !== undefined) {
      open.offset = found;
      return { ...step, damaged: true };
    }
    if (!(await this.hasSegmentAfter(open.index))) {
      if (this.live) return step.records.length > 0 || step.lost.length > 0 ? step : undefined;
      this.finished = true;
      const torn = { segment: open.index, offset: open.offset, bytes: end - open.offset };
      await this.closeFile();
      return { ...step, torn };
    }
    await this.closeFile();
    return { ...step, damaged: true };
  }

  private async afterEnd(open: OpenFile, step: Step, later: boolean): Promise<Step | undefined> {
    if (later) await this.closeFile();
    else if (!this.live) {
      this.finished = true;
      await this.closeFile();
    } else if (step.records.length === 0 && step.lost.length === 0) return undefined;
    return step;
  }
}

/** First whole valid frame after `from`, which is not one. Windows overlap by the longest frame. */
async function findFrameInFile(
  file: JournalFile,
  from: number,
  end: number,
): Promise<number | undefined> {
  for (let at = from + 1; at < end; at += WINDOW_BYTES - MAX_FRAME_BYTES) {
    const window = await readRange(file, at, Math.min(end, at + WINDOW_BYTES));
    const found = findFrame(window, 0);
    if (found !== undefined) return at + found;
  }
  return undefined;
}

/** Opens an epoch's directory for reading. */
export function createEpochReader(options: EpochReaderOptions): EpochReader {
  return new SegmentedEpochReader(options);
}
