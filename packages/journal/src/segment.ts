// One file of an epoch: a header frame, then record frames. A file is synced before its successor is made, so only the
// last one of an epoch can have a torn tail.
import { CountersignError } from "@countersign/model";
import { decodeFrame, encodeFrame, HEADER_MAGIC } from "./frames.ts";
import type { JournalFile, JournalFs } from "./fs.ts";
import { segmentPath } from "./layout.ts";
import { isCount, isHex } from "./shape.ts";
import { appendAll } from "./whole-file.ts";

/**
 * Version of the form on disk. Whatever a later one changes, the header frame stays, so that this one can tell and leave
 * the epoch alone.
 */
const SEGMENT_FORMAT = 1;

/** What a segment says of itself; each repeats the epoch's, since earlier ones are deleted when acknowledged. */
export interface SegmentHeader {
  readonly format: typeof SEGMENT_FORMAT;
  readonly emitter: string;
  readonly epoch: string;
  readonly epochNumber: number;
  readonly segment: number;
  readonly firstSeq: number;
  /** Hash of the event before `firstSeq`. */
  readonly prev: string;
  readonly tenant: string;
  /** Resource of the OTLP log records: the server that was guarded. */
  readonly service: { readonly name: string; readonly version?: string };
  /** Version of the product that wrote it. */
  readonly producer: string;
}

/** A segment open for appending. */
export interface OpenSegment {
  readonly file: JournalFile;
  readonly index: number;
  /** Bytes in the file, all of them synced. */
  size: number;
}

/** Create, header, fsync file, fsync directory: after this, what is appended and synced cannot vanish with the name. */
export async function createSegment(
  fs: JournalFs,
  epochPath: string,
  header: SegmentHeader,
): Promise<OpenSegment> {
  const body = Buffer.from(JSON.stringify(header));
  const frame = encodeFrame(header.firstSeq, body, HEADER_MAGIC);
  const file = await fs.open(segmentPath(epochPath, header.segment), "create");
  try {
    await appendAll(file, frame);
    await file.sync();
    await fs.syncDirectory(epochPath);
  } catch (error) {
    await file.close().catch(() => undefined);
    throw error;
  }
  return { file, index: header.segment, size: frame.length };
}

/**
 * Header at the beginning of an open file and the offset after it; undefined if it is unreadable. Rejects UNAVAILABLE for
 * a segment of another version, which is nobody's to mend here.
 */
export async function readHeader(
  file: JournalFile,
): Promise<{ header: SegmentHeader; end: number } | undefined> {
  const bytes = Buffer.alloc(4096);
  const read = await file.read(bytes, 0);
  const frame = decodeFrame(bytes.subarray(0, read), 0, HEADER_MAGIC);
  if (typeof frame !== "object") return undefined;
  const header = parseHeader(frame.body);
  if (header === undefined) return undefined;
  if (header === "other") {
    throw new CountersignError(
      "UNAVAILABLE",
      "journal: an epoch was written by another version of the product; that version can ship it",
    );
  }
  return { header, end: frame.end };
}

/** What the body of a header frame says; `other`: of another version. Undefined: nothing that the journal writes. */
export function parseHeader(body: Uint8Array): SegmentHeader | "other" | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(body).toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const header = value as Partial<Record<keyof SegmentHeader, unknown>>;
  if (header.format !== SEGMENT_FORMAT) return "other";
  return isHeader(header) ? (value as SegmentHeader) : undefined;
}

function isHeader(header: Partial<Record<keyof SegmentHeader, unknown>>): boolean {
  const { emitter, epoch, epochNumber, segment, firstSeq, prev, tenant, service } = header;
  const texts = typeof emitter === "string" && typeof tenant === "string";
  const numbers = isCount(epochNumber) && isCount(segment) && isCount(firstSeq);
  return texts && numbers && isHex(epoch, 32) && isHex(prev, 64) && isService(service);
}

function isService(value: unknown): boolean {
  return (
    typeof value === "object" && value !== null && "name" in value && typeof value.name === "string"
  );
}
