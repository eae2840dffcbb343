import { randomBytes } from "node:crypto";
import { link, readFile, rename, stat, unlink, writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { cannotWrite } from "./cannot-write.ts";
import { loginError } from "./login-error.ts";

/** Whoever holds the lock does one exchange with the identity provider, which takes less than this. */
const STALE_AFTER_MS = 60_000;
const POLL_MS = 50;

/**
 * Runs while no other process of this user does so under the same lock file. A lock of a process that is gone, or older than any holder may be,
 * is taken over. Rejects `UNAVAILABLE` when the signal ends the wait or the file cannot be written, and as `run` does.
 */
export async function withLock<T>(
  file: string,
  signal: AbortSignal,
  run: () => Promise<T>,
): Promise<T> {
  const own = JSON.stringify({ pid: process.pid, id: randomBytes(8).toString("hex") });
  while (!(await take(file, own))) {
    await removeStale(file);
    try {
      await delay(POLL_MS, undefined, { signal });
    } catch {
      throw loginError("UNAVAILABLE", "another countersign process holds the login; try again");
    }
  }
  try {
    return await run();
  } finally {
    // Somebody who took it over after a minute keeps it.
    if ((await textOf(file)) === own) await unlink(file).catch(() => {});
  }
}

/** The content is there before the name is: a lock without an owner in it cannot be judged. */
async function take(file: string, own: string): Promise<boolean> {
  const draft = `${file}.${randomBytes(8).toString("hex")}`;
  try {
    await writeFile(draft, own, { flag: "wx", mode: 0o600 });
    await link(draft, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw cannotWrite(file, error);
  } finally {
    await unlink(draft).catch(() => {});
  }
}

async function removeStale(file: string): Promise<void> {
  const seen = await textOf(file);
  if (seen === undefined || !(await isStale(file, seen))) return;
  // Moved away first and looked at again: in between, somebody else may have done the same and taken the lock.
  const aside = `${file}.${randomBytes(8).toString("hex")}`;
  await rename(file, aside).catch(() => {});
  const moved = await textOf(aside);
  if (moved !== undefined && moved !== seen) await link(aside, file).catch(() => {});
  await unlink(aside).catch(() => {});
}

async function isStale(file: string, text: string): Promise<boolean> {
  const since = await stat(file).catch(() => undefined);
  if (since !== undefined && Date.now() - since.mtimeMs > STALE_AFTER_MS) return true;
  const pid = pidIn(text);
  return pid === undefined || !isRunning(pid);
}

function pidIn(text: string): number | undefined {
  try {
    const { pid } = JSON.parse(text) as { pid?: unknown };
    return typeof pid === "number" && Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function textOf(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch(() => undefined);
}
