const MAGIC = 0x43534a31;
export const FRAME_HEADER_BYTES = 20;
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = c & 1 ? (c >>> 1) ^ 0x82f63b78 : c >>> 1;
  return c;
});
function crc32c(parts: readonly Uint8Array[]): number {
  let c = 0xffffffff;
  for (const part of parts) for (const byte of part) c = (TABLE[(c ^ byte) & 0xff] as number) ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}
export interface Frame { seq: number; body: Buffer; end: number }
export function encodeFrame(seq: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(body.length, 4);
  header.writeBigUInt64BE(BigInt(seq), 8);
  header.writeUInt32BE(crc32c([header.subarray(4, 16), body]), 16);
  return Buffer.concat([header, body]);
}
export function decodeFrame(bytes: Buffer, at: number): Frame | undefined {
  if (at + FRAME_HEADER_BYTES > bytes.length || bytes.readUInt32BE(at) !== MAGIC) return undefined;
  const end = at + FRAME_HEADER_BYTES + bytes.readUInt32BE(at + 4);
  if (end > bytes.length) return undefined;
  const body = bytes.subarray(at + FRAME_HEADER_BYTES, end);
  if (crc32c([bytes.subarray(at + 4, at + 16), body]) !== bytes.readUInt32BE(at + 16)) return undefined;
  return { seq: Number(bytes.readBigUInt64BE(at + 8)), body, end };
}
export const MAGIC_BYTES: Buffer = Buffer.from([0x43, 0x53, 0x4a, 0x31]);
