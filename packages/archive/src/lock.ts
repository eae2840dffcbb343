import { join } from "node:path";
import { CountersignError } from "@countersign/model";

/** Held while this process may write; gone with the process, however it ends. */
export interface Lock {
  release(): void;
}

/**
 * Takes the archive's one writer's place, or rejects UNAVAILABLE when somebody has it. The lock is the kernel's, taken
 * through SQLite on an empty file: Node has no flock, and a file with a process id in it goes stale, and lies between
 * containers that share a volume.
 */
export async function takeLock(directory: string): Promise<Lock> {
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(join(directory, "writer.lock"));
  try {
    // A memory journal leaves no file behind that a later opener would want to roll back.
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE;");
  } catch (cause) {
    database.close();
    throw new CountersignError(
      "UNAVAILABLE",
      `archive: ${directory} is in use by another process; one archive has one writer. Stop the other one, or configure another directory.`,
      { cause },
    );
  }
  return { release: () => database.close() };
}
