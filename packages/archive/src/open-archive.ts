import { mkdir } from "node:fs/promises";
import type { JournalFs } from "@countersign/journal";
import type { Logger } from "@countersign/model";
import { openDisk } from "./disk.ts";
import { takeLock } from "./lock.ts";
import type { ArchiveLog } from "./log.ts";
import { recoverLog } from "./log-recover.ts";
import { createLog } from "./log-writer.ts";

/** Where the archive is and what it may use. */
export interface ArchiveOptions {
  /** Made (0700) when missing. A local file system: no network share can promise fdatasync. */
  readonly directory: string;
  /** The log's name, `audit.example/<tenant>`; fixed at the first opening, part of every later proof. */
  readonly origin: string;
  readonly log?: Logger;
  /** Start a new head file beyond this size. Default 16 MiB. */
  readonly headMaxBytes?: number;
  /** Events waiting to be written before `append` answers OVERLOADED. Default 8,192 (and 64 MiB). */
  readonly queueMaxEvents?: number;
  /** The disk; tests make it faulty. */
  readonly fs?: JournalFs;
}

/**
 * Opens or makes an archive. Rejects UNAVAILABLE when another process has it or when what is on disk is damaged,
 * CONFIG_INVALID when it is some other log. A torn last write is cut off and counted.
 */
export async function openArchive(options: ArchiveOptions): Promise<ArchiveLog> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const lock = await takeLock(options.directory);
  try {
    const disk = openDisk(options.directory, options.fs);
    const recovered = await recoverLog(disk, options.origin);
    if (recovered.tornBytes > 0) {
      options.log?.warn("archive: cut off an unfinished write at the end of the log", {
        bytes: recovered.tornBytes,
      });
    }
    return createLog(disk, recovered, { ...options, release: () => lock.release() });
  } catch (error) {
    lock.release();
    throw error;
  }
}
