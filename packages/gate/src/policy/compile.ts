import { ASSURANCES, type Assurance, assuranceAtLeast } from "@countersign/model";
import type { CheckEntry, Entries, ListEntryCheck } from "./document-shape.ts";
import {
  type CheckTemplate,
  overlap,
  parseUriPattern,
  type Rule,
  type UriPattern,
} from "./match.ts";
import type { Path } from "@countersign/model/document";
import { isReachable, unreachable } from "./reach.ts";
import type { Report } from "./report.ts";
import type { ContextTemplate } from "./resource.ts";
import {
  type Filter,
  type ObjectTemplate,
  parseObjectTemplate,
  parseTemplate,
  type Template,
} from "./template.ts";

/** What the entries of a section are judged against. */
export interface Compiling {
  readonly report: Report;
  readonly minimum: Assurance;
  /** Some issuer's tokens can be accepted. */
  readonly provable: boolean;
  readonly hasPathRoot: boolean;
  /** The authorizer evaluates caveats. */
  readonly caveats: boolean;
}

type Section = "tools" | "prompts" | "resources";

const ID_FILTERS: ReadonlySet<Filter> = new Set(["raw", "path", "lower"]);
const CONTEXT_FILTERS: ReadonlySet<Filter> = new Set(["number", "lower"]);
const MAX_RULE_BYTES = 256;

/** The rules of `tools` or `prompts`, by name. */
export function compileNames(
  section: "tools" | "prompts",
  entries: Entries,
  compiling: Compiling,
): Map<string, Rule> {
  const rules = new Map<string, Rule>();
  for (const [name, entry] of Object.entries(entries)) {
    const rule = compileEntry(
      [section, name],
      entry,
      { roots: ["arguments", "name"], listRoots: ["name"] },
      compiling,
    );
    if (rule !== undefined) rules.set(name, rule);
  }
  return rules;
}

/** The rules of `resources` with their patterns, and the fallback `*`. */
export function compileUris(
  entries: Entries,
  compiling: Compiling,
): {
  readonly patterns: readonly (readonly [UriPattern, Rule])[];
  readonly fallback: Rule | undefined;
} {
  const patterns: (readonly [UriPattern, Rule])[] = [];
  let fallback: Rule | undefined;
  for (const [text, entry] of Object.entries(entries)) {
    const path = ["resources", text];
    const pattern = parseUriPattern(text);
    if (typeof pattern === "string") {
      compiling.report.add(path, `the pattern ${pattern}`, "use {name} once per path segment");
      continue;
    }
    const roots = ["uri", ...pattern.variables];
    const rule = compileEntry(["resources", text], entry, { roots, listRoots: roots }, compiling);
    const rival =
      pattern.variables.length === 0
        ? undefined
        : patterns.find(([other]) => isTie(other, pattern));
    if (rival !== undefined) {
      compiling.report.add(
        path,
        `ties with ${rival[0].text}: some URI matches both, and neither has the longer literal prefix`,
        "make one of them more specific before its first variable",
      );
    }
    if (rule === undefined) continue;
    if (text === "*") fallback = rule;
    else patterns.push([pattern, rule]);
  }
  return { patterns, fallback };
}

function isTie(a: UriPattern, b: UriPattern): boolean {
  return a.variables.length > 0 && a.prefix.length === b.prefix.length && overlap(a, b);
}

interface Roots {
  readonly roots: readonly string[];
  readonly listRoots: readonly string[];
}

function compileEntry(
  [section, name]: readonly [Section, string],
  entry: CheckEntry | readonly CheckEntry[],
  roots: Roots,
  compiling: Compiling,
): Rule | undefined {
  const path = [section, name];
  const { report } = compiling;
  if (!report.clean(path)) return undefined;
  if (Buffer.byteLength(`${section}.${name}`) > MAX_RULE_BYTES) {
    report.add(path, `the name is over ${MAX_RULE_BYTES} bytes`);
    return undefined;
  }
  const items: readonly (readonly [CheckEntry, Path])[] = Array.isArray(entry)
    ? (entry as readonly CheckEntry[]).map((item, index) => [item, [...path, index]] as const)
    : [[entry as CheckEntry, path]];
  const checks: CheckTemplate[] = [];
  const list: CheckTemplate[] = [];
  let minimum: Assurance | undefined;
  for (const [item, at] of items) {
    const check = compileCheck(item, at, { roots: roots.roots, each: true }, compiling);
    if (check !== undefined) checks.push(check);
    if (item.list !== undefined) {
      const listCheck = compileCheck(
        item.list,
        [...at, "list"],
        { roots: roots.listRoots, each: false },
        compiling,
      );
      if (listCheck !== undefined) list.push(listCheck);
    }
    minimum = stricterOf(minimum, floorOf(item, at, compiling));
  }
  const rule = { name: `${section}.${name}`, checks, list };
  return minimum === undefined ? rule : { ...rule, minimum };
}

function floorOf(
  item: CheckEntry,
  path: Path,
  { report, minimum, provable }: Compiling,
): Assurance | undefined {
  if (item.minimum !== undefined && !isReachable(item.minimum, provable)) {
    report.add([...path, "minimum"], ...unreachable(item.minimum));
  }
  if (item.minimum !== undefined && !assuranceAtLeast(item.minimum, minimum)) {
    report.add(
      [...path, "minimum"],
      `${item.minimum} is laxer than identity.minimum, which is ${minimum}`,
      `use ${minimum} or stronger, or lower identity.minimum`,
    );
  }
  return item.minimum;
}

/** The stronger of two floors, either of which may be absent. */
export function stricterOf(
  a: Assurance | undefined,
  b: Assurance | undefined,
): Assurance | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return ASSURANCES.indexOf(a) <= ASSURANCES.indexOf(b) ? a : b;
}

function compileCheck(
  check: ListEntryCheck,
  path: Path,
  allowed: { readonly roots: readonly string[]; readonly each: boolean },
  compiling: Compiling,
): CheckTemplate | undefined {
  const { report } = compiling;
  const roots = new Set(allowed.roots);
  const resource = parseObjectTemplate(check.resource, {
    roots,
    filters: ID_FILTERS,
    each: allowed.each,
  });
  if (!resource.ok) {
    report.add([...path, "resource"], resource.problem);
    return undefined;
  }
  if (usesPath(resource.template) && !compiling.hasPathRoot) {
    report.add(
      [...path, "resource"],
      "uses |path, but the policy has no paths.root",
      "add paths: { root: /absolute/directory }",
    );
  }
  const context =
    check.context === undefined
      ? undefined
      : compileContext(check.context, [...path, "context"], roots, compiling);
  const base = { permission: check.permission, resource: resource.template };
  return context === undefined ? base : { ...base, context };
}

function usesPath({ parts }: ObjectTemplate): boolean {
  return parts.some((part) => typeof part === "object" && part.filters.includes("path"));
}

function compileContext(
  context: NonNullable<ListEntryCheck["context"]>,
  path: Path,
  roots: ReadonlySet<string>,
  { report, caveats }: Compiling,
): ContextTemplate {
  if (!caveats) {
    report.add(
      path,
      "this authorizer evaluates no caveats, so the condition would never be looked at",
      "remove context, or use spicedb",
    );
  }
  const compiled = new Map<string, Template | string | number | boolean>();
  for (const [key, source] of Object.entries(context)) {
    if (typeof source !== "string") {
      compiled.set(key, source);
      continue;
    }
    const parsed = parseTemplate(source, { roots, filters: CONTEXT_FILTERS, each: false });
    if (!parsed.ok) report.add([...path, key], parsed.problem);
    else
      compiled.set(
        key,
        parsed.template.parts.some((part) => typeof part === "object") ? parsed.template : source,
      );
  }
  return compiled;
}
