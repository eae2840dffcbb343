import { createHash, createHmac } from "node:crypto";
import type { SealedEvent } from "@countersign/model";

/** A key that the receiver knows as well. */
export interface SigningKey {
  readonly id: string;
  readonly secret: string;
}

/** Name of the header that {@link signatureOf} is the value of. */
export const SIGNATURE_HEADER = "countersign-signature";

/**
 * `v=1,t=<seconds since 1970>,<key id>=<hex>`, one `id=hex` for each key: HMAC-SHA256 by its secret over `<t>.<body>`, the body before
 * compression. The time is in what is signed, so that a receiver can refuse what is old; two keys let one be replaced by the other.
 */
export function signatureOf(
  body: Uint8Array,
  keys: readonly SigningKey[],
  nowMs: number = Date.now(),
): string {
  const time = String(Math.floor(nowMs / 1000));
  const marks = keys.map(
    ({ id, secret }) =>
      `${id}=${createHmac("sha256", secret).update(`${time}.`).update(body).digest("hex")}`,
  );
  return `v=1,t=${time},${marks.join(",")}`;
}

/** The same events in the same order and form have the same key: SHA-256 over the mapping and their hashes, hex. */
export function idempotencyKeyOf(events: readonly SealedEvent[], mapping: string): string {
  const hash = createHash("sha256").update(mapping);
  for (const event of events) hash.update(event.hash);
  return hash.digest("hex");
}
