import type { Assurance } from "@countersign/model";
import type { ContextTemplate } from "./resource.ts";
import type { ObjectTemplate } from "./template.ts";

/** One check of a policy entry. */
export interface CheckTemplate {
  readonly permission: string;
  readonly resource: ObjectTemplate;
  readonly context?: ContextTemplate;
}

/** One policy entry: all of its checks must hold. */
export interface Rule {
  /** As recorded: `tools.read_ticket`. */
  readonly name: string;
  readonly checks: readonly CheckTemplate[];
  /** Checks that decide whether the entry is listed. */
  readonly list: readonly CheckTemplate[];
  /** Stricter than the policy's own minimum. */
  readonly minimum?: Assurance;
}

/** Tools or prompts: names are exact, `*` matches what no name matched. */
export interface NameRules {
  find(name: string): Rule | undefined;
  /** The policy spells this name out, so it is not the caller's free text. */
  knows(name: string): boolean;
}

/** What a URI matched. */
export interface UriMatch {
  readonly rule: Rule;
  /** The values of the pattern's variables. */
  readonly variables: Readonly<Record<string, string>>;
  /** The server may take the URI for another one than the policy did: dot segments, or a spelling that another entry matches. */
  readonly ambiguous: boolean;
}

/** Resources: `{x}` matches within one path segment, the longest literal prefix wins. */
export interface UriRules {
  find(uri: string): UriMatch | undefined;
}

/** A URI pattern, taken apart. */
export interface UriPattern {
  readonly text: string;
  readonly prefix: string;
  readonly variables: readonly string[];
  readonly segments: readonly string[];
}

const MAX_URI_CHARS = 4096;
const NO_VARIABLES: Readonly<Record<string, string>> = Object.freeze({});
const VARIABLE = /\{([^{}]*)\}/g;

/** `undefined` and the reason if a pattern has two variables in one segment, the same one twice, or a bad name. */
export function parseUriPattern(text: string): UriPattern | string {
  const segments = text.split("/");
  const variables: string[] = [];
  for (const segment of segments) {
    const found = [...segment.matchAll(VARIABLE)].map((match) => match[1] as string);
    if (found.length > 1)
      return "has two variables in one path segment, so a URI could match in two ways";
    if (/[{}]/.test(segment.replaceAll(VARIABLE, ""))) return "has an unbalanced brace";
    for (const variable of found) {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(variable))
        return `has a variable {${variable}} that is not a plain name`;
      if (variable === "uri") return "has a variable {uri}, which is the name of the whole URI";
      if (variables.includes(variable)) return `has the variable {${variable}} twice`;
      variables.push(variable);
    }
  }
  const brace = text.indexOf("{");
  return { text, prefix: brace < 0 ? text : text.slice(0, brace), variables, segments };
}

/** Whether some URI matches both patterns. Used at load: between equally long prefixes nobody could say who wins. */
export function overlap(a: UriPattern, b: UriPattern): boolean {
  if (a.segments.length !== b.segments.length) return false;
  return a.segments.every((segment, index) => segmentsMeet(segment, b.segments[index] as string));
}

function segmentsMeet(a: string, b: string): boolean {
  const [aHead, aTail] = split(a);
  const [bHead, bTail] = split(b);
  if (aTail === undefined && bTail === undefined) return aHead === bHead;
  if (aTail === undefined) return fits(aHead, bHead, bTail as string);
  if (bTail === undefined) return fits(bHead, aHead, aTail);
  const heads = aHead.startsWith(bHead) || bHead.startsWith(aHead);
  return heads && (aTail.endsWith(bTail) || bTail.endsWith(aTail));
}

function fits(literal: string, head: string, tail: string): boolean {
  return (
    literal.length > head.length + tail.length && literal.startsWith(head) && literal.endsWith(tail)
  );
}

function split(segment: string): [string, string | undefined] {
  const [head, tail] = segment.split(/\{[^{}]*\}/);
  return [head as string, tail];
}

/** Names that a server may shorten to another one: at a NUL, where C ends a string, or by trimming. Only their own entry takes them. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const CUT = /[\u0000-\u001F\u007F]|^\s|\s$/;

/** Matcher for tools or prompts. */
export function createNameRules(rules: ReadonlyMap<string, Rule>): NameRules {
  const fallback = rules.get("*");
  return {
    find: (name) =>
      name === "*" ? fallback : (rules.get(name) ?? (CUT.test(name) ? undefined : fallback)),
    knows: (name) => name !== "*" && rules.has(name),
  };
}

interface Candidate {
  readonly pattern: UriPattern;
  readonly expression: RegExp;
  readonly rule: Rule;
}

/** Matcher for resources. `patterns` and the literal URIs may come in any order; ties were refused at load. */
export function createUriRules(
  patterns: readonly (readonly [UriPattern, Rule])[],
  fallback: Rule | undefined,
): UriRules {
  const literals = new Map<string, Rule>();
  const candidates: Candidate[] = [];
  for (const [pattern, rule] of patterns) {
    if (pattern.variables.length === 0) literals.set(pattern.text, rule);
    else candidates.push({ pattern, expression: expressionOf(pattern), rule });
  }
  candidates.sort((a, b) => b.pattern.prefix.length - a.pattern.prefix.length);
  /** What the policy spells out, without the fallback. */
  const specific = (uri: string): UriMatch | undefined => {
    const literal = literals.get(uri);
    if (literal !== undefined) return { rule: literal, variables: NO_VARIABLES, ambiguous: false };
    for (const candidate of candidates) {
      const found = uri.startsWith(candidate.pattern.prefix)
        ? candidate.expression.exec(uri)
        : null;
      if (found !== null) return matched(candidate, found);
    }
    return undefined;
  };
  const isOther = (rule: Rule, spelling: string): boolean => {
    const other = specific(spelling)?.rule;
    return other !== undefined && other !== rule;
  };
  const find = (uri: string): UriMatch | undefined => {
    if (uri.length > MAX_URI_CHARS) return undefined;
    if (literals.has(uri)) return specific(uri);
    const found =
      specific(uri) ??
      (fallback && { rule: fallback, variables: NO_VARIABLES, ambiguous: hasDotSegment(uri) });
    if (found === undefined || found.ambiguous) return found;
    const { rule } = found;
    const spellings = rule === fallback ? looseSpellings(uri) : [plainSpelling(uri)];
    return { ...found, ambiguous: isTrimmed(uri) || spellings.some((one) => isOther(rule, one)) };
  };
  return { find };
}

/** URL parsers drop tabs and line ends anywhere, and controls and blanks at both ends: `.\t.` is `..` to them. NUL has its own use here. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const TRIMMED = /[\u0001-\u001F\u007F]|^ | $/;

function isTrimmed(uri: string): boolean {
  return TRIMMED.test(uri);
}

const UNRESERVED = /^[A-Za-z0-9._~-]$/;

/** Percent-encoded unreserved characters are the characters themselves (RFC 3986, section 6.2.2.2). */
function plainSpelling(uri: string): string {
  return uri.replaceAll(/%[0-9a-f]{2}/gi, (octet) => {
    const character = String.fromCharCode(Number.parseInt(octet.slice(1), 16));
    return UNRESERVED.test(character) ? character : octet.toUpperCase();
  });
}

/**
 * What a server may make of a URI before it looks it up. The fallback is for what no entry matches in any of them: else
 * `DOCS://x` would be judged more mildly than `docs://x`, which the SDK's own URL parser makes of it.
 */
function looseSpellings(uri: string): readonly string[] {
  const plain = plainSpelling(uri);
  const parsed = URL.parse(plain)?.href ?? plain;
  const path = parsed.replace(/[?#].*$/s, "");
  const collapsed = path.replaceAll(/(?<!:\/?)\/{2,}/g, "/").replace(/(?<=[^:/])\/$/, "");
  return [plain, parsed, path, collapsed];
}

/** A variable takes no `/`, and nothing that ends a path (`?`, `#`) or that URL parsers turn into a slash (`\`). */
function expressionOf({ text }: UriPattern): RegExp {
  const source = text
    .split(VARIABLE)
    .map((part, index) =>
      index % 2 === 0
        ? part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
        : String.raw`([^/?#\\]+)`,
    )
    .join("");
  return new RegExp(`^${source}$`, "s");
}

function matched({ pattern, rule }: Candidate, found: RegExpExecArray): UriMatch {
  const variables: Record<string, string> = {};
  let ambiguous = false;
  for (const [index, name] of pattern.variables.entries()) {
    const value = found[index + 1] as string;
    variables[name] = value;
    ambiguous ||= hasDotSegment(value);
  }
  return { rule, variables, ambiguous };
}

/** `.` or `..` between slashes, however they are written: URL parsers see through `%2e`, some servers through `%2f`. */
function hasDotSegment(text: string): boolean {
  if (!text.includes(".") && !text.includes("%")) return false;
  const plain = text.replaceAll(/%2e/gi, ".").replaceAll(/%2f|%5c|\\/gi, "/");
  return plain.split(/[/?#]/).some((segment) => segment === "." || segment === "..");
}
