import { randomBytes } from "node:crypto";
import {
  calculateJwkThumbprint,
  type CryptoKey,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
} from "jose";
import { loginError } from "./login-error.ts";

/** The key of one login. It never leaves the login store; calls are signed by call keys that it delegates to. */
export interface LoginKey {
  /** Private, ES256. */
  readonly jwk: JWK;
  /** RFC 7638 thumbprint. */
  readonly jkt: string;
  /** The same key for DPoP proofs (RFC 9449). */
  readonly pair: { readonly privateKey: CryptoKey; readonly publicKey: CryptoKey };
}

const SALT_BYTES = 32;

/** A fresh key. */
export async function createLoginKey(): Promise<LoginKey> {
  const pair = await generateKeyPair("ES256", { extractable: true });
  return ofPair(pair, await exportJWK(pair.privateKey));
}

/** The key again, from where it was kept. Throws `CONFIG_INVALID` when it is none; the message says nothing of it. */
export async function readLoginKey(jwk: JWK): Promise<LoginKey> {
  const { kty, crv, x, y, d } = jwk;
  try {
    const open = { kty, crv, x, y } as JWK;
    const pair = {
      privateKey: (await importJWK({ ...open, d } as JWK, "ES256")) as CryptoKey,
      publicKey: (await importJWK(open, "ES256", { extractable: true })) as CryptoKey,
    };
    return await ofPair(pair, { ...open, d } as JWK);
  } catch {
    throw loginError("CONFIG_INVALID", "the stored key cannot be read; run countersign login");
  }
}

async function ofPair(pair: LoginKey["pair"], jwk: JWK): Promise<LoginKey> {
  return { jwk, jkt: await calculateJwkThumbprint(jwk), pair };
}

/** Of the commitment in the `nonce`: random, so that it says nothing of the key to whoever sees the authorization request. */
export function createSalt(): string {
  return randomBytes(SALT_BYTES).toString("base64url");
}
