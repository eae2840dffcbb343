import { constants, type Stats } from "node:fs";
import { lstat, mkdir, open, readdir, rename, unlink } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { dirname, join } from "node:path";
import { cannotWrite } from "./cannot-write.ts";
import { loginError } from "./login-error.ts";

const MAX_BYTES = 512 * 1024;
const LEFTOVER = /^\.[0-9a-f]{16}\.tmp$/;
/** Windows has neither; its profile directory is the user's alone. */
const NO_FOLLOW = constants.O_NOFOLLOW ?? 0;

/** Makes the directory (0700), or looks whether the one that is there is ours alone. Rejects `UNAVAILABLE`, `CONFIG_INVALID`. */
export async function ensurePrivateDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw cannotWrite(directory, error);
  });
  await requirePrivateDirectory(directory);
}

/** `false` when it is not there. Rejects `CONFIG_INVALID` when anybody else could read or plant something in it. */
export async function requirePrivateDirectory(directory: string): Promise<boolean> {
  const stats = await statsOf(directory);
  if (stats === undefined) return false;
  if (!stats.isDirectory()) throw refused(directory, "it is no directory (or a symbolic link)");
  requireOwn(directory, stats, "700");
  return true;
}

/**
 * The text of a file that only this user can have written and read; `undefined` when it is not there. Rejects `CONFIG_INVALID` for a
 * symbolic link, another owner, a mode wider than 0600, or more than 512 KiB.
 */
export async function readPrivate(file: string): Promise<string | undefined> {
  const stats = await statsOf(file);
  if (stats === undefined) return undefined;
  if (!stats.isFile()) throw refused(file, "it is no regular file (or a symbolic link)");
  const handle = await open(file, constants.O_RDONLY | NO_FOLLOW).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw refused(file, `it cannot be opened (${error.code ?? "unknown error"})`);
    },
  );
  if (handle === undefined) return undefined;
  try {
    const opened = await handle.stat(); // of what was opened, not of what the name means by now
    if (!opened.isFile()) throw refused(file, "it is no regular file");
    requireOwn(file, opened, "600");
    if (opened.size > MAX_BYTES) throw refused(file, `it is larger than ${MAX_BYTES} bytes`);
    return await handle.readFile("utf8");
  } finally {
    await handle.close();
  }
}

/** Writes a 0600 file that is there as a whole or not at all, also after a crash. Rejects `UNAVAILABLE`. */
export async function writePrivate(file: string, text: string): Promise<void> {
  const temporary = join(dirname(file), `.${randomBytes(8).toString("hex")}.tmp`);
  try {
    await writeNew(temporary, text);
    await rename(temporary, file);
  } catch (error) {
    await unlink(temporary).catch(() => {});
    throw cannotWrite(file, error);
  }
  await syncDirectory(dirname(file));
}

async function writeNew(file: string, text: string): Promise<void> {
  const handle = await open(file, "wx", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Removes a file; a symbolic link itself, not what it leads to. Rejects `UNAVAILABLE`. */
export async function removeFile(file: string): Promise<void> {
  await unlink(file).catch((error: unknown) => {
    if (!isAbsent(error)) throw cannotWrite(file, error);
  });
}

/** What a process that was killed while it wrote has left: it holds what the file would. */
export async function removeLeftovers(directory: string): Promise<void> {
  const names = await readdir(directory).catch(() => []);
  for (const name of names) {
    if (LEFTOVER.test(name)) await removeFile(join(directory, name));
  }
}

/** So that a rotated refresh token survives a power cut. Not every system has it. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r").catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

function requireOwn(path: string, stats: Stats, mode: string): void {
  const uid = process.getuid?.();
  if (uid === undefined) return;
  if (stats.uid !== uid) throw refused(path, "it belongs to another user");
  if ((stats.mode & 0o077) !== 0) {
    throw refused(path, `others may use it; chmod ${mode} it, or remove it and log in again`);
  }
}

function refused(path: string, why: string): Error {
  return loginError("CONFIG_INVALID", `${path} is not used: ${why}`);
}

async function statsOf(path: string): Promise<Stats | undefined> {
  return lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (isAbsent(error)) return undefined;
    throw refused(path, `it cannot be looked at (${error.code ?? "unknown error"})`);
  });
}

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === "ENOENT" || code === "ENOTDIR";
}
