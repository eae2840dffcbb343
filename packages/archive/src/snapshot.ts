import { createHash } from "node:crypto";
import type { Disk } from "./disk.ts";

const FILE = "epochs.snapshot";

/** What the epoch book knew when the log had `size` entries. Derived: without it, the book is rebuilt from the log. */
export interface Snapshot {
  readonly size: number;
  /** Event hash of entry `size - 1`: a snapshot of some other log is recognised and ignored. */
  readonly lastHash: string;
  readonly epochs: Record<string, readonly number[]>;
}

/** Reads the snapshot; undefined when there is none, or when it is damaged: it is only a short cut. */
export async function readSnapshot(disk: Disk): Promise<Snapshot | undefined> {
  const text = (await disk.read(FILE))?.toString("utf8");
  if (text === undefined) return undefined;
  const split = text.indexOf("\n");
  const body = text.slice(split + 1);
  if (split < 0 || text.slice(0, split) !== digest(body)) return undefined;
  return JSON.parse(body) as Snapshot;
}

/** Replaces the snapshot as a whole. */
export async function writeSnapshot(disk: Disk, snapshot: Snapshot): Promise<void> {
  const body = JSON.stringify(snapshot);
  await disk.replace(FILE, Buffer.from(`${digest(body)}\n${body}`));
}

function digest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
