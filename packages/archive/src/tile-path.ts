/**
 * Where tlog-tiles puts things (c2sp.org/tlog-tiles): `<N>` in zero-padded groups of three digits, all but the last
 * prefixed `x`, so that no directory holds more than a thousand names: 1234067 is `x001/x234/067`.
 */
export function tileIndexPath(index: number): string {
  if (!Number.isSafeInteger(index) || index < 0) throw new RangeError("tile index out of range");
  let path = String(index % 1000).padStart(3, "0");
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    path = `x${String(rest % 1000).padStart(3, "0")}/${path}`;
  }
  return path;
}

/** The bundle of entries `index * 256 …`, relative to the archive. */
export function entriesPath(index: number): string {
  return `tile/entries/${tileIndexPath(index)}`;
}

/** The level-0 tile: the leaf hashes of the same 256 entries. */
export function hashTilePath(index: number): string {
  return `tile/0/${tileIndexPath(index)}`;
}
