import { CountersignError } from "@countersign/model";
import {
  calculateJwkThumbprint,
  CompactSign,
  compactVerify,
  type CryptoKey,
  importJWK,
  type JWK,
} from "jose";
import { hasExactly, isObject } from "./json.ts";
import { createRecentMap, type RecentMap } from "./recent-map.ts";

// A JWS that carries its own public key, as a DPoP proof does (RFC 9449, section 4.2). It proves that its maker has that key
// and nothing else: who the key belongs to, a token or a delegation says.

const MAX_KEYS = 1024;
const MAX_HEADER_CHARS = 1024;
/** 32 bytes, and 64, spelt in the one way there is: decoders ignore spare bits and stray characters, so another would verify too. */
const COORDINATE = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const SIGNATURE_AT_END = /\.[A-Za-z0-9_-]{85}[AQgw]$/;
const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { fatal: true });

/** Kinds of key, the algorithms each may sign with (RFC 7518; RFC 8037 and 9864), and the members its public JWK has. */
const EC = { algorithms: ["ES256"], members: ["kty", "crv", "x", "y"] } as const;
const OKP = { algorithms: ["EdDSA", "Ed25519"], members: ["kty", "crv", "x"] } as const;

/** What a key signed, and which. */
export interface KeyBoundJws {
  readonly claims: Readonly<Record<string, unknown>>;
  /** RFC 7638 thumbprint of the key, base64url SHA-256. */
  readonly jkt: string;
}

/** Verifies; remembers imported keys by the header they came in, 1,024 of them. */
export interface KeyBoundVerifier {
  /** `undefined`: not to be believed. Never rejects. */
  verify(jws: string, type: string): Promise<KeyBoundJws | undefined>;
}

interface KnownKey {
  readonly type: string;
  readonly algorithm: string;
  readonly key: CryptoKey;
  readonly jkt: string;
}

class Verifier implements KeyBoundVerifier {
  readonly #known: RecentMap<KnownKey> = createRecentMap(MAX_KEYS);

  async verify(jws: string, type: string): Promise<KeyBoundJws | undefined> {
    try {
      const header = jws.slice(0, jws.indexOf("."));
      if (!SIGNATURE_AT_END.test(jws)) return undefined;
      const known = this.#known.get(header) ?? (await this.#learn(header));
      if (known?.type !== type) return undefined;
      const { payload } = await compactVerify(jws, known.key, { algorithms: [known.algorithm] });
      const claims = JSON.parse(DECODER.decode(payload)) as unknown;
      return isObject(claims) ? { claims, jkt: known.jkt } : undefined;
    } catch {
      return undefined;
    }
  }

  async #learn(header: string): Promise<KnownKey | undefined> {
    if (header.length > MAX_HEADER_CHARS) return undefined;
    const { typ, alg, jwk, ...others } = JSON.parse(
      DECODER.decode(Buffer.from(header, "base64url")),
    ) as Record<string, unknown>;
    if (typeof typ !== "string" || typeof alg !== "string" || !isPublicKeyFor(alg, jwk)) {
      return undefined;
    }
    // kid, jku, x5u, x5c, crit, b64, …: nothing that could point to another key, or change what was signed.
    if (Object.keys(others).length > 0) return undefined;
    const key = (await importJWK(jwk, alg)) as CryptoKey;
    const known = { type: typ, algorithm: alg, key, jkt: await calculateJwkThumbprint(jwk) };
    this.#known.set(header, known);
    return known;
  }
}

/** Exactly the members of a public P-256 or Ed25519 key: no private one, no `alg`, `kid`, `x5u`. */
function isPublicKeyFor(algorithm: string, jwk: unknown): jwk is JWK {
  if (!isObject(jwk)) return false;
  const kind = kindOf(jwk);
  if (!(kind?.algorithms as readonly string[] | undefined)?.includes(algorithm)) return false;
  return hasExactly(jwk, kind?.members ?? []) && isCoordinate(jwk["x"]) && isCoordinateOf(jwk);
}

function isCoordinateOf(jwk: Readonly<Record<string, unknown>>): boolean {
  return jwk["kty"] === "OKP" || isCoordinate(jwk["y"]);
}

function isCoordinate(value: unknown): boolean {
  return typeof value === "string" && COORDINATE.test(value);
}

function kindOf(jwk: Readonly<Record<string, unknown>>): typeof EC | typeof OKP | undefined {
  if (jwk["kty"] === "EC" && jwk["crv"] === "P-256") return EC;
  return jwk["kty"] === "OKP" && jwk["crv"] === "Ed25519" ? OKP : undefined;
}

/** Makes a verifier. */
export function createKeyBoundVerifier(): KeyBoundVerifier {
  return new Verifier();
}

/** A private key, ready to sign. */
export interface KeyBoundSigner {
  /** Thumbprint of its public half. */
  readonly jkt: string;
  sign(type: string, claims: Readonly<Record<string, unknown>>): Promise<string>;
}

/** Takes a private P-256 or Ed25519 JWK. Throws `INPUT_INVALID` for anything else; the message says nothing of the key. */
export async function createKeyBoundSigner(privateKey: JWK): Promise<KeyBoundSigner> {
  const kind = kindOf(privateKey);
  if (kind === undefined || typeof privateKey.d !== "string") throw unusable();
  const members = kind.members.map((name) => [name, privateKey[name]] as const);
  const jwk = Object.fromEntries(members) as JWK;
  const alg = kind.algorithms[0];
  try {
    const key = (await importJWK({ ...jwk, d: privateKey.d }, alg)) as CryptoKey;
    const sign: KeyBoundSigner["sign"] = (typ, claims) =>
      new CompactSign(ENCODER.encode(JSON.stringify(claims)))
        .setProtectedHeader({ typ, alg, jwk })
        .sign(key);
    return { jkt: await calculateJwkThumbprint(jwk), sign };
  } catch {
    throw unusable();
  }
}

const POSSESSION_TYPE = "countersign-possession+jwt";

/**
 * Thumbprint of a private key that this process has: it signs, and what it signed verifies with its own public half. Throws
 * `INPUT_INVALID` for a key whose halves do not belong together.
 */
export async function provePossession(privateKey: JWK, atMs: number): Promise<string> {
  const signer = await createKeyBoundSigner(privateKey);
  const proof = await signer.sign(POSSESSION_TYPE, { iat: Math.floor(atMs / 1000) });
  const proven = await createKeyBoundVerifier().verify(proof, POSSESSION_TYPE);
  if (proven === undefined) throw unusable();
  return proven.jkt;
}

function unusable(): CountersignError {
  return new CountersignError(
    "INPUT_INVALID",
    "identity/credential: the key is no private P-256 or Ed25519 JWK; log in again",
  );
}
