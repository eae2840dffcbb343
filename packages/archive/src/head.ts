import { HEADER_MAGIC, encodeFrame } from "@countersign/journal";
import type { Disk, TailFile } from "./disk.ts";
import { scanHead } from "./head-scan.ts";
import { damaged } from "./tiles.ts";

const DIRECTORY = "log";
const NO_BODY = new Uint8Array(0);

/** What was found of the head when the archive was opened. */
export interface RecoveredHead {
  /** Position of the first entry. */
  readonly first: number;
  readonly entries: readonly Buffer[];
  /** Bytes of a write that no sync had covered; they are left behind. Nobody was told that they were stored. */
  readonly tornBytes: number;
}

/** The durable head of the log: one write-ahead file of journal frames (`seq` = position) behind the last full bundle. */
export interface Head {
  /** Position of the first entry in the file. */
  readonly first: number;
  /** Bytes in the file. The log starts a new one when this grows large. */
  readonly bytes: number;
  /** Writes one group and syncs it. Rejects with a `HeadError`. */
  append(entries: readonly Uint8Array[], first: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * Why an append failed and what that means. `undone`: the file is as it was, the same can be tried again. `unknown`:
 * a sync failed, and what the disk holds cannot be known any more (the kernel may have marked the pages clean).
 */
export class HeadError extends Error {
  readonly fate: "undone" | "unknown";

  constructor(fate: "undone" | "unknown", cause: unknown) {
    super(`head: append ${fate}`, { cause });
    this.fate = fate;
  }
}

/** Reads the head left by the last run, or undefined when there never was one. Rejects when durable bytes are damaged. */
export async function recoverHead(disk: Disk): Promise<RecoveredHead | undefined> {
  let best: RecoveredHead | undefined;
  for (const name of await headNames(disk)) {
    const head = await readHead(disk, name);
    // Two files: either the older one was about to be removed, or the newer one was given up. The one that reaches
    // further is the log; where they end alike, both hold the same, and the newer is shorter.
    if (best === undefined || endOf(head) >= endOf(best)) best = head;
  }
  return best;
}

async function readHead(disk: Disk, name: string): Promise<RecoveredHead> {
  const path = `${DIRECTORY}/${name}`;
  const bytes = (await disk.read(path)) ?? Buffer.alloc(0);
  const first = Number(name.slice(0, -".wal".length));
  const scan = scanHead(bytes, first);
  if (scan.verdict === "corrupt") throw damaged(path);
  return { first, entries: scan.entries, tornBytes: bytes.length - scan.goodBytes };
}

function endOf(head: RecoveredHead): number {
  return head.first + head.entries.length;
}

/**
 * Starts a new head file with `entries` from position `first`, then removes older ones. When it rejects, the older ones
 * are still there and the log may go on with them. Also done at every opening: after a failed sync the page cache may
 * show bytes that the disk does not hold, and writing them anew makes them real.
 */
export async function startHead(
  disk: Disk,
  first: number,
  entries: readonly Uint8Array[],
): Promise<Head> {
  await disk.makeDirectory(DIRECTORY);
  const name = `${String(first).padStart(16, "0")}.wal`;
  const bytes = encodeGroup(entries, first);
  await disk.replace(`${DIRECTORY}/${name}`, bytes);
  const file = await disk.openTail(`${DIRECTORY}/${name}`);
  for (const older of await headNames(disk).catch(() => [])) {
    // What stays behind is recognised as superseded by the next opening.
    if (older !== name) await disk.remove(`${DIRECTORY}/${older}`).catch(() => undefined);
  }
  return new HeadFile(file, first, bytes.length);
}

class HeadFile implements Head {
  readonly first: number;
  readonly #file: TailFile;
  #bytes: number;

  constructor(file: TailFile, first: number, bytes: number) {
    this.#file = file;
    this.first = first;
    this.#bytes = bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(entries: readonly Uint8Array[], first: number): Promise<void> {
    const group = encodeGroup(entries, first);
    try {
      await this.#file.write(group, this.#bytes);
    } catch (error) {
      await this.#undo(error);
    }
    try {
      await this.#file.sync();
    } catch (error) {
      throw new HeadError("unknown", error);
    }
    this.#bytes += group.length;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  /** A write that failed (disk full, usually) is taken back, so that the log can go on once there is room. */
  async #undo(error: unknown): Promise<never> {
    try {
      await this.#file.truncate(this.#bytes);
      await this.#file.sync();
    } catch {
      throw new HeadError("unknown", error);
    }
    throw new HeadError("undone", error);
  }
}

/** A group: a header frame that says which position comes next, and a record frame for each entry. */
function encodeGroup(entries: readonly Uint8Array[], first: number): Buffer {
  const frames = entries.map((entry, index) => encodeFrame(first + index, entry));
  return Buffer.concat([encodeFrame(first, NO_BODY, HEADER_MAGIC), ...frames]);
}

async function headNames(disk: Disk): Promise<string[]> {
  return (await disk.list(DIRECTORY)).filter((name) => /^[0-9]{16}\.wal$/.test(name));
}
