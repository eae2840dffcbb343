import { hash, randomUUID } from "node:crypto";

let lastMs = -1;
let counter = 0;
let prefix = "";

/**
 * UUIDv7 (RFC 9562). Within one millisecond the 12 bits after the time count up from a random start, so ids of one
 * process sort in the order in which they were made until 2,048 or more fall into one millisecond.
 */
export function uuidv7(nowMs: number = Date.now()): string {
  const ms = Math.floor(nowMs);
  const random = randomUUID();
  if (ms === lastMs) {
    counter = (counter + 1) & 0xfff;
  } else {
    lastMs = ms;
    // The upper bit starts at 0, so that at least half of the range is left to count in.
    counter = Number.parseInt(random.slice(15, 18), 16) & 0x7ff;
    const time = ms.toString(16).padStart(12, "0");
    prefix = `${time.slice(0, 8)}-${time.slice(8, 12)}-7`;
  }
  const count = counter.toString(16).padStart(3, "0");
  return `${prefix}${count}-${random.slice(19)}`;
}

/** UUIDv8 of the SHA-256 of some bytes: the same bytes give the same id. */
export function uuidv8From(bytes: Uint8Array | string): string {
  const hex = hash("sha256", bytes, "hex");
  const variant = ((Number.parseInt(hex.charAt(16), 16) & 0x3) | 0x8).toString(16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
