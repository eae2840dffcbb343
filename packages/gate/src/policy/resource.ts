import { posix } from "node:path";
import { encodeObjectId } from "@countersign/model";
import type { Each, ObjectTemplate, Placeholder, Template } from "./template.ts";

/** Most distinct elements that `[*]` may give, and most distinct checks of a call. */
export const MAX_CHECKS = 32;
/** Most elements that are looked at, the same ones counted again: a message holds a million, each as much work as one id. */
const MAX_ELEMENTS = 10_000;

const MAX_ID_BYTES = 1024;
const RAW = /^[A-Za-z0-9/_|+=-]+$/;
const SEPARATOR = /[/|+]/;
const DECIMAL = /^-?(?:0|[1-9]\d{0,15})(?:\.\d{1,15})?$/;
/**
 * Spellings that some servers read as another path than the lexical one: home directories, URLs, drives, backslashes,
 * quotes and blanks that get trimmed. A policy that judges one file while the server opens another is no policy.
 */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const AMBIGUOUS_PATH = /^[\s"'~]|[\s"']$|^[A-Za-z][A-Za-z0-9+.-]*:|[\\\u0000-\u001F\u007F]/;

/** Where placeholders look: `arguments`, `name`, `uri`, `human`, and the variables of a URI pattern. */
export type Scope = Readonly<Record<string, unknown>>;

/** Why a template gives no ids (contract, sections 3 and 4). */
export type ResourceFault = "resource_invalid" | "no_checks" | "too_many_checks";

/** What a scope cannot say: where `|path` is anchored. Absolute and normalised; absent where no template uses it. */
export interface ResourceOptions {
  readonly root?: string;
}

/**
 * The object ids that a template stands for: one, or with `[*]` one for each distinct element.
 * Nothing is guessed: a value that is missing, empty, of another type or too long refuses the call.
 */
export function resolveIds(
  template: ObjectTemplate,
  scope: Scope,
  options: ResourceOptions = {},
): readonly string[] | ResourceFault {
  if (template.each === undefined) {
    const id = resolveId(template, scope, undefined, options);
    return id === undefined ? "resource_invalid" : [id];
  }
  const elements = lookUp(scope, template.each);
  if (!Array.isArray(elements)) return "resource_invalid";
  if (elements.length > MAX_ELEMENTS) return "too_many_checks";
  const ids = new Set<string>();
  for (const element of elements) {
    const id = resolveId(template, scope, element, options);
    if (id === undefined) return "resource_invalid";
    ids.add(id);
    if (ids.size > MAX_CHECKS) return "too_many_checks";
  }
  return ids.size === 0 ? "no_checks" : [...ids];
}

function resolveId(
  template: ObjectTemplate,
  scope: Scope,
  element: unknown,
  options: ResourceOptions,
): string | undefined {
  let id = "";
  for (const part of template.parts) {
    if (typeof part === "string") {
      id += part;
      continue;
    }
    const text = encoded(part, valueOf(part, scope, element), template.escapeSeparators, options);
    if (text === undefined) return undefined;
    id += text;
  }
  return id.length <= MAX_ID_BYTES ? id : undefined;
}

function encoded(
  { filters }: Placeholder,
  value: unknown,
  escapeSeparators: boolean,
  options: ResourceOptions,
): string | undefined {
  let text = textOf(value);
  for (const filter of filters) {
    if (text === undefined) return undefined;
    if (filter === "raw") return isRaw(text, escapeSeparators) ? text : undefined;
    text = filter === "path" ? lexicalPath(text, options.root) : asciiLower(text);
  }
  if (text === undefined) return undefined;
  try {
    return encodeObjectId(text, escapeSeparators);
  } catch {
    return undefined; // empty, not Unicode, or over 1,024 bytes once encoded
  }
}

/** Non-empty well-formed strings and integers. 7 and "7" are one object: MCP clients send either for an id. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value !== "" && value.isWellFormed() ? value : undefined;
  return Number.isSafeInteger(value) ? String(value) : undefined;
}

function isRaw(text: string, escapeSeparators: boolean): boolean {
  return RAW.test(text) && !(escapeSeparators && SEPARATOR.test(text));
}

function asciiLower(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** Text only: the file system is not asked, so symbolic links are not followed (contract/policy: `paths`). */
function lexicalPath(text: string, root: string | undefined): string | undefined {
  if (root === undefined || AMBIGUOUS_PATH.test(text)) return undefined;
  const path = posix.resolve(root, text);
  return path === root || path.startsWith(root === "/" ? root : `${root}/`) ? path : undefined;
}

function valueOf(placeholder: Placeholder, scope: Scope, element: unknown): unknown {
  return placeholder.each ? descend(element, placeholder.path) : lookUp(scope, placeholder);
}

function lookUp(scope: Scope, at: Each): unknown {
  return descend(Object.hasOwn(scope, at.root) ? scope[at.root] : undefined, at.path);
}

/** Own members only: `constructor` or `__proto__` in a policy must not find what no caller sent. */
function descend(value: unknown, path: readonly string[]): unknown {
  let at = value;
  for (const member of path) {
    if (typeof at !== "object" || at === null || Array.isArray(at) || !Object.hasOwn(at, member))
      return undefined;
    at = (at as Record<string, unknown>)[member];
  }
  return at;
}

/** Caveat context: literals as they are, a lone placeholder keeps its JSON type, text around placeholders joins to text. */
export type ContextTemplate = ReadonlyMap<string, Template | string | number | boolean>;

const MAX_CONTEXT_BYTES = 4096;

/** The context of one check; `undefined` if a value is missing, is not a scalar, or the whole is over SpiceDB's 4,096 bytes. */
export function resolveContext(
  template: ContextTemplate,
  scope: Scope,
): Record<string, string | number | boolean> | undefined {
  const context: Record<string, string | number | boolean> = {};
  for (const [key, source] of template) {
    const value = typeof source === "object" ? contextValue(source, scope) : source;
    if (value === undefined) return undefined;
    context[key] = value;
  }
  return Buffer.byteLength(JSON.stringify(context)) <= MAX_CONTEXT_BYTES ? context : undefined;
}

function contextValue({ parts }: Template, scope: Scope): string | number | boolean | undefined {
  const [only] = parts;
  if (parts.length === 1 && typeof only === "object") return scalar(only, scope);
  let text = "";
  for (const part of parts) {
    const value = typeof part === "string" ? part : scalar(part, scope);
    if (value === undefined) return undefined;
    text += String(value);
  }
  return text;
}

function scalar(placeholder: Placeholder, scope: Scope): string | number | boolean | undefined {
  let value = lookUp(scope, placeholder);
  for (const filter of placeholder.filters) {
    if (filter === "number") value = numberOf(value);
    else value = typeof value === "string" ? asciiLower(value) : undefined;
  }
  if (typeof value === "string") return value.isWellFormed() ? value : undefined;
  return typeof value === "boolean" || Number.isFinite(value)
    ? (value as number | boolean)
    : undefined;
}

/** A JSON number, or a string in plain decimal notation: no exponents, no hex, no leading zeros, nothing two parsers read apart. */
function numberOf(value: unknown): number | undefined {
  if (typeof value === "number") return value;
  return typeof value === "string" && DECIMAL.test(value) ? Number(value) : undefined;
}
