// What is known of an epoch once it is over: a few hundred bytes that outlive its segments, so that the next epoch can
// name its predecessor, and a later look can tell that a tail is missing.
import type { EpochEnd } from "@countersign/model";
import type { SeqRange } from "./epoch-reader.ts";
import type { JournalFs } from "./fs.ts";
import { endPath } from "./layout.ts";
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
  if (typeof record?.["epoch"] !== "string" || !Number.isSafeInteger(record["seq"]))
    return undefined;
  return record as unknown as EndRecord;
}

/** Writes the record durably, in place of an older one. */
export async function writeEnd(fs: JournalFs, epochPath: string, end: EndRecord): Promise<void> {
  await replaceFile(fs, endPath(epochPath), `${JSON.stringify(end)}\n`);
}
