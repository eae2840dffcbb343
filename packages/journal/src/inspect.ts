// Reading a journal from outside: `tail`, `doctor`, and people. Takes no lease and changes nothing.
import { type SealedEvent, unseal } from "@countersign/model";
import { ALMOST_FULL } from "./disk-budget.ts";
import { type EndRecord, readEnd } from "./end-record.ts";
import {
  createEpochReader,
  type EpochReader,
  type JournalRecord,
  type Position,
  type SeqRange,
  type TornTail,
} from "./epoch-reader.ts";
import { isEmitter } from "./emitter.ts";
import { type JournalFs, nodeFs, systemCode } from "./fs.ts";
import {
  emitterDirectory,
  epochDirectory,
  listEpochNumbers,
  listOrNone,
  listSegments,
  segmentPath,
} from "./layout.ts";
import { isHeld } from "./lease.ts";
import { DEFAULT_LIMITS } from "./options.ts";
import { readCursor } from "./ship/cursor.ts";
import { sleep } from "./wait.ts";

const POLL_MS = 250;
/** Epochs of an emitter that are followed at once: each holds a file open. */
const MAX_FOLLOWED = 64;

/** One epoch found in a journal's directory. */
export interface EpochListing {
  readonly emitter: string;
  readonly epochNumber: number;
  /** Its directory, for {@link readEpoch}. */
  readonly path: string;
  /** A process writes or drains it right now. */
  readonly live: boolean;
  /** Bytes in segments; 0 once everything was shipped. */
  readonly bytes: number;
  readonly segments: number;
  /** Number of the next event to ship, if any was. */
  readonly nextToShip?: number;
  /** Known once it is over and somebody has looked. */
  readonly end?: EndRecord;
}

/** An event and where it is. */
export interface JournalEntry {
  readonly event: SealedEvent;
  /** Where its frame begins. */
  readonly position: Position;
}

/** What else a reader may want to hear of. */
export interface ReadEpochOptions {
  readonly fs?: JournalFs;
  /** Skip the events before. */
  readonly fromSeq?: number;
  onLost?(range: SeqRange): void;
  onTorn?(tail: TornTail): void;
}

/** All epochs of all emitters in a journal's directory, oldest first; none if there is no directory. */
export async function listEpochs(
  directory: string,
  fs: JournalFs = nodeFs,
): Promise<readonly EpochListing[]> {
  const listings: EpochListing[] = [];
  for (const emitter of (await listOrNone(fs, directory)).filter(isEmitter).toSorted()) {
    const emitterPath = emitterDirectory(directory, emitter);
    for (const epochNumber of await listEpochNumbers(fs, emitterPath)) {
      const path = epochDirectory(emitterPath, epochNumber);
      listings.push({ emitter, epochNumber, path, ...(await describe(fs, path)) });
    }
  }
  return listings;
}

/** Bytes on the disk of each emitter, and its share of `limitBytes`. */
export interface EmitterUse {
  readonly emitter: string;
  readonly bytes: number;
  readonly limitBytes: number;
  /** 80 % or more. */
  readonly almostFull: boolean;
}

/** How full journals are; at the limit calls are stopped. */
export function emitterUses(
  epochs: readonly EpochListing[],
  limitBytes: number = DEFAULT_LIMITS.diskBytes,
): readonly EmitterUse[] {
  return [...Map.groupBy(epochs, ({ emitter }) => emitter)].map(([emitter, own]) => {
    const bytes = own.reduce((sum, epoch) => sum + epoch.bytes, 0);
    return { emitter, bytes, limitBytes, almostFull: bytes >= ALMOST_FULL * limitBytes };
  });
}

async function describe(
  fs: JournalFs,
  path: string,
): Promise<Omit<EpochListing, "emitter" | "epochNumber" | "path">> {
  const indexes = await listSegments(fs, path);
  let bytes = 0;
  for (const index of indexes) bytes += (await fs.info(segmentPath(path, index)))?.size ?? 0;
  const nextToShip = await readCursor(fs, path);
  const end = await readEnd(fs, path);
  return {
    live: await isHeld(fs, path),
    bytes,
    segments: indexes.length,
    ...(nextToShip === undefined ? {} : { nextToShip }),
    ...(end === undefined ? {} : { end }),
  };
}

/**
 * The events of one epoch that are on the disk now, in order. Of a live epoch, the last ones may not be durable yet.
 * Rejects INPUT_INVALID for a record with a valid checksum that is no event.
 */
export async function* readEpoch(
  path: string,
  options: ReadEpochOptions = {},
): AsyncGenerator<JournalEntry, void, undefined> {
  const { fs = nodeFs, fromSeq } = options;
  const reader = createEpochReader({
    fs,
    epochPath: path,
    ...(fromSeq === undefined ? {} : { fromSeq }),
  });
  try {
    for (let step = await reader.next(); step !== undefined; step = await reader.next()) {
      for (const range of step.lost) options.onLost?.(range);
      if (step.torn !== undefined) options.onTorn?.(step.torn);
      for (const record of step.records) yield entryOf(record);
    }
  } finally {
    await reader.close();
  }
}

function entryOf(record: JournalRecord): JournalEntry {
  const { segment, offset } = record;
  return { event: unseal(record.body), position: { segment, offset } };
}

/** What to follow. */
export interface FollowOptions {
  readonly signal: AbortSignal;
  /** Begin with what is there already; else only what comes from now on. */
  readonly fromStart?: boolean;
  readonly fs?: JournalFs;
  /** How often the disk is looked at: 250. */
  readonly pollMs?: number;
}

/**
 * Events as they are written, until `signal` aborts, of the newest 64 epochs of each emitter in a journal's directory. In
 * order within an epoch.
 */
export async function* follow(
  directory: string,
  options: FollowOptions,
): AsyncGenerator<JournalEntry, void, undefined> {
  const { fs = nodeFs, signal, pollMs = POLL_MS } = options;
  const readers = new Map<string, EpochReader>();
  let skipping = options.fromStart !== true;
  try {
    while (!signal.aborted) {
      const paths = await epochPaths(fs, directory);
      await closeOthers(readers, paths);
      for (const path of paths) {
        const reader = readers.get(path) ?? createEpochReader({ fs, epochPath: path, live: true });
        readers.set(path, reader);
        for await (const record of available(reader)) if (!skipping) yield entryOf(record);
      }
      skipping = false;
      await sleep(pollMs, signal);
    }
  } finally {
    for (const reader of readers.values()) await reader.close();
  }
}

async function closeOthers(readers: Map<string, EpochReader>, paths: string[]): Promise<void> {
  for (const [path, reader] of readers) {
    if (paths.includes(path)) continue;
    readers.delete(path);
    await reader.close();
  }
}

async function epochPaths(fs: JournalFs, directory: string): Promise<string[]> {
  const paths: string[] = [];
  for (const emitter of (await listOrNone(fs, directory)).filter(isEmitter)) {
    const emitterPath = emitterDirectory(directory, emitter);
    const numbers = await listEpochNumbers(fs, emitterPath);
    paths.push(
      ...numbers.slice(-MAX_FOLLOWED).map((number) => epochDirectory(emitterPath, number)),
    );
  }
  return paths;
}

async function* available(reader: EpochReader): AsyncGenerator<JournalRecord, void, undefined> {
  try {
    for (let step = await reader.next(); step !== undefined; step = await reader.next()) {
      yield* step.records;
    }
  } catch (error) {
    // Shipped and deleted while it was being read.
    if (systemCode(error) !== "ENOENT") throw error;
  }
}
