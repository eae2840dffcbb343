import { CountersignError, errorCode, EXEC_API_VERSION } from "@countersign/model";
import { calculateJwkThumbprint, exportJWK, generateKeyPair, type JWK } from "jose";
import { createDelegation } from "../delegation.ts";
import { loginError } from "./login-error.ts";
import type { LoginKey } from "./login-key.ts";
import { createLoginStore, type StoreOptions } from "./login-store.ts";
import { renewedToken, type TokenInForce } from "./token-for.ts";

/** What is asked of `countersign credential`. */
export interface CredentialRequest extends StoreOptions {
  /** Of the calls: the policy's `server`, or the address of a server over HTTP. */
  readonly audience: string;
  /** Resources (RFC 8707) that an access token may be for as well. At most 16. */
  readonly resources?: readonly string[];
  readonly fetch?: typeof fetch;
  /** Default 7,000: whoever runs a helper waits eight seconds for it. */
  readonly timeoutMs?: number;
}

/** What a credential helper prints (the kubectl pattern). */
export interface ExecCredential {
  readonly apiVersion: string;
  readonly kind: "ExecCredential";
  readonly status: {
    readonly token: string;
    /** Of the `nonce` binding only. */
    readonly salt?: string;
    /** The login key's word that `key` may sign for this audience for a while. */
    readonly delegation: string;
    /** Private JWK of the call key; made for this answer, kept nowhere. */
    readonly key: JWK;
    readonly expirationTimestamp: string;
  };
}

/** How long a call key may sign. */
const DELEGATION_MS = 600_000;
const TIMEOUT_MS = 7000;

/**
 * A short-lived credential for calls to one audience: the best token there is for it, and a fresh call key that the login key delegates to. The
 * login key and the refresh token stay where they are. `undefined`: nobody is logged in, or the login has ended. Rejects `UNAVAILABLE` (the
 * identity provider cannot be asked and nothing is valid any more; the keychain is locked), `CONFIG_INVALID` (the store), `REJECTED`.
 */
export async function issueCredential(
  request: CredentialRequest,
  signal: AbortSignal,
): Promise<ExecCredential | undefined> {
  const store = createLoginStore(request);
  const { audience, resources = [], fetch: fetcher } = request;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(request.timeoutMs ?? TIMEOUT_MS)]);
  const options = fetcher === undefined ? { store } : { store, fetch: fetcher };
  try {
    const found = await renewedToken(options, { audience, resources }, deadline);
    return found === undefined ? undefined : await delegated(found, audience);
  } catch (error) {
    if (signal.aborted) throw loginError("CANCELLED", "interrupted");
    if (!deadline.aborted || errorCode(error) !== undefined) throw error;
    throw new CountersignError(
      "UNAVAILABLE",
      "identity/login: the identity provider cannot be asked: no answer in time",
    );
  }
}

async function delegated(
  { key, token, salt, expiresAtMs }: TokenInForce & { readonly key: LoginKey },
  audience: string,
): Promise<ExecCredential | undefined> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const callKey = await exportJWK(privateKey);
  const nowMs = Math.floor(Date.now() / 1000) * 1000; // as the delegation counts
  const lifetimeMs = Math.min(DELEGATION_MS, expiresAtMs - nowMs);
  if (lifetimeMs < 1000) return undefined; // it ended while the call key was made
  const delegation = await createDelegation(key.jwk, {
    audience,
    token,
    callKeyThumbprint: await calculateJwkThumbprint(callKey),
    nowMs,
    lifetimeMs,
  });
  return {
    apiVersion: EXEC_API_VERSION,
    kind: "ExecCredential",
    status: {
      token,
      ...(salt === undefined ? {} : { salt }),
      delegation,
      key: callKey,
      expirationTimestamp: new Date(nowMs + lifetimeMs).toISOString(),
    },
  };
}
