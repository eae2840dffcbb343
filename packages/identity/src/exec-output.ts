import { EXEC_API_VERSION } from "@countersign/model";
import type { JWK } from "jose";
import type { Credential } from "./credential.ts";
import { isObject } from "./json.ts";

const MAX_TOKEN_BYTES = 16 * 1024;
const MAX_SALT_BYTES = 256;
const JWK_TEXT = /^[A-Za-z0-9_-]{1,128}$/;
const TIMESTAMP = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;

/** A credential, or what is wrong with the output: words of ours, nothing of it. */
export type ReadCredential = { readonly credential: Credential } | { readonly problem: string };

/** Reads what a credential helper printed. Members that we do not know are skipped: a later helper may say more. */
export function readCredential(stdout: string, nowMs: number): ReadCredential {
  const document = parsed(stdout);
  if (document?.["apiVersion"] !== EXEC_API_VERSION || document["kind"] !== "ExecCredential") {
    return { problem: `its output is no ExecCredential of ${EXEC_API_VERSION}` };
  }
  const status = recordOf(document["status"]);
  const { token, salt, delegation } = status;
  if (!isText(token, MAX_TOKEN_BYTES)) return { problem: "its status has no usable token" };
  if (salt !== undefined && !isText(salt, MAX_SALT_BYTES)) {
    return { problem: "its status has a salt that is none" };
  }
  if (delegation !== undefined && !isText(delegation, MAX_TOKEN_BYTES)) {
    return { problem: "its status has a delegation that is none" };
  }
  const key = privateKeyOf(recordOf(status["key"]));
  if (key === undefined) {
    return { problem: "its status has no private key (EC P-256 or OKP Ed25519, as a JWK)" };
  }
  const expiresAtMs = timeOf(status["expirationTimestamp"]);
  if (expiresAtMs === undefined) {
    return { problem: "its status has no expirationTimestamp (RFC 3339)" };
  }
  if (expiresAtMs <= nowMs) return { problem: "its credential is over already" };
  const base = { token, key, expiresAtMs };
  const salted = salt === undefined ? base : { ...base, salt };
  return { credential: delegation === undefined ? salted : { ...salted, delegation } };
}

function parsed(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return recordOf(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  return isObject(value) ? value : {};
}

function isText(value: unknown, maxBytes: number): value is string {
  return typeof value === "string" && value !== "" && value.length <= maxBytes;
}

/** Only what the key needs: a `kid` or `use` of the helper's own has no meaning here. */
function privateKeyOf({ kty, crv, x, y, d }: Readonly<Record<string, unknown>>): JWK | undefined {
  if (!isJwkText(x) || !isJwkText(d)) return undefined;
  if (kty === "OKP" && crv === "Ed25519") return { kty, crv, x, d };
  return kty === "EC" && crv === "P-256" && isJwkText(y) ? { kty, crv, x, y, d } : undefined;
}

function isJwkText(value: unknown): value is string {
  return typeof value === "string" && JWK_TEXT.test(value);
}

function timeOf(value: unknown): number | undefined {
  if (typeof value !== "string" || !TIMESTAMP.test(value)) return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : ms;
}
