import type { SealedEvent } from "@countersign/model";
import { openIndex, type ArchiveIndex } from "../event-index.ts";
import { type ArchiveLog } from "../log.ts";
import { openArchive } from "../open-archive.ts";
import { temporaryDirectory } from "./place.ts";

const PATIENCE_MS = 20_000;

/** A real archive with its index, in a directory that goes with it. */
export interface ArchiveStand {
  readonly directory: string;
  readonly log: ArchiveLog;
  readonly index: ArchiveIndex;
  /** Appends and waits until the index has them. */
  put(events: readonly SealedEvent[]): Promise<void>;
  /** Waits until the index has everything. */
  caughtUp(): Promise<void>;
  /** Closes the index, lets `between` do something to its file, and opens it again. */
  reopenIndex(between?: () => Promise<void>): Promise<void>;
}

/** Opens one; `await using` closes it. */
export async function openArchiveStand(): Promise<ArchiveStand & AsyncDisposable> {
  const place = await temporaryDirectory();
  const directory = place.path;
  const log = await openArchive({ directory, origin: "archive.test/acme" });
  let index = await openIndex({ log, directory });
  const caughtUp = async (): Promise<void> => {
    if (log.size === 0n) return;
    await index.wait(Number(log.size) - 1, AbortSignal.timeout(PATIENCE_MS));
  };
  return {
    directory,
    log,
    get index() {
      return index;
    },
    caughtUp,
    put: async (events) => {
      await log.append(events);
      await caughtUp();
    },
    reopenIndex: async (between) => {
      await index.close();
      await between?.();
      index = await openIndex({ log, directory });
      await caughtUp();
    },
    [Symbol.asyncDispose]: async () => {
      await index.close();
      await log.close();
      await place[Symbol.asyncDispose]();
    },
  };
}
