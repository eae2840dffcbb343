import { createHash } from "node:crypto";

/** Entries of a full tile (c2sp.org/tlog-tiles: tiles are 256 wide). */
export const BUNDLE_ENTRIES = 256;
/** A bundle stores an entry's length in 16 bits. */
export const MAX_ENTRY_BYTES = 65_535;
const HASH_BYTES = 32;
/** Size of a full level-0 tile: 256 hashes of 32 bytes. */
export const HASH_TILE_BYTES: number = BUNDLE_ENTRIES * HASH_BYTES;

const LEAF_PREFIX = Uint8Array.of(0);

/** RFC 6962 leaf hash: SHA-256 over 0x00 and the entry. Not the event's `hash`, which has no prefix. */
export function leafHash(entry: Uint8Array): Buffer {
  return createHash("sha256").update(LEAF_PREFIX).update(entry).digest();
}

/** tlog-tiles entry bundle: uint16 big-endian length and the entry, repeated. */
export function encodeBundle(entries: readonly Uint8Array[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    if (entry.length > MAX_ENTRY_BYTES) throw new RangeError("entry longer than 65,535 bytes");
    const length = Buffer.alloc(2);
    length.writeUInt16BE(entry.length);
    parts.push(length, entry);
  }
  return Buffer.concat(parts);
}

/** The level-0 tile of the same entries. */
export function encodeHashTile(entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat(entries.map(leafHash));
}

/**
 * The entries of a full bundle, each compared with its hash in the tile. Returns undefined when anything differs:
 * count, lengths, trailing bytes, one hash. The bundle has no other checksum.
 */
export function decodeBundle(bundle: Buffer, tile: Buffer): Buffer[] | undefined {
  if (tile.length !== HASH_TILE_BYTES) return undefined;
  const entries: Buffer[] = [];
  let at = 0;
  while (at < bundle.length) {
    if (entries.length === BUNDLE_ENTRIES || at + 2 > bundle.length) return undefined;
    const end = at + 2 + bundle.readUInt16BE(at);
    if (end > bundle.length) return undefined;
    const entry = bundle.subarray(at + 2, end);
    const offset = entries.length * HASH_BYTES;
    if (!leafHash(entry).equals(tile.subarray(offset, offset + HASH_BYTES))) return undefined;
    entries.push(entry);
    at = end;
  }
  return entries.length === BUNDLE_ENTRIES ? entries : undefined;
}
