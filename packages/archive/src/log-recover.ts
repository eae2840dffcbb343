import { CountersignError, unseal, type SealedEvent } from "@countersign/model";
import { BUNDLE_ENTRIES, leafHash } from "./bundle.ts";
import type { Disk } from "./disk.ts";
import { createEpochBook, type EpochBook } from "./epoch-book.ts";
import { keyOf } from "./event-key.ts";
import { recoverHead, startHead, type Head } from "./head.ts";
import { readSnapshot } from "./snapshot.ts";
import { damaged, openTiles, type Tiles } from "./tiles.ts";
import { hashTilePath } from "./tile-path.ts";

const IDENTITY = "archive.json";

/** A log brought back to where it was: everything a writer needs to go on. */
export interface RecoveredLog {
  readonly tiles: Tiles;
  readonly head: Head;
  /** Events behind the last full bundle, from position `tiles.count * 256`. Fewer than 256. */
  readonly tail: SealedEvent[];
  readonly book: EpochBook;
  readonly tornBytes: number;
}

/** Finds, checks and mends (a torn last write only) what the last run left. */
export async function recoverLog(disk: Disk, origin: string): Promise<RecoveredLog> {
  const known = await checkIdentity(disk, origin);
  const tiles = await openTiles(disk);
  const found = await recoverHead(disk);
  // The head file is made before the identity and never without a successor.
  if (found === undefined && (known || tiles.count > 0)) throw damaged("log/");
  const entries = found?.entries ?? [];
  if (!known && entries.length > 0) throw damaged(IDENTITY);
  const bundled = tiles.count * BUNDLE_ENTRIES;
  const overlap = bundled - (found?.first ?? 0);
  if (overlap < 0 || overlap > entries.length) throw damaged("log/");
  await checkOverlap(disk, tiles, found?.first ?? 0, entries.slice(0, overlap));
  const tail = entries.slice(overlap);
  while (tail.length >= BUNDLE_ENTRIES) await tiles.write(tail.splice(0, BUNDLE_ENTRIES));
  const head = await startHead(disk, tiles.count * BUNDLE_ENTRIES, tail);
  if (!known) await disk.replace(IDENTITY, Buffer.from(identity(origin)));
  const events = tail.map((bytes) => unseal(bytes));
  const book = await rebuildBook(disk, tiles, events);
  return { tiles, head, tail: events, book, tornBytes: found?.tornBytes ?? 0 };
}

function identity(origin: string): string {
  return `${JSON.stringify({ format: "countersign-archive/1", origin })}\n`;
}

/** Whether there is an archive; rejects CONFIG_INVALID when it is another one. */
export async function checkIdentity(disk: Disk, origin: string): Promise<boolean> {
  const text = (await disk.read(IDENTITY))?.toString("utf8");
  if (text === undefined) return false;
  if (text === identity(origin)) return true;
  throw new CountersignError(
    "CONFIG_INVALID",
    `archive: ${IDENTITY} does not say format countersign-archive/1 with the configured origin. ` +
      "One directory holds one log: set `origin` to the name in that file, or configure another directory.",
  );
}

/** Entries that stand in the head as well as in a bundle must be the same ones. */
async function checkOverlap(
  disk: Disk,
  tiles: Tiles,
  first: number,
  entries: readonly Buffer[],
): Promise<void> {
  for (let at = 0; at < entries.length;) {
    const index = Math.floor((first + at) / BUNDLE_ENTRIES);
    const stored = await tiles.read(index);
    for (const entry of stored.slice((first + at) % BUNDLE_ENTRIES)) {
      if (at === entries.length) return;
      if (!leafHash(entry).equals(leafHash(entries[at] as Buffer)))
        throw damaged(hashTilePath(index));
      at += 1;
    }
  }
}

/** From the snapshot, when it is of this log; the rest, or all of it, from the entries themselves. */
async function rebuildBook(
  disk: Disk,
  tiles: Tiles,
  tail: readonly SealedEvent[],
): Promise<EpochBook> {
  const bundled = tiles.count * BUNDLE_ENTRIES;
  const snapshot = await readSnapshot(disk);
  const usable =
    snapshot !== undefined &&
    snapshot.size <= bundled + tail.length &&
    (await hashAt(tiles, tail, snapshot.size - 1)) === snapshot.lastHash;
  const book = createEpochBook(usable ? snapshot.epochs : {});
  let position = usable ? snapshot.size : 0;
  while (position < bundled) {
    const bundle = await tiles.read(Math.floor(position / BUNDLE_ENTRIES));
    for (const bytes of bundle.slice(position % BUNDLE_ENTRIES)) {
      remember(book, unseal(bytes), position);
      position += 1;
    }
  }
  for (const event of tail.slice(position - bundled)) {
    remember(book, event, position);
    position += 1;
  }
  return book;
}

function remember(book: EpochBook, sealed: SealedEvent, position: number): void {
  const key = keyOf(sealed);
  if (key !== undefined) book.add(key, position);
}

async function hashAt(
  tiles: Tiles,
  tail: readonly SealedEvent[],
  position: number,
): Promise<string | undefined> {
  const bundled = tiles.count * BUNDLE_ENTRIES;
  if (position >= bundled) return tail[position - bundled]?.hash;
  if (position < 0) return undefined;
  const bundle = await tiles.read(Math.floor(position / BUNDLE_ENTRIES));
  return unseal(bundle[position % BUNDLE_ENTRIES] as Buffer).hash;
}
