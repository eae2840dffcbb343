// From nothing to an epoch that can be written: directories, name, predecessor, number, first segment.
import { randomBytes } from "node:crypto";
import { dirname, resolve } from "node:path";
import type { Logger } from "@countersign/model";
import { type Claim, claimNumber, emptyClaim, findPredecessor, type Predecessor } from "./claim.ts";
import { checkEmitter, storedEmitter } from "./emitter.ts";
import { type EpochWriter, type EpochWriterOptions, openEpochWriter } from "./epoch-writer.ts";
import { type JournalFs, systemCode } from "./fs.ts";
import { emitterDirectory } from "./layout.ts";
import { refuseNetworkFilesystem } from "./network-filesystem.ts";
import type { EpochInfo } from "./options.ts";

/** Where an emitter writes. */
export interface Home {
  readonly emitter: string;
  readonly emitterPath: string;
}

/** Makes the directories and finds the emitter's name. Rejects CONFIG_INVALID for what only a person can mend. */
export async function findHome(
  fs: JournalFs,
  directory: string,
  settings: { readonly emitter: string | undefined; readonly log: Logger },
): Promise<Home> {
  const made = await makeDirectories(fs, directory);
  await refuseNetworkFilesystem(fs, directory);
  const mode = (await fs.info(directory))?.mode ?? 0;
  if (process.platform !== "win32" && (mode & 0o077) !== 0) {
    settings.log.warn("the journal's directory is open to others; make it 0700", { directory });
  }
  const name = settings.emitter;
  const emitter = name === undefined ? await storedEmitter(fs, directory) : checkEmitter(name);
  const emitterPath = emitterDirectory(directory, emitter);
  await fs.makeDirectories(emitterPath);
  await syncNames(fs, made);
  await fs.syncDirectory(directory);
  return { emitter, emitterPath };
}

/** Makes the whole path; returns the directories that were not there, outermost first, or the last one alone. */
async function makeDirectories(fs: JournalFs, directory: string): Promise<readonly string[]> {
  const made: string[] = [];
  let path = resolve(directory);
  for (; path !== dirname(path) && (await fs.info(path)) === undefined; path = dirname(path)) {
    made.unshift(path);
  }
  await fs.makeDirectories(directory);
  return made.length === 0 ? [path] : made;
}

/**
 * Makes names durable in their parents. Also that of a directory which was there: whoever made it may have been killed, or be
 * about to do this.
 */
async function syncNames(fs: JournalFs, paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    try {
      await fs.syncDirectory(dirname(path));
    } catch (error) {
      // A parent that this user may not read was not made by us.
      if (systemCode(error) !== "EACCES") throw error;
    }
  }
}

/** An epoch, ready for its `start`. */
export interface OpenedEpoch {
  readonly writer: EpochWriter;
  readonly claim: Claim;
  readonly predecessor: Predecessor;
}

/** What opening an epoch needs besides its home. */
export interface OpeningOptions {
  readonly fs: JournalFs;
  readonly home: Home;
  readonly info: EpochInfo;
  readonly log: Logger;
  /** A number this process took before, in whose epoch nothing became durable. */
  readonly spare: Claim | undefined;
  /** Names the number that was taken, before anything is written under it. */
  onClaim(claim: Claim): void;
  readonly writer: Omit<EpochWriterOptions, "fs" | "epochPath" | "header">;
}

/** Opens the next epoch of the emitter. Rejects with the system error. */
export async function openEpoch(options: OpeningOptions): Promise<OpenedEpoch> {
  const { fs, home, log } = options;
  const predecessor = await findPredecessor(fs, home.emitterPath, log);
  try {
    const claim = options.spare ?? predecessor.claim ?? (await claimNumber(fs, home.emitterPath));
    options.onClaim(claim);
    const writer = await openClaimed(options, claim);
    return { writer, claim, predecessor };
  } catch (error) {
    await predecessor.fresh?.lease.release();
    throw error;
  }
}

async function openClaimed(options: OpeningOptions, claim: Claim): Promise<EpochWriter> {
  const { fs, home, info } = options;
  await emptyClaim(fs, claim);
  const { name, id, version } = info.server;
  return await openEpochWriter({
    ...options.writer,
    fs,
    epochPath: claim.path,
    header: {
      emitter: home.emitter,
      epoch: randomBytes(16).toString("hex"),
      epochNumber: claim.number,
      tenant: info.tenant,
      service: { name: name ?? id, ...(version === undefined ? {} : { version }) },
      producer: info.runtime.countersign,
    },
  });
}
