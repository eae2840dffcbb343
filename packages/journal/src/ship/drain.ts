// What dead epochs left behind: short-lived STDIO servers die by SIGKILL, so whoever comes next drains for them, each
// epoch under its lease.
import { errorCode, type Logger } from "@countersign/model";
import { type EndRecord, readEnd, writeEnd } from "../end-record.ts";
import type { SeqRange } from "../epoch-reader.ts";
import { isEmitter } from "../emitter.ts";
import { type JournalFs, systemCode } from "../fs.ts";
import {
  cursorPath,
  emitterDirectory,
  endPath,
  epochDirectory,
  listEpochNumbers,
  listOrNone,
  listSegments,
  segmentPath,
} from "../layout.ts";
import { acquireLease, isHeld, type Lease, LEASE_RENEW_MS } from "../lease.ts";
import { settleEpoch } from "../settle.ts";
import { openCursor } from "./cursor.ts";
import { createShipment } from "./shipment.ts";
import type { Sender } from "./sender.ts";

/** Epochs whose end stays known after they were shipped. The newest always stays, so numbers go on from it. */
const KEPT_ENDS = 64;

/** What draining needs. */
export interface DrainOptions {
  readonly fs: JournalFs;
  readonly log: Logger;
  readonly directory: string;
  readonly sender: Sender;
  /** Epochs of other tenants are left to those who hold a credential for them. Absent: all are shipped. */
  readonly tenant: string | undefined;
  /** Records `lost` in a healthy epoch of this process; rejects if there is none. */
  reportLost(epoch: string, lost: readonly SeqRange[]): Promise<void>;
  onAcknowledged(epoch: string, seq: number): void;
}

/** Ships every epoch that nobody holds, oldest first, emitter by emitter. Rejects as {@link Sender.send} does. */
export async function drainAbandoned(options: DrainOptions, signal: AbortSignal): Promise<void> {
  const { fs, directory } = options;
  for (const emitter of (await listOrNone(fs, directory)).filter(isEmitter)) {
    const emitterPath = emitterDirectory(directory, emitter);
    const numbers = await listEpochNumbers(fs, emitterPath);
    for (const number of numbers) {
      if (signal.aborted) return;
      const path = epochDirectory(emitterPath, number);
      await drainOne(options, path, signal).catch((error: unknown) => {
        // The receiver's word ends the round; an epoch that cannot be read holds up no other.
        if (errorCode(error) === "CANCELLED" || errorCode(error) === "REJECTED") throw error;
        options.log.warn("an epoch cannot be shipped now; it is left as it is", {
          path,
          code: systemCode(error) ?? errorCode(error) ?? "none",
        });
      });
    }
    await forgetOldEnds(fs, emitterPath, numbers);
  }
}

async function drainOne(options: DrainOptions, path: string, signal: AbortSignal): Promise<void> {
  const { fs } = options;
  // Without a segment there is nothing to ship, and a directory just made by another process is left alone.
  if ((await listSegments(fs, path)).length === 0 || (await isHeld(fs, path))) return;
  const lease = await acquireLease(fs, path);
  if (lease === undefined) return;
  const renewal = setInterval(() => void lease.renew().catch(() => undefined), LEASE_RENEW_MS);
  renewal.unref();
  try {
    // Whoever held it until just now may have drained it: its cursor is gone then, and nothing says how far it was shipped.
    if ((await listSegments(fs, path)).length > 0) await drainHeld(options, path, signal);
  } finally {
    clearInterval(renewal);
    await lease.release();
  }
}

async function drainHeld(options: DrainOptions, path: string, signal: AbortSignal): Promise<void> {
  const { fs, log } = options;
  let end = await readEnd(fs, path);
  if (end === undefined) {
    end = await settleEpoch(fs, path, log);
    if (end === undefined || !isOurs(end, options)) return;
    if (end.lost.length > 0) await options.reportLost(end.epoch, end.lost);
    await writeEnd(fs, path, end);
  }
  if (!isOurs(end, options)) return;
  const known = end;
  let record: EndRecord = end;
  const onLost = async (found: readonly SeqRange[]): Promise<void> => {
    const fresh = found.filter((range) => !covered(range, record.lost));
    if (fresh.length === 0) return;
    await options.reportLost(known.epoch, fresh);
    record = { ...record, end: "corrupt", lost: [...record.lost, ...fresh] };
    await writeEnd(fs, path, record);
  };
  const shipment = await createShipment({
    ...options,
    epochPath: path,
    onAcknowledged: (seq) => options.onAcknowledged(known.epoch, seq),
    onLost,
  });
  try {
    await shipment.ship(signal);
    // Durable once by its own word, and not there any more: the file was cut.
    const next = shipment.next ?? 0;
    if (next <= known.seq) await onLost([{ fromSeq: next, toSeq: known.seq }]);
  } finally {
    await shipment.close();
  }
  await clearEpoch(fs, path);
}

function isOurs({ tenant }: EndRecord, options: DrainOptions): boolean {
  return options.tenant === undefined || options.tenant === tenant;
}

function covered(range: SeqRange, by: readonly SeqRange[]): boolean {
  return by.some(({ fromSeq, toSeq }) => fromSeq <= range.fromSeq && range.toSeq <= toSeq);
}

/** Deletes what the processor has; only `end` stays. The caller holds the lease. */
export async function clearEpoch(fs: JournalFs, epochPath: string): Promise<void> {
  const cursor = await openCursor(fs, epochPath);
  try {
    await cursor.sync();
  } finally {
    await cursor.close();
  }
  for (const index of await listSegments(fs, epochPath)) {
    await fs.remove(segmentPath(epochPath, index));
  }
  if (cursor.next === undefined) return;
  // As long as a power cut may bring segments back, the cursor says that they were acknowledged.
  await fs.syncDirectory(epochPath);
  await fs.remove(cursorPath(epochPath));
}

async function forgetOldEnds(
  fs: JournalFs,
  emitterPath: string,
  numbers: readonly number[],
): Promise<void> {
  const newest = numbers.at(-1) ?? 0;
  for (const number of numbers.filter((each) => each <= newest - KEPT_ENDS)) {
    const path = epochDirectory(emitterPath, number);
    if ((await listSegments(fs, path)).length > 0) continue;
    const lease: Lease | undefined = await acquireLease(fs, path);
    if (lease === undefined) continue;
    if ((await fs.info(endPath(path))) !== undefined) await fs.remove(endPath(path));
    await lease.release();
    // Something else in there: not ours to delete.
    await fs.removeDirectory(path).catch(() => undefined);
  }
}
