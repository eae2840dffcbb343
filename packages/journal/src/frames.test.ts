import * as fc from "fast-check";
import { expect, test } from "vitest";
import { crc32c } from "./crc32c.ts";
import {
  decodeFrame,
  encodeFrame,
  findFrame,
  FRAME_HEADER_BYTES,
  HEADER_MAGIC,
  MAX_FRAME_BODY_BYTES,
} from "./frames.ts";

const body = fc.uint8Array({ maxLength: 200 });
const seq = fc.maxSafeNat();

// RFC 3720, appendix B.4, and the usual check value.
test.each([
  ["123456789", Buffer.from("123456789"), 0xe3069283],
  ["32 zeros", Buffer.alloc(32), 0x8a9136aa],
  ["32 ones", Buffer.alloc(32, 0xff), 0x62a8ab43],
  ["ascending", Buffer.from(Array.from({ length: 32 }, (_, n) => n)), 0x46dd794e],
  ["nothing", Buffer.alloc(0), 0],
])("crc32c of %s", (_, bytes, expected) => {
  expect(crc32c(bytes)).toBe(expected);
});

test("crc32c goes on where it stopped, at any place", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, cut) => {
      const at = Math.min(cut, bytes.length);
      expect(crc32c(bytes, at, bytes.length, crc32c(bytes, 0, at))).toBe(crc32c(bytes));
    }),
  );
});

test("what was encoded is decoded, wherever it stands", () => {
  fc.assert(
    fc.property(seq, body, body, (number, content, before) => {
      const bytes = Buffer.concat([before, encodeFrame(number, content), before]);
      const frame = decodeFrame(bytes, before.length);
      expect(frame).toMatchObject({ seq: number, end: bytes.length - before.length });
      expect(typeof frame === "object" && Buffer.from(frame.body).equals(content)).toBe(true);
    }),
  );
});

test("the form on the disk is fixed", () => {
  expect(encodeFrame(2 ** 32 + 5, Buffer.from("{}")).toString("hex")).toBe(
    // magic, length, seq, crc, body
    ["ff435345", "00000002", "0000000100000005", "d6e21356", "7b7d"].join(""),
  );
});

test("every single bit flip is noticed", () => {
  const frame = encodeFrame(7, Buffer.from("a body of some bytes"));
  for (let bit = 0; bit < frame.length * 8; bit++) {
    const flipped = Buffer.from(frame);
    flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7));
    expect(typeof decodeFrame(flipped, 0)).toBe("string");
  }
});

test("every truncation is short, never bad: more bytes may complete it", () => {
  const frame = encodeFrame(7, Buffer.from("a body"));
  for (let length = 0; length < frame.length; length++) {
    expect(decodeFrame(frame.subarray(0, length), 0)).toBe("short");
  }
});

test("any bytes are looked at without throwing, and text is never a frame", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(64), (bytes, at) => {
      expect(() => decodeFrame(Buffer.from(bytes), at)).not.toThrow();
    }),
  );
  fc.assert(
    fc.property(fc.array(fc.nat(0x10ffff), { minLength: 20, maxLength: 40 }), (codePoints) => {
      const text = Buffer.from(String.fromCodePoint(...codePoints));
      expect(text.includes(0xff)).toBe(false);
      expect(decodeFrame(text, 0)).toBe("bad");
    }),
  );
});

test("a frame is found behind anything", () => {
  fc.assert(
    fc.property(seq, body, body, (number, content, before) => {
      const bytes = Buffer.concat([before, encodeFrame(number, content)]);
      expect(findFrame(bytes, 0)).toBeLessThanOrEqual(before.length);
    }),
  );
  expect(findFrame(Buffer.alloc(100, 0xff), 0)).toBeUndefined();
});

test("what cannot begin a frame is bad, however little of it there is", () => {
  const magic = encodeFrame(0, Buffer.alloc(0)).subarray(0, 4);
  for (let length = 1; length < FRAME_HEADER_BYTES; length++) {
    const bytes = Buffer.concat([magic, Buffer.alloc(FRAME_HEADER_BYTES)]).subarray(0, length);
    expect(decodeFrame(bytes, 0)).toBe("short");
    for (let at = 0; at < Math.min(length, 4); at++) {
      const other = Buffer.from(bytes);
      other[at] = (other[at] as number) ^ 1;
      expect(decodeFrame(other, 0)).toBe("bad");
    }
  }
  expect(decodeFrame(magic, 4)).toBe("short");
  expect(decodeFrame(magic, 5)).toBe("short");
});

test("a magic without a frame behind it is passed by", () => {
  const magic = encodeFrame(0, Buffer.alloc(0)).subarray(0, 4);
  const frame = encodeFrame(1, Buffer.from("a body"));
  expect(findFrame(Buffer.concat([magic, Buffer.alloc(40), frame]), 0)).toBe(44);
  expect(findFrame(Buffer.concat([frame, magic]), 1)).toBeUndefined();
});

/** A frame whose checksum is right, whatever its head says. */
function forged(length: number, number: bigint): Buffer {
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + length);
  encodeFrame(0, Buffer.alloc(0)).copy(bytes);
  bytes.writeUInt32BE(length, 4);
  bytes.writeBigUInt64BE(number, 8);
  bytes.writeUInt32BE(crc32c(bytes, 20, bytes.length, crc32c(bytes, 4, 16)), 16);
  return bytes;
}

test("size and number are held to their bounds, also with a checksum that is right", () => {
  const longest = forged(MAX_FRAME_BODY_BYTES, BigInt(Number.MAX_SAFE_INTEGER));
  expect(decodeFrame(longest, 0)).toMatchObject({ seq: Number.MAX_SAFE_INTEGER });
  expect(decodeFrame(forged(MAX_FRAME_BODY_BYTES + 1, 0n), 0)).toBe("bad");
  expect(decodeFrame(forged(0, BigInt(Number.MAX_SAFE_INTEGER) + 1n), 0)).toBe("bad");
  longest[16] = (longest[16] as number) ^ 1;
  expect(decodeFrame(longest, 0)).toBe("bad");
});

test("magic, size and number are held to their bounds", () => {
  expect(decodeFrame(encodeFrame(0, Buffer.alloc(0), HEADER_MAGIC), 0)).toBe("bad");
  const bug = expect.objectContaining({ code: "BUG" }) as Error;
  expect(() => encodeFrame(-1, Buffer.alloc(0))).toThrow(bug);
  expect(() => encodeFrame(-1, Buffer.alloc(0))).toThrow(/out of bounds/);
  expect(() => encodeFrame(0, Buffer.alloc(MAX_FRAME_BODY_BYTES + 1))).toThrow(/out of bounds/);
  const huge = encodeFrame(0, Buffer.alloc(0));
  huge.writeUInt32BE(MAX_FRAME_BODY_BYTES + 1, 4);
  expect(decodeFrame(Buffer.concat([huge, Buffer.alloc(100_000)]), 0)).toBe("bad");
  expect(encodeFrame(0, Buffer.alloc(MAX_FRAME_BODY_BYTES))).toHaveLength(
    FRAME_HEADER_BYTES + MAX_FRAME_BODY_BYTES,
  );
});
