// Who writes: the emitter's name, stable per state directory (contract, section 1). Never a host or user name.
import { randomBytes } from "node:crypto";
import { CountersignError } from "@countersign/model";
import type { JournalFs } from "./fs.ts";
import { emitterFile } from "./layout.ts";
import { createExclusive, readWhole } from "./whole-file.ts";

const EMITTER = /^[a-z0-9][a-z0-9._-]{0,62}$/;

/** Whether a text may name an emitter. */
export function isEmitter(text: string): boolean {
  return EMITTER.test(text);
}

/** Throws CONFIG_INVALID unless a configured name is well formed. */
export function checkEmitter(name: string): string {
  if (isEmitter(name)) return name;
  throw new CountersignError(
    "CONFIG_INVALID",
    "journal: the emitter's name (COUNTERSIGN_EMITTER) must match [a-z0-9][a-z0-9._-]{0,62}",
  );
}

/** The name kept in the journal's directory, made at random the first time. */
export async function storedEmitter(fs: JournalFs, directory: string): Promise<string> {
  const path = emitterFile(directory);
  const known = await readWhole(fs, path);
  if (known === undefined) {
    const text = `${randomBytes(8).toString("hex")}\n`;
    const made = await createExclusive(fs, path, { text, durable: true });
    if (made) await fs.syncDirectory(directory);
    // Another process may have been first; then its name is the one.
    if (!made) return await storedEmitter(fs, directory);
    return text.trim();
  }
  const name = known.toString("utf8").trim();
  if (isEmitter(name)) return name;
  throw new CountersignError(
    "CONFIG_INVALID",
    `journal: ${path} holds no valid emitter name. Restore it, or set COUNTERSIGN_EMITTER.`,
  );
}
