import { createHmac, createSecretKey, type KeyObject } from "node:crypto";

/** Settings of `pseudonymise`. */
export interface PseudonymConfig {
  readonly attributes: readonly string[];
  readonly key: string;
  readonly kid: string;
}

/** Shortest key, in bytes of UTF-8: 32 random bytes in hex or base64 are longer. */
export const MIN_PSEUDONYM_KEY_BYTES = 32;

/** Gives a value of an attribute its pseudonym. */
export type Pseudonym = (attribute: string, value: string) => string;

const MAC_BYTES = 16;

/**
 * `ps1.<kid>.<mac>`, where mac is the base64url of the first 16 bytes of HMAC-SHA256(key, attribute ‖ 0x00 ‖ value), all UTF-8.
 * The same value of the same attribute has the same pseudonym as long as the key stays; without the key nobody can try values.
 */
export function createPseudonym({ key, kid }: Pick<PseudonymConfig, "key" | "kid">): Pseudonym {
  const secret: KeyObject = createSecretKey(Buffer.from(key, "utf8"));
  return (attribute, value) => {
    const mac = createHmac("sha256", secret).update(`${attribute}\0${value}`, "utf8").digest();
    return `ps1.${kid}.${mac.subarray(0, MAC_BYTES).toString("base64url")}`;
  };
}
