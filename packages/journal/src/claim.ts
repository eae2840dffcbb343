// Taking an epoch number: gapless per emitter, by an exclusive mkdir (contract, section 1). The number of an epoch that
// died before its first event was durable is taken over, so that no hole appears which means nothing.
import { join } from "node:path";
import type { Logger } from "@countersign/model";
import { type EndRecord, readEnd, writeEnd } from "./end-record.ts";
import { type JournalFs, systemCode } from "./fs.ts";
import { acquireLease, isHeld, type Lease } from "./lease.ts";
import {
  epochDirectory,
  listEpochNumbers,
  listOrNone,
  listSegments,
  segmentPath,
} from "./layout.ts";
import { settleEpoch } from "./settle.ts";

/** Dead epochs looked at when an epoch opens; what is older is looked at in the background. */
const MAX_LOOKED_AT = 64;
/** Rounds of losing the race for a number before giving up. */
const MAX_ROUNDS = 1_000;

/** A directory that is ours to write. */
export interface Claim {
  readonly number: number;
  readonly path: string;
  readonly lease: Lease;
}

/** What was found of the emitter's earlier epochs. */
export interface Predecessor {
  /** The newest epoch that is over. */
  readonly end?: EndRecord;
  /** Set if this look was the first: `lost` is to be recorded, then the record written. */
  readonly fresh?: { readonly path: string; readonly lease: Lease };
  /** A number whose epoch never came to be. */
  readonly claim?: Claim;
}

/** Finds the newest epoch that is over, and settles it if nobody has. Epochs of processes that live are left alone. */
export async function findPredecessor(
  fs: JournalFs,
  emitterPath: string,
  log: Logger,
): Promise<Predecessor> {
  const numbers = (await listEpochNumbers(fs, emitterPath)).toReversed();
  let claim: Claim | undefined;
  for (const number of numbers.slice(0, MAX_LOOKED_AT)) {
    const path = epochDirectory(emitterPath, number);
    const known = await readEnd(fs, path);
    if (known !== undefined) return { end: known, ...(claim === undefined ? {} : { claim }) };
    const lease = (await isHeld(fs, path)) ? undefined : await acquireLease(fs, path);
    if (lease === undefined) continue;
    const end = await settle(fs, path, log);
    if (end === "unreadable") await lease.release();
    else if (end !== undefined) {
      return { end, fresh: { path, lease }, ...(claim === undefined ? {} : { claim }) };
    } else if (number === numbers[0] && (await listSegments(fs, path)).length === 0) {
      claim = { number, path, lease };
    } else await lease.release();
  }
  return claim === undefined ? {} : { claim };
}

async function settle(
  fs: JournalFs,
  path: string,
  log: Logger,
): Promise<EndRecord | undefined | "unreadable"> {
  try {
    return await settleEpoch(fs, path, log);
  } catch (error) {
    log.error("an earlier epoch cannot be read; it is left as it is", {
      path,
      code: systemCode(error) ?? "none",
    });
    return "unreadable";
  }
}

/** Takes the next free number. */
export async function claimNumber(fs: JournalFs, emitterPath: string): Promise<Claim> {
  let number = ((await listEpochNumbers(fs, emitterPath)).at(-1) ?? 0) + 1;
  for (let round = 0; round < MAX_ROUNDS; round++, number++) {
    const path = epochDirectory(emitterPath, number);
    try {
      await fs.makeDirectory(path);
    } catch (error) {
      if (systemCode(error) === "EEXIST") continue;
      throw error;
    }
    // A process that opens at this very moment may have taken the directory for an abandoned one; it uses it.
    const lease = await acquireLease(fs, path);
    if (lease === undefined) continue;
    await fs.syncDirectory(emitterPath);
    return { number, path, lease };
  }
  throw new Error("journal: no free epoch number; is another process making epochs in a loop?");
}

/** Removes the segments of an epoch in which nothing became durable, so that its number can be used. */
export async function emptyClaim(fs: JournalFs, claim: Claim): Promise<void> {
  for (const index of await listSegments(fs, claim.path)) {
    await fs.remove(segmentPath(claim.path, index));
  }
  for (const name of await listOrNone(fs, claim.path)) {
    if (name === "cursor" || name.endsWith(".tmp")) await fs.remove(join(claim.path, name));
  }
  await fs.syncDirectory(claim.path);
}

/** Writes down how a settled epoch ended, and lets go of it. */
export async function closeSettled(
  fs: JournalFs,
  fresh: { readonly path: string; readonly lease: Lease },
  end: EndRecord,
): Promise<void> {
  try {
    await writeEnd(fs, fresh.path, end);
  } finally {
    await fresh.lease.release();
  }
}
