// The frame every durable record lives in (big-endian):
//
//   magic u32 | length u32 | seq u64 | crc32c u32 (over length, seq, body) | body
//
// The first byte of both magics is 0xFF, which no UTF-8 text contains: what a body holds can never look like a frame.
// The CRC finds torn writes and rot, not forgers: that is the work of the hash chain and of the archive.
import { CountersignError } from "@countersign/model";
import { crc32c } from "./crc32c.ts";

/** Bytes before the body. */
export const FRAME_HEADER_BYTES = 20;
/** Largest body; an event has at most 32,768 bytes, a tlog entry 65,535. */
export const MAX_FRAME_BODY_BYTES = 65_536;
/** Magic of a frame that holds a record: `FF "CSE"`. */
export const RECORD_MAGIC = 0xff435345;
/** Magic of the frame that opens a segment: `FF "CSH"`. Its `seq` is that of the first record to come. */
export const HEADER_MAGIC = 0xff435348;

/** One decoded frame. `body` is a view of the buffer it was read from. */
export interface Frame {
  readonly seq: number;
  readonly body: Uint8Array;
  /** Where the frame began in the buffer, and where the next one may begin. */
  readonly start: number;
  readonly end: number;
}

/** What is found at an offset: a frame, the beginning of one that goes on past the buffer, or something else. */
export type Decoded = Frame | "short" | "bad";

/**
 * Writes a frame into `target` at `offset`, which must have room for it (3 bytes for each UTF-16 unit of a text); returns
 * the offset after it.
 */
export function writeFrame(
  target: Buffer,
  offset: number,
  seq: number,
  record: { readonly body: Uint8Array | string; readonly magic?: number },
): number {
  const { body, magic = RECORD_MAGIC } = record;
  const bodyStart = offset + FRAME_HEADER_BYTES;
  // A text goes to its place as it is: a buffer of its own would only be copied.
  const length = typeof body === "string" ? target.write(body, bodyStart) : body.length;
  if (length > MAX_FRAME_BODY_BYTES || !Number.isSafeInteger(seq) || seq < 0) {
    throw new CountersignError("BUG", "journal: a frame was made with a body or seq out of bounds");
  }
  target.writeUInt32BE(magic, offset);
  target.writeUInt32BE(length, offset + 4);
  target.writeUInt32BE(Math.floor(seq / 0x1_0000_0000), offset + 8);
  target.writeUInt32BE(seq >>> 0, offset + 12);
  if (typeof body !== "string") target.set(body, bodyStart);
  const end = bodyStart + length;
  target.writeUInt32BE(frameCrc(target, offset, end), offset + 16);
  return end;
}

/** A frame in a buffer of its own. */
export function encodeFrame(seq: number, body: Uint8Array, magic: number = RECORD_MAGIC): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + body.length);
  writeFrame(frame, 0, seq, { body, magic });
  return frame;
}

/**
 * Looks at `bytes` from `offset`. `short`: what is there could be the beginning of a frame, so more bytes may complete
 * it. `bad`: no further byte can make this a frame. Never throws, whatever the bytes are.
 */
export function decodeFrame(bytes: Buffer, offset: number, magic: number = RECORD_MAGIC): Decoded {
  const left = bytes.length - offset;
  if (left < FRAME_HEADER_BYTES) return startsLike(bytes, offset, magic) ? "short" : "bad";
  if (bytes.readUInt32BE(offset) !== magic) return "bad";
  const length = bytes.readUInt32BE(offset + 4);
  if (length > MAX_FRAME_BODY_BYTES) return "bad";
  const seq = bytes.readUInt32BE(offset + 8) * 0x1_0000_0000 + bytes.readUInt32BE(offset + 12);
  if (!Number.isSafeInteger(seq)) return "bad";
  const bodyStart = offset + FRAME_HEADER_BYTES;
  const end = bodyStart + length;
  if (end > bytes.length) return "short";
  if (bytes.readUInt32BE(offset + 16) !== frameCrc(bytes, offset, end)) return "bad";
  return { seq, body: bytes.subarray(bodyStart, end), start: offset, end };
}

/** Offset of the first whole, valid frame at or after `from`; undefined if `bytes` holds none. */
export function findFrame(
  bytes: Buffer,
  from: number,
  magic: number = RECORD_MAGIC,
): number | undefined {
  const mark = Buffer.allocUnsafe(4);
  mark.writeUInt32BE(magic);
  for (let at = bytes.indexOf(mark, from); at !== -1; at = bytes.indexOf(mark, at + 1)) {
    if (typeof decodeFrame(bytes, at, magic) === "object") return at;
  }
  return undefined;
}

function frameCrc(bytes: Buffer, offset: number, end: number): number {
  const head = crc32c(bytes, offset + 4, offset + 16);
  return crc32c(bytes, offset + FRAME_HEADER_BYTES, end, head);
}

/** True of no bytes at all. */
function startsLike(bytes: Buffer, offset: number, magic: number): boolean {
  for (let at = 0; at < 4 && offset + at < bytes.length; at++) {
    if (bytes[offset + at] !== ((magic >>> (24 - 8 * at)) & 0xff)) return false;
  }
  return true;
}
