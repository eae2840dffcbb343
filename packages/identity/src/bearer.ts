import { errorCode, type Human, type Principal } from "@countersign/model";
import { decodeJwt, type JWTPayload, errors as joseErrors, jwtVerify } from "jose";
import type { IdentityResult, IssuerConfig, ResolverStep } from "./identity.ts";
import { createKeySet, type KeySet, type KeySetOptions, type Keys } from "./key-set.ts";

const MAX_TOKEN_BYTES = 16 * 1024;
const CLOCK_SKEW_SECONDS = 60;
const MAX_ISSUER_BYTES = 512;
const MAX_SUBJECT_BYTES = 256;
const MAX_ACTORS = 8;
/** Access tokens (RFC 9068), and the untyped ones most providers still issue. Not: ID token variants, logout tokens, proofs. */
const TOKEN_TYPES = new Set(["jwt", "at+jwt", "application/at+jwt"]);

const INVALID: IdentityResult = { kind: "denied", reason: "identity_invalid" };
const NOT_HUMAN: IdentityResult = { kind: "denied", reason: "identity_not_human" };
const CONFLICT: IdentityResult = { kind: "denied", reason: "identity_conflict" };
const UNAVAILABLE: IdentityResult = { kind: "error", reason: "identity_unavailable" };

interface Issuer {
  readonly config: IssuerConfig;
  readonly keys: KeySet;
}

/**
 * A verified access token for this server that names a human. Signature, algorithm (the policy's list, never the token's
 * word), issuer, audience and expiry are checked here again, whatever the HTTP layer did: its `authInfo` has no subject.
 * Sender-constrained tokens (`cnf`) are refused: whoever presents one has to prove possession, and here nobody does.
 */
export function bearerResolver(
  configs: readonly IssuerConfig[],
  options: KeySetOptions = {},
): ResolverStep {
  const issuers = new Map<string, Issuer>();
  for (const config of configs) {
    issuers.set(config.issuer, { config, keys: createKeySet(config, options) });
  }
  const clock = options.clock ?? Date.now;
  return (evidence, signal) => {
    if (evidence.conflictingBearer === true) return CONFLICT;
    const token = evidence.bearer;
    if (token === undefined) return undefined;
    if (token.length > MAX_TOKEN_BYTES) return INVALID;
    const issuer = issuers.get(claimedIssuer(token));
    if (issuer?.config.audience === undefined) return INVALID;
    return orAbort(verify(token, issuer, clock), signal);
  };
}

/** Unverified: good for choosing whose keys to try, for nothing else. */
function claimedIssuer(token: string): string {
  try {
    return decodeJwt(token).iss ?? "";
  } catch {
    return "";
  }
}

async function verify(token: string, issuer: Issuer, clock: () => number): Promise<IdentityResult> {
  try {
    const keys = await issuer.keys.current();
    const payload = await payloadOf(token, issuer, keys as Keys, clock);
    return payload === undefined ? INVALID : identityOf(payload, issuer.config.issuer);
  } catch (error) {
    return errorCode(error) === "UNAVAILABLE" ? UNAVAILABLE : INVALID;
  }
}

/** A token whose key is not known yet may be signed by a key that is new: the issuer is asked once more, then it is no. */
async function payloadOf(
  token: string,
  issuer: Issuer,
  keys: Keys,
  clock: () => number,
): Promise<JWTPayload | undefined> {
  try {
    return await verifiedPayload(token, issuer.config, keys, clock);
  } catch (error) {
    if (!(error instanceof joseErrors.JWKSNoMatchingKey)) return undefined;
    const fresh = await issuer.keys.current(keys);
    if (fresh === undefined) return undefined;
    return verifiedPayload(token, issuer.config, fresh, clock).catch(() => undefined);
  }
}

async function verifiedPayload(
  token: string,
  config: IssuerConfig,
  keys: Keys,
  clock: () => number,
): Promise<JWTPayload> {
  const { payload, protectedHeader } = await jwtVerify(token, (header) => keys.find(header), {
    algorithms: [...config.algorithms],
    issuer: config.issuer,
    audience: config.audience as string,
    clockTolerance: CLOCK_SKEW_SECONDS,
    currentDate: new Date(clock()),
    requiredClaims: ["iss", "sub", "aud", "exp"],
  });
  const type = protectedHeader.typ;
  if (type !== undefined && !TOKEN_TYPES.has(type.toLowerCase())) throw new Error("token type");
  return payload;
}

function identityOf(payload: JWTPayload, issuer: string): IdentityResult {
  const { sub } = payload;
  if (!isIdentifier(sub, MAX_SUBJECT_BYTES) || payload["cnf"] !== undefined) return INVALID;
  const client = payload["client_id"] ?? payload["azp"] ?? payload["cid"] ?? payload["appid"];
  if (client !== undefined && !isIdentifier(client, MAX_SUBJECT_BYTES)) return INVALID;
  if (isMachine(payload, sub, client)) return NOT_HUMAN;
  const actors = actorsOf(payload["act"], issuer);
  if (actors === undefined) return INVALID;
  const authTime = timeOf(payload["auth_time"]);
  const human: Human = {
    issuer,
    subject: sub,
    assurance: "bearer",
    method: "bearer",
    ...(authTime === undefined ? {} : { authTime }),
  };
  const agent = {
    ...(client === undefined ? {} : { id: client }),
    ...(actors.length === 0 ? {} : { actors }),
  };
  return client === undefined && actors.length === 0
    ? { kind: "human", human }
    : { kind: "human", human, agent };
}

/**
 * A token that a client got for itself. RFC 9068 (section 2.2) makes `sub` the client id; providers that do otherwise
 * mark such tokens in a claim of their own (Auth0 `gty`, Entra ID `idtyp`, Keycloak's service account names).
 */
function isMachine(payload: JWTPayload, sub: string, client: string | undefined): boolean {
  const clients = [payload["client_id"], payload["azp"], payload["cid"], payload["appid"]];
  if (clients.includes(sub) || (client !== undefined && sub === `${client}@clients`)) return true;
  if (payload["gty"] === "client-credentials" || payload["idtyp"] === "app") return true;
  const name = payload["preferred_username"];
  return typeof name === "string" && name.startsWith("service-account-");
}

/** RFC 8693, section 4.1: the outermost `act` is who acts now; those inside it came before. `undefined`: not to be believed. */
function actorsOf(act: unknown, issuer: string): readonly Principal[] | undefined {
  const actors: Principal[] = [];
  for (let at = act; at !== undefined; at = (at as { act?: unknown }).act) {
    if (typeof at !== "object" || at === null || actors.length === MAX_ACTORS) return undefined;
    const { sub, iss = issuer } = at as { sub?: unknown; iss?: unknown };
    if (!isIdentifier(sub, MAX_SUBJECT_BYTES) || !isIdentifier(iss, MAX_ISSUER_BYTES))
      return undefined;
    actors.push({ issuer: iss, subject: sub });
  }
  return actors;
}

function isIdentifier(value: unknown, maxBytes: number): value is string {
  return (
    typeof value === "string" &&
    value !== "" &&
    value.isWellFormed() &&
    Buffer.byteLength(value) <= maxBytes
  );
}

function timeOf(seconds: unknown): string | undefined {
  if (typeof seconds !== "number" || seconds < 0 || seconds > 253_402_300_799) return undefined;
  return new Date(Math.trunc(seconds) * 1000).toISOString();
}

/** Waits for the answer, but no longer than the caller. The fetch behind it goes on: others may wait for the same keys. */
function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  return promise;
}
