import type { JWK } from "jose";

/** One login, ready to sign for calls. */
export interface Credential {
  /** The login token, or an exchanged one. */
  readonly token: string;
  /** Of the `nonce` binding only. */
  readonly salt?: string;
  /** By the login key, for `key`; absent when `key` is the login key itself. */
  readonly delegation?: string;
  /** Private. */
  readonly key: JWK;
  /** Milliseconds since the epoch. */
  readonly expiresAtMs: number;
}

/** Where a client gets the credential of its human from. */
export interface CredentialSource {
  /**
   * The credential for calls to `audience`; `undefined`: nobody is logged in. Rejects `UNAVAILABLE`, `REJECTED`, `CANCELLED`,
   * `INPUT_INVALID`; no message carries a token.
   */
  current(audience: string, signal: AbortSignal): Promise<Credential | undefined>;
}
