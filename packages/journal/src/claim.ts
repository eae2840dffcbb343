// Taking an epoch number: gapless per emitter, by an exclusive mkdir (contract, section 1). The number of an epoch that
// died before its first event was durable is taken over, so that no hole appears which means nothing.
import { dirname, join } from "node:path";
import { CountersignError, type Logger } from "@countersign/model";
import { type EndRecord, readEnd, writeEnd } from "./end-record.ts";
import { type JournalFs, systemCode } from "./fs.ts";
import { acquireLease, isHeld, type Lease } from "./lease.ts";
import {
  endPath,
  epochDirectory,
  listEpochNumbers,
  listOrNone,
  listSegments,
  MAX_EPOCH_NUMBER,
  segmentPath,
} from "./layout.ts";
import { settleEpoch } from "./settle.ts";

/** Dead epochs looked at when an epoch opens; what is older is looked at in the background. */
const MAX_LOOKED_AT = 64;
/** Among how many of the newest a number is looked for that was taken by a process which died before its first event. */
const MAX_VOIDS_LOOKED_AT = 16;
const MAX_VOID_BYTES = 65_536;
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
  let found: Predecessor = {};
  for (const [age, number] of numbers.slice(0, MAX_LOOKED_AT).entries()) {
    const known = found.end !== undefined;
    if (known && age >= MAX_VOIDS_LOOKED_AT) break;
    const path = epochDirectory(emitterPath, number);
    const names = await listOrNone(fs, path);
    if (names.includes("end")) {
      const end = known ? undefined : await readEnd(fs, path);
      if (end !== undefined) found = { ...found, end };
      continue;
    }
    if (known && !(await mayBeVoid(fs, path))) continue;
    found = await lookAtDead(fs, { number, path, log }, found);
  }
  return found;
}

/** An epoch nobody has looked at since its process went, if it has gone. */
async function lookAtDead(
  fs: JournalFs,
  dead: { readonly number: number; readonly path: string; readonly log: Logger },
  found: Predecessor,
): Promise<Predecessor> {
  const { number, path, log } = dead;
  const lease = (await isHeld(fs, path)) ? undefined : await acquireLease(fs, path);
  if (lease === undefined) return found;
  // Whoever held it until just now may have settled it, and drained it until nothing but its end was left.
  if ((await fs.info(endPath(path))) !== undefined) {
    await lease.release();
    const known = found.end ?? (await readEnd(fs, path));
    return known === undefined ? found : { ...found, end: known };
  }
  const end = await settle(fs, path, log);
  if (end === undefined) {
    // The oldest one: the sooner it is filled, the shorter it looks like a gap.
    await found.claim?.lease.release();
    return { ...found, claim: { number, path, lease } };
  }
  if (end !== "unreadable" && found.end === undefined) {
    return { ...found, end, fresh: { path, lease } };
  }
  await lease.release();
  return found;
}

/** Whether an epoch could be one that died before its first event: cheap to tell, and wrong in one direction only. */
async function mayBeVoid(fs: JournalFs, path: string): Promise<boolean> {
  const segments = await listSegments(fs, path);
  if (segments.length === 0) return true;
  if (segments.length > 1 || segments[0] !== 0) return false;
  return ((await fs.info(segmentPath(path, 0)))?.size ?? 0) <= MAX_VOID_BYTES;
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
  for (let round = 0; round < MAX_ROUNDS && number <= MAX_EPOCH_NUMBER; round++, number++) {
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
    return { number, path, lease };
  }
  throw new CountersignError(
    "CONFIG_INVALID",
    "journal: no free epoch number; is another process making epochs in a loop, or does a directory have the last one? " +
      "Run countersign journal verify, and move away what is not the journal's.",
  );
}

/**
 * Removes the segments of an epoch in which nothing became durable, so that its number can be used, and makes its name durable:
 * whoever made the directory may have been killed before that.
 */
export async function emptyClaim(fs: JournalFs, claim: Claim): Promise<void> {
  for (const index of await listSegments(fs, claim.path)) {
    await fs.remove(segmentPath(claim.path, index));
  }
  for (const name of await listOrNone(fs, claim.path)) {
    if (name === "cursor" || name.endsWith(".tmp")) await fs.remove(join(claim.path, name));
  }
  await fs.syncDirectory(claim.path);
  await fs.syncDirectory(dirname(claim.path));
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
