import { CountersignError } from "@countersign/model";
import {
  BUNDLE_ENTRIES,
  HASH_TILE_BYTES,
  decodeBundle,
  encodeBundle,
  encodeHashTile,
} from "./bundle.ts";
import type { Disk } from "./disk.ts";
import { entriesPath, hashTilePath } from "./tile-path.ts";

/** Decoded bundles kept in memory for readers that walk the log: 4 × 256 entries. */
const CACHED_BUNDLES = 4;

/** The part of the log that is in its final form: full bundles and their level-0 tiles. */
export interface Tiles {
  /** Full bundles on disk; entry `n` is here when `n < count * 256`. */
  readonly count: number;
  /** Writes the next bundle, durable when it resolves. Exactly 256 entries. */
  write(entries: readonly Uint8Array[]): Promise<void>;
  /** The entries of one bundle, each compared with its leaf hash. Rejects when the disk gives back something else. */
  read(index: number): Promise<readonly Buffer[]>;
}

/** Finds what is there. Rejects when a tile is missing in the middle or has the wrong size. */
export async function openTiles(disk: Disk): Promise<Tiles> {
  return new TileStore(disk, await countTiles(disk));
}

class TileStore implements Tiles {
  readonly #disk: Disk;
  readonly #cache = new Map<number, readonly Buffer[]>();
  #count: number;

  constructor(disk: Disk, count: number) {
    this.#disk = disk;
    this.#count = count;
  }

  get count(): number {
    return this.#count;
  }

  async write(entries: readonly Uint8Array[]): Promise<void> {
    if (entries.length !== BUNDLE_ENTRIES) throw new RangeError("a bundle holds 256 entries");
    const index = this.#count;
    if (index % 1000 === 0) {
      await this.#disk.makeDirectory(parent(entriesPath(index)));
      await this.#disk.makeDirectory(parent(hashTilePath(index)));
    }
    // Entries first: the tile is what makes the bundle count, as a checkpoint will make the tiles count.
    await this.#disk.replace(entriesPath(index), encodeBundle(entries));
    await this.#disk.replace(hashTilePath(index), encodeHashTile(entries));
    this.#count = index + 1;
  }

  async read(index: number): Promise<readonly Buffer[]> {
    const cached = this.#cache.get(index);
    if (cached !== undefined) return cached;
    const [bundle, tile] = await Promise.all([
      this.#disk.read(entriesPath(index)),
      this.#disk.read(hashTilePath(index)),
    ]);
    const entries = bundle && tile && decodeBundle(bundle, tile);
    if (entries === undefined) throw damaged(entriesPath(index));
    this.#cache.set(index, entries);
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= CACHED_BUNDLES) break;
      this.#cache.delete(oldest);
    }
    return entries;
  }
}

/** The sentence an operator needs when the disk no longer holds what was written to it. */
export function damaged(file: string): CountersignError {
  return new CountersignError(
    "UNAVAILABLE",
    `archive: ${file} is damaged or missing, so the log cannot be trusted as it is. Nothing was changed. ` +
      "Stop the service, keep a copy of the directory as evidence, restore it from a backup, and check the disk.",
  );
}

/** Counts level-0 tiles by walking the groups of three digits in order: a hole is damage, not an end. */
async function countTiles(disk: Disk): Promise<number> {
  const found = await indexesBelow(disk, "tile/0", 0);
  for (const [expected, index] of found.entries()) {
    if (index !== expected) throw damaged(hashTilePath(expected));
  }
  for (const index of found) {
    if ((await disk.size(hashTilePath(index))) !== HASH_TILE_BYTES)
      throw damaged(hashTilePath(index));
  }
  return found.length;
}

async function indexesBelow(disk: Disk, path: string, base: number): Promise<number[]> {
  const found: number[] = [];
  for (const name of await disk.list(path)) {
    const digits = /^(x?)([0-9]{3})$/.exec(name);
    if (digits === null) continue;
    const index = base * 1000 + Number(digits[2]);
    if (digits[1] === "") found.push(index);
    else found.push(...(await indexesBelow(disk, `${path}/${name}`, index)));
  }
  return found.toSorted((a, b) => a - b);
}

function parent(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
