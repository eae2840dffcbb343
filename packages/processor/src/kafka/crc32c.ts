// CRC-32C (Castagnoli; RFC 3720, appendix B.4), the checksum of a batch of records: eight bytes a step.

const POLYNOMIAL = 0x82f63b78;
const STEP = 8;

/** `TABLES[k * 256 + byte]`: what `byte` comes to after `k` more bytes of zeros. */
const TABLES: Int32Array = tables();

function tables(): Int32Array {
  const made = new Int32Array(STEP * 256);
  for (let byte = 0; byte < 256; byte += 1) {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1)
      value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ POLYNOMIAL;
    made[byte] = value;
  }
  for (let at = 256; at < made.length; at += 1) {
    const before = made[at - 256] as number;
    made[at] = (before >>> 8) ^ (made[before & 0xff] as number);
  }
  return made;
}

/** The checksum, as an unsigned number. */
export function crc32c(bytes: Uint8Array): number {
  const t = TABLES;
  const { length } = bytes;
  const whole = length - (length % STEP);
  let crc = -1;
  let at = 0;
  for (; at < whole; at += STEP) {
    crc =
      (t[1792 + ((crc ^ (bytes[at] as number)) & 0xff)] as number) ^
      (t[1536 + (((crc >>> 8) ^ (bytes[at + 1] as number)) & 0xff)] as number) ^
      (t[1280 + (((crc >>> 16) ^ (bytes[at + 2] as number)) & 0xff)] as number) ^
      (t[1024 + ((crc >>> 24) ^ (bytes[at + 3] as number))] as number) ^
      (t[768 + (bytes[at + 4] as number)] as number) ^
      (t[512 + (bytes[at + 5] as number)] as number) ^
      (t[256 + (bytes[at + 6] as number)] as number) ^
      (t[bytes[at + 7] as number] as number);
  }
  for (; at < length; at += 1)
    crc = (t[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8);
  return ~crc >>> 0;
}
