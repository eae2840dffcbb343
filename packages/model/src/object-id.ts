// Ids of the authorizer's objects (contract, section 4): one value, one id. `=` escapes; SpiceDB's alphabet holds.
import { CountersignError } from "./error.ts";

/** Longest object id, in bytes (= characters: ids are ASCII). */
export const MAX_OBJECT_ID_BYTES = 1024;

const BARE = /^[A-Za-z0-9/_|+-]*$/;
const BARE_WITHOUT_SEPARATORS = /^[A-Za-z0-9_-]*$/;
const RAW = /^[A-Za-z0-9/_|+=-]{1,1024}$/;
const TYPE = /^[a-z0-9_](?:[a-z0-9_/]{0,126}[a-z0-9])?$/;

const HEX = "0123456789ABCDEF";

function invalid(what: string): CountersignError {
  return new CountersignError("INPUT_INVALID", `object-id: ${what}`);
}

/**
 * Encodes a value. With `separators`, `/`, `|` and `+` are escaped as well: for a template with several placeholders,
 * which separates them by these.
 * @throws INPUT_INVALID when the value is empty, has a lone surrogate (no UTF-8 form), or is over 1,024 bytes encoded.
 */
export function encodeObjectId(value: string, separators = false): string {
  const bare = separators ? BARE_WITHOUT_SEPARATORS : BARE;
  const id = bare.test(value) ? value : escapeBytes(value, bare);
  if (id === "") throw invalid("the value is empty");
  if (id.length > MAX_OBJECT_ID_BYTES) throw invalid("the id is over 1,024 bytes");
  return id;
}

function escapeBytes(value: string, bare: RegExp): string {
  if (value.length > MAX_OBJECT_ID_BYTES) throw invalid("the id is over 1,024 bytes");
  if (!value.isWellFormed()) throw invalid("the value is not well-formed Unicode");
  let id = "";
  for (const byte of Buffer.from(value, "utf8")) {
    const character = String.fromCharCode(byte);
    id += byte < 0x80 && bare.test(character) ? character : `=${HEX[byte >> 4]}${HEX[byte & 15]}`;
  }
  return id;
}

/**
 * The value that {@link encodeObjectId} made this id of, with the same `separators`.
 * @throws INPUT_INVALID for anything that the encoder would not have returned: another spelling is another id.
 */
export function decodeObjectId(id: string, separators = false): string {
  if (!isObjectId(id)) throw invalid("not an id in this alphabet");
  const value = unescapeObjectId(id);
  if (value === undefined || encodeObjectId(value, separators) !== id) {
    throw invalid("not the one spelling of its value");
  }
  return value;
}

/** The text behind an id whichever way its parts were escaped; undefined when it has none. For looking, not for keys. */
export function unescapeObjectId(id: string): string | undefined {
  if (!id.includes("=")) return id;
  const bytes: number[] = [];
  for (let index = 0; index < id.length; index += 1) {
    if (id.charCodeAt(index) !== 0x3d) {
      bytes.push(id.charCodeAt(index));
      continue;
    }
    const hex = id.slice(index + 1, index + 3);
    if (!/^[0-9A-F]{2}$/.test(hex)) return undefined;
    bytes.push(Number.parseInt(hex, 16));
    index += 2;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.from(bytes),
    );
  } catch {
    return undefined;
  }
}

/** Whether a text can stand as an object id as it is: SpiceDB's alphabet, without the wildcard `*`. */
export function isObjectId(raw: string): boolean {
  return RAW.test(raw);
}

/** Whether a text can stand as an object type. */
export function isObjectType(text: string): boolean {
  return TYPE.test(text);
}
