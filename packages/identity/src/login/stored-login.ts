import type { JWK } from "jose";
import { isObject } from "../json.ts";
import { loginError } from "./login-error.ts";
import type { BoundAccessToken, BoundIdToken } from "./tokens.ts";

/** Where the login key is: in the file itself, or in a keychain under an id. */
export type KeyPlace =
  | { readonly kind: "file"; readonly jwk: JWK }
  | { readonly kind: "keychain"; readonly tool: string; readonly id: string };

/** One login, as it is kept. */
export interface StoredLogin {
  readonly version: 1;
  readonly issuer: string;
  readonly clientId: string;
  readonly subject: string;
  /** ISO 8601. */
  readonly authTime?: string;
  readonly loggedInAtMs: number;
  readonly key: KeyPlace;
  /** Thumbprint of the login key. */
  readonly jkt: string;
  /** Of the commitment in the ID token's nonce. */
  readonly salt: string;
  /** Access tokens of this login are bound to the key (DPoP). */
  readonly senderConstrained: boolean;
  /** Resources that the login named. */
  readonly audiences: readonly string[];
  readonly idToken?: BoundIdToken;
  /** At most 16, the latest last. */
  readonly accessTokens: readonly BoundAccessToken[];
  readonly refreshToken?: string;
  /** Resources that the issuer gave no token for, and until when it is not asked again. At most 16. */
  readonly refused: readonly { readonly resource: string; readonly untilMs: number }[];
}

/** Entries of each list that are kept. */
export const MAX_KEPT = 16;

/** Reads what {@link StoredLogin} says. Throws `CONFIG_INVALID`; the message quotes nothing. */
export function parseLogin(text: string): StoredLogin {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw unreadable();
  }
  if (!isLogin(value)) throw unreadable();
  return value;
}

function isLogin(value: unknown): value is StoredLogin {
  if (!isObject(value) || value["version"] !== 1) return false;
  const texts = ["issuer", "clientId", "subject", "jkt", "salt"];
  const { accessTokens, refused, idToken, refreshToken, audiences } = value;
  return (
    texts.every((name) => typeof value[name] === "string") &&
    typeof value["loggedInAtMs"] === "number" &&
    typeof value["senderConstrained"] === "boolean" &&
    isListOf(audiences, (one) => typeof one === "string") &&
    isListOf(accessTokens, (one) => isToken(one) && isListOf(one["audiences"], isText)) &&
    isListOf(refused, (one) => isObject(one) && isText(one["resource"])) &&
    (idToken === undefined || isToken(idToken)) &&
    (refreshToken === undefined || isText(refreshToken)) &&
    isPlace(value["key"])
  );
}

function isPlace(value: unknown): boolean {
  if (!isObject(value)) return false;
  if (value["kind"] === "file") return isObject(value["jwk"]);
  return value["kind"] === "keychain" && isText(value["tool"]) && isText(value["id"]);
}

function isToken(value: unknown): value is Readonly<Record<string, unknown>> {
  return isObject(value) && isText(value["token"]) && typeof value["expiresAtMs"] === "number";
}

function isListOf(value: unknown, test: (one: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every((one) => test(one));
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}

function unreadable(): Error {
  return loginError(
    "CONFIG_INVALID",
    "login.json is not a login of this version; remove it, then run countersign login",
  );
}
