import type { Principal } from "@countersign/model";
import type { JWTPayload } from "jose";

const MAX_ISSUER_BYTES = 512;
const MAX_SUBJECT_BYTES = 256;
const MAX_ACTORS = 8;
const MAX_AUDIENCES = 32;

/** Whom a verified token names, and which software acts. */
export interface TokenHuman {
  readonly issuer: string;
  /** Exactly as the issuer spells it: no folding, no normalising. */
  readonly subject: string;
  readonly authTime?: string;
  readonly agent?: { readonly id?: string; readonly actors?: readonly Principal[] };
}

/**
 * Reads the human out of verified claims. `invalid`: a claim that is not to be believed; `not_human`: the subject is a client.
 * `client` is whom the token was issued to, where its kind says so (the audience of an ID token).
 */
export function humanOf(
  payload: JWTPayload,
  issuer: string,
  client?: string,
): TokenHuman | "invalid" | "not_human" {
  const { sub } = payload;
  // RFC 8417: a token that reports events (a logout token, OpenID Back-Channel Logout 2.4) grants nothing.
  if (!isIdentifier(sub, MAX_SUBJECT_BYTES) || payload["events"] !== undefined) return "invalid";
  const id = payload["client_id"] ?? payload["azp"] ?? payload["cid"] ?? payload["appid"] ?? client;
  if (id !== undefined && !isIdentifier(id, MAX_SUBJECT_BYTES)) return "invalid";
  if (sub === client || isMachine(payload, sub, id)) return "not_human";
  const actors = actorsOf(payload["act"], issuer);
  if (actors === undefined) return "invalid";
  const authTime = timeOf(payload["auth_time"]);
  const agent = {
    ...(id === undefined ? {} : { id }),
    ...(actors.length === 0 ? {} : { actors }),
  };
  return {
    issuer,
    subject: sub,
    ...(authTime === undefined ? {} : { authTime }),
    ...(Object.keys(agent).length === 0 ? {} : { agent }),
  };
}

/** `aud` as a list; `undefined` when it is anything but a string or a list of 1 to 32 strings (RFC 7519, section 4.1.3). */
export function audiencesOf({ aud }: JWTPayload): readonly string[] | undefined {
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
  if (audiences.length === 0 || audiences.length > MAX_AUDIENCES) return undefined;
  return audiences.every((one) => typeof one === "string") ? audiences : undefined;
}

/**
 * A token that a client got for itself. RFC 9068 (section 2.2) makes `sub` the client id; providers that do otherwise
 * mark such tokens in a claim of their own (Auth0 `gty`, Entra ID `idtyp`, Keycloak's service account names).
 */
function isMachine(payload: JWTPayload, sub: string, client: string | undefined): boolean {
  const clients = [payload["client_id"], payload["azp"], payload["cid"], payload["appid"]];
  if (clients.includes(sub) || (client !== undefined && sub === `${client}@clients`)) return true;
  if (payload["gty"] === "client-credentials" || payload["idtyp"] === "app") return true;
  return isKeycloakServiceAccount(payload);
}

/**
 * Keycloak gives a service account a subject like any user's. Its name tells, but only with the scope `profile`; the scope
 * `service_account` adds where it called from, but can be taken away; the last two letters before the colon of `jti` are the grant.
 */
function isKeycloakServiceAccount({ jti, ...payload }: JWTPayload): boolean {
  const name = payload["preferred_username"];
  if (typeof name === "string" && name.startsWith("service-account-")) return true;
  if (payload["clientHost"] !== undefined || payload["clientAddress"] !== undefined) return true;
  return typeof jti === "string" && /^[a-z]{4}cc:/.test(jti);
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
