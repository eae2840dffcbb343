// Recovery of an epoch whose process is gone: read all of it once, cut a torn tail, say what is unreadable.
import { dirname } from "node:path";
import { CountersignError, kindOf, type Logger, sha256Hex } from "@countersign/model";
import {
  createEpochReader,
  type JournalRecord,
  type SeqRange,
  type TornTail,
} from "./epoch-reader.ts";
import { type EndRecord, isEndRecord } from "./end-record.ts";
import type { JournalFs } from "./fs.ts";
import { listSegments, segmentPath } from "./layout.ts";
import type { SegmentHeader } from "./segment.ts";
import { readCursor } from "./ship/cursor.ts";

/** What a scan of an epoch found. */
export interface EpochScan {
  readonly header: SegmentHeader | undefined;
  readonly records: number;
  readonly last: JournalRecord | undefined;
  readonly lost: readonly SeqRange[];
  readonly damaged: boolean;
  readonly torn: TornTail | undefined;
}

/** Reads every frame of an epoch that nobody writes any more. Changes nothing. */
export async function scanEpoch(fs: JournalFs, epochPath: string): Promise<EpochScan> {
  const reader = createEpochReader({ fs, epochPath });
  const lost: SeqRange[] = [];
  let [records, damaged] = [0, false];
  let last: JournalRecord | undefined;
  let torn: TornTail | undefined;
  try {
    for (let step = await reader.next(); step; step = await reader.next()) {
      records += step.records.length;
      last = step.records.at(-1) ?? last;
      lost.push(...step.lost);
      damaged ||= step.damaged;
      torn = step.torn ?? torn;
    }
  } finally {
    await reader.close();
  }
  return { header: reader.header, records, last, lost, damaged, torn };
}

/**
 * Scans a dead epoch, under its lease, and cuts its torn tail. Undefined: it never held a durable event, and its
 * directory holds no segment any more, so its number is free.
 */
export async function settleEpoch(
  fs: JournalFs,
  epochPath: string,
  log: Logger,
): Promise<EndRecord | undefined> {
  const found = await scanEpoch(fs, epochPath);
  const next = (await readCursor(fs, epochPath)) ?? 0;
  const scan = { ...found, lost: found.lost.flatMap((range) => from(next, range)) };
  if (scan.torn !== undefined) {
    await cutTail(fs, epochPath, scan.torn);
    const { segment, bytes } = scan.torn;
    log.warn("recovered: cut a torn tail of an earlier epoch", { epochPath, segment, bytes });
  }
  await syncLast(fs, epochPath);
  if (scan.last === undefined) return endBefore(scan);
  const event = JSON.parse(Buffer.from(scan.last.body).toString("utf8")) as RecordedEvent;
  const { chain, tenant } = event.data;
  const corrupt = scan.damaged || scan.lost.length > 0;
  if (corrupt) {
    log.error("an earlier epoch is corrupt; what is unreadable will be recorded as lost", {
      epochPath,
      ranges: scan.lost.length,
    });
  }
  const end = {
    emitter: chain.emitter,
    epoch: chain.epoch,
    epochNumber: scan.header?.epochNumber ?? 0,
    tenant,
    seq: scan.last.seq,
    hash: sha256Hex(scan.last.body),
    end: corrupt ? "corrupt" : kindOf(event.type) === "stop" ? "stop" : "no_stop",
    lost: scan.lost,
  } as const;
  if (isEndRecord(end)) return end;
  throw new CountersignError("UNAVAILABLE", "journal: an epoch ends in what is no event of ours");
}

/**
 * What of a range is not acknowledged: deleted segments that a power cut brings back in part leave holes where nothing is lost.
 */
function from(next: number, { fromSeq, toSeq }: SeqRange): SeqRange[] {
  return toSeq < next ? [] : [{ fromSeq: Math.max(fromSeq, next), toSeq }];
}

/** A segment was begun and nothing written to it: its header knows what came before. */
function endBefore({ header, lost, damaged }: EpochScan): EndRecord | undefined {
  if (header === undefined || header.firstSeq === 0) return undefined;
  const { emitter, epoch, epochNumber, tenant, firstSeq, prev } = header;
  const end = damaged || lost.length > 0 ? "corrupt" : "no_stop";
  return { emitter, epoch, epochNumber, tenant, seq: firstSeq - 1, hash: prev, end, lost };
}

interface RecordedEvent {
  readonly type: string;
  readonly data: {
    readonly tenant: string;
    readonly chain: { readonly emitter: string; readonly epoch: string };
  };
}

/**
 * A killed process leaves bytes that were written and not synced. They are read from the page cache: before they are named as
 * the epoch's last, or shipped, they are made durable. Earlier segments were synced before this one was made.
 */
async function syncLast(fs: JournalFs, epochPath: string): Promise<void> {
  const last = (await listSegments(fs, epochPath)).at(-1);
  if (last === undefined) return;
  const file = await fs.open(segmentPath(epochPath, last), "update");
  try {
    await file.datasync();
  } finally {
    await file.close();
  }
  await fs.syncDirectory(epochPath);
  await fs.syncDirectory(dirname(epochPath));
}

async function cutTail(fs: JournalFs, epochPath: string, torn: TornTail): Promise<void> {
  const path = segmentPath(epochPath, torn.segment);
  if (torn.offset === 0) {
    await fs.remove(path);
    await fs.syncDirectory(epochPath);
    return;
  }
  const file = await fs.open(path, "update");
  try {
    await file.truncate(torn.offset);
    await file.sync();
  } finally {
    await file.close();
  }
}
