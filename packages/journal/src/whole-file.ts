// Small files, read and written whole. Each is at most 64 KiB: anything larger was not made by us.
import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { CountersignError } from "@countersign/model";
import { type JournalFile, type JournalFs, systemCode } from "./fs.ts";
import { readRange } from "./read-range.ts";

const MAX_BYTES = 65_536;
/** A directory or a link where a file of ours would be. */
const NO_FILE: ReadonlySet<string | undefined> = new Set(["EISDIR", "ELOOP", "EMLINK"]);

/** Writes all of `bytes` to a file opened for appending: a short write goes on where it stopped. */
export async function appendAll(file: JournalFile, bytes: Uint8Array): Promise<void> {
  let taken = await file.append(bytes);
  while (taken < bytes.length) {
    const more = await file.append(bytes.subarray(taken));
    if (more === 0) throw new CountersignError("UNAVAILABLE", "journal: the disk takes no bytes");
    taken += more;
  }
}

/** Content of a small file; undefined if there is none. */
export async function readWhole(fs: JournalFs, path: string): Promise<Buffer | undefined> {
  let file: JournalFile;
  try {
    file = await fs.open(path, "read");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    return await readRange(file, 0, Math.min(await file.size(), MAX_BYTES));
  } finally {
    await file.close();
  }
}

/** JSON object in a small file; undefined if there is no file, or its content is not one. */
export async function readJson(
  fs: JournalFs,
  path: string,
): Promise<Record<string, unknown> | undefined> {
  const bytes = await readWhole(fs, path).catch((error: unknown) => {
    if (NO_FILE.has(systemCode(error))) return undefined;
    throw error;
  });
  if (bytes === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

async function writeAside(
  fs: JournalFs,
  path: string,
  content: { readonly text: string; readonly durable: boolean },
): Promise<string> {
  const aside = `${path}.${randomBytes(6).toString("hex")}.tmp`;
  const file = await fs.open(aside, "create");
  try {
    await appendAll(file, Buffer.from(content.text));
    if (content.durable) await file.sync();
  } finally {
    await file.close();
  }
  return aside;
}

/** Replaces a small file: a reader sees the old content or the new, and so does a power cut. */
export async function replaceFile(fs: JournalFs, path: string, text: string): Promise<void> {
  const aside = await writeAside(fs, path, { text, durable: true });
  await fs.rename(aside, path);
  await fs.syncDirectory(dirname(path));
}

/** Makes a small file, whole at its first appearance; false if the name is taken already. */
export async function createExclusive(
  fs: JournalFs,
  path: string,
  content: { readonly text: string; readonly durable: boolean },
): Promise<boolean> {
  const aside = await writeAside(fs, path, content);
  try {
    await fs.link(aside, path);
    return true;
  } catch (error) {
    if (systemCode(error) === "EEXIST") return false;
    throw error;
  } finally {
    await fs.remove(aside);
  }
}
