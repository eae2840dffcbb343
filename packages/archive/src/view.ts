import { CountersignError, errorCode, unseal } from "@countersign/model";
import type { JournalFs } from "@countersign/journal";
import { BUNDLE_ENTRIES } from "./bundle.ts";
import { openDisk } from "./disk.ts";
import { recoverHead } from "./head.ts";
import { createLogReader } from "./log-reader.ts";
import type { PositionedEvent } from "./log.ts";
import { checkIdentity } from "./log-recover.ts";
import { openTiles } from "./tiles.ts";

/** An archive as it was at one moment, to read beside its writer. */
export interface ArchiveView {
  /** Events that were there when it was opened. */
  readonly size: bigint;
  /** As `ArchiveLog.read`. */
  read(from: bigint, max: number): Promise<readonly PositionedEvent[]>;
}

/** Times that a writer may be met at work. */
const ATTEMPTS = 5;

/**
 * Opens an archive without its lock and without changing a byte, so its writer may go on. What the newest write brought may be
 * seen before its sync is done. Rejects CONFIG_INVALID when it is some other log or none, UNAVAILABLE when it is damaged.
 */
export async function openArchiveView(options: {
  readonly directory: string;
  readonly origin: string;
  readonly fs?: JournalFs;
}): Promise<ArchiveView> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await look(options);
    } catch (error) {
      // A head file that its writer replaced between our listing and our reading looks damaged, once.
      if (errorCode(error) !== "UNAVAILABLE" || attempt === ATTEMPTS) throw error;
    }
  }
}

async function look(options: {
  directory: string;
  origin: string;
  fs?: JournalFs;
}): Promise<ArchiveView> {
  const disk = openDisk(options.directory, options.fs);
  if (!(await checkIdentity(disk, options.origin))) {
    throw new CountersignError(
      "CONFIG_INVALID",
      `archive: ${options.directory} holds no archive; is it the directory that the service writes to?`,
    );
  }
  // The head first: what leaves it later is in a bundle by then, so nothing falls in between.
  const head = await recoverHead(disk);
  const tiles = await openTiles(disk);
  const bundled = tiles.count * BUNDLE_ENTRIES;
  const entries = head?.entries.slice(Math.max(0, bundled - head.first)) ?? [];
  const reader = createLogReader(
    tiles,
    entries.map((bytes) => unseal(bytes)),
  );
  return { size: BigInt(reader.size), read: (from, max) => reader.read(from, max) };
}
