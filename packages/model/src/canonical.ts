// RFC 8785. Two uses: sealed bytes are checked against it, and documents (policy) are digested by it.
import { hash } from "node:crypto";
import { CountersignError } from "./error.ts";

/** Nesting beyond which a value is refused: nothing of ours comes near it, and recursion must end. */
const MAX_DEPTH = 64;

function refuse(what: string): CountersignError {
  return new CountersignError("INPUT_INVALID", `canonical: ${what}`);
}

/** Serialises scalars and names; rules may refuse what RFC 8785 would take. */
interface Rules {
  scalar(value: string | number | boolean | null): string;
  name(name: string): string;
}

const JSON_RULES: Rules = {
  scalar(value) {
    if (typeof value === "number" && !Number.isFinite(value))
      throw refuse("a number is not finite");
    if (typeof value === "string" && !value.isWellFormed()) throw refuse("a string is not Unicode");
    return JSON.stringify(value);
  },
  name(name) {
    if (!name.isWellFormed()) throw refuse("a member name is not Unicode");
    return JSON.stringify(name);
  },
};

/** What an event may hold (contract, section 1, rule 1). */
const EVENT_RULES: Rules = {
  scalar(value) {
    if (value === null || value === "") throw refuse("null and empty strings must be absent");
    if (typeof value === "number" && !Number.isSafeInteger(value)) throw refuse("not an integer");
    return JSON_RULES.scalar(value);
  },
  name(name) {
    if (!ASCII_NAME.test(name)) throw refuse("a member name is not ASCII");
    return JSON.stringify(name);
  },
};

const ASCII_NAME = /^[\x20-\x7e]+$/;

function sortedKeys(value: object): readonly string[] {
  const keys = Object.keys(value);
  for (let index = 1; index < keys.length; index += 1) {
    // The default order of strings is by UTF-16 code units, as RFC 8785 section 3.2.3 asks.
    if ((keys[index] as string) < (keys[index - 1] as string)) return keys.toSorted();
  }
  return keys;
}

function write(value: unknown, rules: Rules, depth: number): string {
  if (depth > MAX_DEPTH) throw refuse(`nested deeper than ${MAX_DEPTH}`);
  if (value === null) return rules.scalar(value);
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return rules.scalar(value);
  }
  if (typeof value !== "object") throw refuse(`a value of type ${typeof value} has no JSON form`);
  if (!Array.isArray(value)) return writeObject(value, rules, depth);
  return `[${value.map((item: unknown) => write(item, rules, depth + 1)).join(",")}]`;
}

function writeObject(value: object, rules: Rules, depth: number): string {
  let text = "{";
  for (const key of sortedKeys(value)) {
    if (text.length > 1) text += ",";
    text += `${rules.name(key)}:${write((value as Record<string, unknown>)[key], rules, depth + 1)}`;
  }
  return `${text}}`;
}

/**
 * RFC 8785 text of a JSON value.
 * @throws INPUT_INVALID for what JSON cannot say (undefined, NaN, lone surrogates) and for nesting deeper than 64.
 */
export function canonicalJson(value: unknown): string {
  return write(value, JSON_RULES, 0);
}

/** {@link canonicalJson} as UTF-8. */
export function canonicalBytes(value: unknown): Uint8Array {
  return Buffer.from(canonicalJson(value), "utf8");
}

/**
 * Whether `text` is the canonical form of `event`, which was parsed from it.
 * @throws INPUT_INVALID for what rule 1 of sealing forbids: null, "", fractions, odd names.
 */
export function isCanonicalEvent(event: object, text: string): boolean {
  // What JSON.stringify writes is canonical if members come in order and every string is Unicode. The one case that this
  // misses (names that are numbers come out of a JavaScript object in an order of their own) is left to the long way.
  if (isOrdered(event, 0) && JSON.stringify(event) === text) return true;
  return write(event, EVENT_RULES, 0) === text;
}

function isOrdered(value: unknown, depth: number): boolean {
  if (typeof value === "string") return value !== "" && value.isWellFormed();
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value === "boolean") return true;
  if (typeof value !== "object" || value === null || depth > MAX_DEPTH) return false;
  if (Array.isArray(value)) return value.every((item) => isOrdered(item, depth + 1));
  return isOrderedObject(value as Record<string, unknown>, depth);
}

function isOrderedObject(value: Record<string, unknown>, depth: number): boolean {
  let last = "";
  for (const key of Object.keys(value)) {
    if (key <= last || !ASCII_NAME.test(key) || !isOrdered(value[key], depth + 1)) return false;
    last = key;
  }
  return true;
}

/** SHA-256 in lower-case hex; of the UTF-8 form, if given a string. */
export function sha256Hex(data: string | Uint8Array): string {
  return hash("sha256", data, "hex");
}
