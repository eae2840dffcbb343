// CRC-32C (Castagnoli, RFC 3720 appendix B.4), reflected polynomial 0x82f63b78, slicing by eight: eight table lookups
// for eight bytes, where the plain form needs eight dependent ones. Node has CRC-32 built in, but not this polynomial.
const POLYNOMIAL = 0x82f63b78;

/** Eight tables of 256 entries, one after the other. */
const TABLES: Int32Array = buildTables();

function buildTables(): Int32Array {
  const tables = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
    tables[byte] = crc;
  }
  for (let slot = 256; slot < tables.length; slot++) {
    const below = tables[slot - 256] as number;
    tables[slot] = (below >>> 8) ^ (tables[below & 0xff] as number);
  }
  return tables;
}

/**
 * CRC-32C of `bytes[start, end)`, as an unsigned integer. To go on where another call ended, pass its result as `seed`.
 */
export function crc32c(bytes: Uint8Array, start = 0, end: number = bytes.length, seed = 0): number {
  const table = TABLES;
  let crc = ~seed;
  let at = start;
  for (const whole = end - 7; at < whole; at += 8) {
    const word =
      crc ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24));
    crc =
      table[1792 + (word & 0xff)]! ^
      table[1536 + ((word >>> 8) & 0xff)]! ^
      table[1280 + ((word >>> 16) & 0xff)]! ^
      table[1024 + (word >>> 24)]! ^
      table[768 + bytes[at + 4]!]! ^
      table[512 + bytes[at + 5]!]! ^
      table[256 + bytes[at + 6]!]! ^
      table[bytes[at + 7]!]!;
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ table[(crc ^ bytes[at]!) & 0xff]!;
  return ~crc >>> 0;
}
