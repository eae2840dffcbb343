// What is known of an epoch once it is over: a few hundred bytes that outlive its segments, so that the next epoch can
// name its predecessor, and a later look can tell that a tail is missing.
import type { EpochEnd } from "@countersign/model";
import { isEmitter } from "./emitter.ts";
import type { SeqRange } from "./epoch-reader.ts";
import type { JournalFs } from "./fs.ts";
import { endPath } from "./layout.ts";
import { isCount, isHex } from "./shape.ts";
import { readJson, replaceFile } from "./whole-file.ts";

/** How an epoch ended. */
export interface EndRecord {
  readonly emitter: string;
  readonly epoch: string;
  readonly epochNumber: number;
  readonly tenant: string;
  /** Last event that is known to be durable, and its hash. */
  readonly seq: number;
  readonly hash: string;
  readonly end: EpochEnd;
  /** Ranges that were reported as lost. */
  readonly lost: readonly SeqRange[];
}

/** The record of an epoch that is over; undefined while it is not, or nobody has looked yet. */
export async function readEnd(fs: JournalFs, epochPath: string): Promise<EndRecord | undefined> {
  const record = await readJson(fs, endPath(epochPath));
  return isEndRecord(record) ? record : undefined;
}

const ENDS: ReadonlySet<unknown> = new Set<EpochEnd>([
  "stop",
  "no_stop",
  "journal_fault",
  "corrupt",
]);

/** Whether a value is one that a `start` can name. What is on the disk may be anybody's. */
export function isEndRecord(value: unknown): value is EndRecord {
  if (typeof value !== "object" || value === null) return false;
  const { emitter, epoch, epochNumber, tenant, seq, hash, end, lost } = value as Partial<
    Record<keyof EndRecord, unknown>
  >;
  const texts = typeof emitter === "string" && isEmitter(emitter) && typeof tenant === "string";
  const chain = isHex(epoch, 32) && isCount(epochNumber) && isCount(seq) && isHex(hash, 64);
  return texts && chain && ENDS.has(end) && Array.isArray(lost) && lost.every(isRange);
}

function isRange(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { fromSeq, toSeq } = value as Partial<Record<keyof SeqRange, unknown>>;
  return isCount(fromSeq) && isCount(toSeq);
}

/** Writes the record durably, in place of an older one. */
export async function writeEnd(fs: JournalFs, epochPath: string, end: EndRecord): Promise<void> {
  await replaceFile(fs, endPath(epochPath), `${JSON.stringify(end)}\n`);
}
