// Where things are:
//
//   <directory>/_emitter                        the emitter's name; "_" cannot begin one, so it collides with none
//   <directory>/<emitter>/reserve               space kept for the last events on a full disk
//   <directory>/<emitter>/0000000042/           one epoch; the name is its number, taken by an exclusive mkdir
//                         lease.0               who holds it: its writer first, drainers after (lease.ts)
//                         00000000.wal …        segments
//                         cursor                what the processor acknowledged
//                         end                   what is known of the epoch once it is over
import { join } from "node:path";
import type { JournalFs } from "./fs.ts";
import { systemCode } from "./fs.ts";

const NUMBER_DIGITS = 10;
/** The last one that has a name. */
export const MAX_EPOCH_NUMBER = 9_999_999_999;
const SEGMENT_DIGITS = 8;
const SEGMENT_NAME = /^(\d{8})\.wal$/;
const EPOCH_NAME = /^\d{10}$/;

/** File that keeps the emitter's name. */
export function emitterFile(directory: string): string {
  return join(directory, "_emitter");
}

/** Directory of an emitter. */
export function emitterDirectory(directory: string, emitter: string): string {
  return join(directory, emitter);
}

/** Directory of an epoch. */
export function epochDirectory(emitterPath: string, number: number): string {
  return join(emitterPath, String(number).padStart(NUMBER_DIGITS, "0"));
}

/** Path of a segment of an epoch. */
export function segmentPath(epochPath: string, index: number): string {
  return join(epochPath, `${String(index).padStart(SEGMENT_DIGITS, "0")}.wal`);
}

/** What a path answers that leads to no directory: nothing there, a file, links in a circle. */
export const NO_DIRECTORY: ReadonlySet<string | undefined> = new Set([
  "ENOENT",
  "ENOTDIR",
  "ELOOP",
]);

/** Names in a directory; none if there is no directory. */
export async function listOrNone(fs: JournalFs, path: string): Promise<string[]> {
  try {
    return await fs.list(path);
  } catch (error) {
    if (NO_DIRECTORY.has(systemCode(error))) return [];
    throw error;
  }
}

/** Numbers of the epochs that have a directory, ascending. */
export async function listEpochNumbers(fs: JournalFs, emitterPath: string): Promise<number[]> {
  const names = await listOrNone(fs, emitterPath);
  return names
    .filter((name) => EPOCH_NAME.test(name))
    .map(Number)
    .toSorted((a, b) => a - b);
}

/** Indexes of the segments of an epoch, ascending. */
export async function listSegments(fs: JournalFs, epochPath: string): Promise<number[]> {
  const names = await listOrNone(fs, epochPath);
  return names
    .flatMap((name) => SEGMENT_NAME.exec(name)?.[1] ?? [])
    .map(Number)
    .toSorted((a, b) => a - b);
}

/** File that keeps what the processor acknowledged. */
export function cursorPath(epochPath: string): string {
  return join(epochPath, "cursor");
}

/** File that keeps what is known of an epoch once it is over. */
export function endPath(epochPath: string): string {
  return join(epochPath, "end");
}
