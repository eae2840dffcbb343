// How far the processor has acknowledged an epoch: one frame with an empty body, whose number is the next to ship. Not
// synced at every step: a cursor that is behind, or torn, only means that events are sent again, and they are dropped as
// duplicates. Synced, and its name with it, before anything is deleted on its word: a power cut may bring back some of the
// deleted segments and not others, and without the cursor what stays away would look lost.
import { decodeFrame, encodeFrame } from "../frames.ts";
import { type JournalFile, type JournalFs, systemCode } from "../fs.ts";
import { cursorPath } from "../layout.ts";
import { appendAll, readWhole } from "../whole-file.ts";

const EMPTY = new Uint8Array();

/** The cursor of one epoch. */
export interface Cursor {
  /** Number of the next event to ship; undefined if nothing is known. */
  readonly next: number | undefined;
  move(next: number): Promise<void>;
  /** Makes content and name durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** What a cursor file says; undefined if there is none, or it is torn. */
export async function readCursor(fs: JournalFs, epochPath: string): Promise<number | undefined> {
  const bytes = await readWhole(fs, cursorPath(epochPath));
  const frame = bytes === undefined ? "bad" : decodeFrame(bytes, 0);
  return typeof frame === "object" ? frame.seq : undefined;
}

/** Opens the cursor of an epoch whose lease we hold. */
export async function openCursor(fs: JournalFs, epochPath: string): Promise<Cursor> {
  const next = await readCursor(fs, epochPath);
  return new FileCursor(fs, epochPath, next);
}

class FileCursor implements Cursor {
  next: number | undefined;
  private readonly fs: JournalFs;
  private readonly epochPath: string;
  private file: JournalFile | undefined;
  private named = false;

  constructor(fs: JournalFs, epochPath: string, next: number | undefined) {
    this.fs = fs;
    this.epochPath = epochPath;
    this.next = next;
  }

  async move(next: number): Promise<void> {
    this.file ??= await openForUpdate(this.fs, cursorPath(this.epochPath), next);
    await this.file.write(encodeFrame(next, EMPTY), 0);
    this.next = next;
  }

  async sync(): Promise<void> {
    if (this.next === undefined) return;
    this.file ??= await openForUpdate(this.fs, cursorPath(this.epochPath), this.next);
    await this.file.datasync();
    if (!this.named) await this.fs.syncDirectory(this.epochPath);
    this.named = true;
  }

  async close(): Promise<void> {
    const { file } = this;
    this.file = undefined;
    await file?.close();
  }
}

async function openForUpdate(fs: JournalFs, path: string, next: number): Promise<JournalFile> {
  try {
    return await fs.open(path, "update");
  } catch (error) {
    if (systemCode(error) !== "ENOENT") throw error;
  }
  // A file opened for appending ignores positions, so it is made and opened again.
  const made = await fs.open(path, "create");
  await appendAll(made, encodeFrame(next, EMPTY));
  await made.close();
  return await fs.open(path, "update");
}
