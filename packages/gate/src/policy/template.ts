/** A step that turns a value into the text of an object id, or refuses it. */
export type Filter = "raw" | "path" | "lower" | "number";

/** `{arguments.items[*].id|lower}`: where to look, and what to do with what is there. */
export interface Placeholder {
  readonly root: string;
  /** Members below the root; with `each`, below the element. */
  readonly path: readonly string[];
  /** Stands for every element of the template's list. */
  readonly each: boolean;
  readonly filters: readonly Filter[];
}

/** The list that a template with `[*]` goes through. */
export interface Each {
  readonly root: string;
  readonly path: readonly string[];
}

/** Text with placeholders, taken apart once at load. */
export interface Template {
  readonly text: string;
  readonly parts: readonly (string | Placeholder)[];
  readonly each?: Each;
}

/** An object: literal type, templated id. */
export interface ObjectTemplate extends Template {
  readonly type: string;
  /** Several placeholders: the separators `/`, `|`, `+` are escaped in the values as well (contract, section 4). */
  readonly escapeSeparators: boolean;
}

/** The roots a placeholder may start from, and the filters it may use. */
export interface TemplateRules {
  readonly roots: ReadonlySet<string>;
  readonly filters: ReadonlySet<Filter>;
  readonly each: boolean;
}

/** A template, or what is wrong with it. */
export type Parsed<T> =
  | { readonly ok: true; readonly template: T }
  | { readonly ok: false; readonly problem: string };

const PLACEHOLDER = /\{([^{}]*)\}/g;
const INSIDE = /^([A-Za-z_][A-Za-z0-9_]*)((?:\.[A-Za-z0-9_$-]+|\[\*\])*)((?:\|[a-z]+)*)$/;
const OBJECT_TYPE = /^[a-z0-9_]([a-z0-9_/]{0,126}[a-z0-9])?$/;
const ID_LITERAL = /^(?:[A-Za-z0-9/_|+-]|=[0-9A-F]{2})*$/;
const SEPARATOR = /[/|+]/;
const MAX_TEMPLATE_CHARS = 1024;
const MAX_PLACEHOLDERS = 8;
const MAX_FILTERS = 3;

/** Takes `text` apart. Braces have no other use, so an unbalanced one is an error and not text. */
export function parseTemplate(text: string, rules: TemplateRules): Parsed<Template> {
  if (text.length > MAX_TEMPLATE_CHARS)
    return problem(`is longer than ${MAX_TEMPLATE_CHARS} characters`);
  const parts: (string | Placeholder)[] = [];
  let each: Each | undefined;
  let end = 0;
  for (const match of text.matchAll(PLACEHOLDER)) {
    if (match.index > end) parts.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    const parsed = parsePlaceholder(match[1] as string, rules);
    if (!parsed.ok) return parsed;
    const found = parsed.template;
    if (found.list !== undefined) {
      if (each !== undefined && !sameList(each, found.list))
        return problem("goes through two lists; [*] must be the same list everywhere in it");
      each = found.list;
    }
    parts.push(found.placeholder);
  }
  if (end < text.length) parts.push(text.slice(end));
  if (parts.some((part) => typeof part === "string" && /[{}]/.test(part)))
    return problem("has an unbalanced brace");
  if (parts.length > 2 * MAX_PLACEHOLDERS + 1)
    return problem(`has more than ${MAX_PLACEHOLDERS} placeholders`);
  return { ok: true, template: each === undefined ? { text, parts } : { text, parts, each } };
}

interface ParsedPlaceholder {
  readonly placeholder: Placeholder;
  readonly list?: Each;
}

function parsePlaceholder(inside: string, rules: TemplateRules): Parsed<ParsedPlaceholder> {
  const match = INSIDE.exec(inside);
  if (match === null)
    return problem(`has a placeholder {${inside}} that is not root.member|filter`);
  const [, root, members, pipes] = match as unknown as [string, string, string, string];
  if (!rules.roots.has(root))
    return problem(`asks for {${root}}; known here: ${[...rules.roots].join(", ")}`);
  const filters = pipes === "" ? [] : pipes.slice(1).split("|");
  if (filters.length > MAX_FILTERS)
    return problem(`has more than ${MAX_FILTERS} filters on {${inside}}`);
  for (const filter of filters) {
    if (!rules.filters.has(filter as Filter))
      return problem(
        `has an unknown filter |${filter}; known here: ${[...rules.filters].join(", ")}`,
      );
  }
  if (filters.slice(0, -1).includes("raw"))
    return problem(
      `has a filter after |raw on {${inside}}, which nothing would apply; put |raw last`,
    );
  const lists = members.split("[*]");
  if (lists.length > 2) return problem(`has two [*] in {${inside}}`);
  if (lists.length === 2 && !rules.each)
    return problem("uses [*], which is for a check's resource only");
  const [before, after] = lists.map((part) => part.split(".").slice(1));
  const each = after !== undefined;
  const placeholder = { root, path: after ?? before ?? [], each, filters: filters as Filter[] };
  return {
    ok: true,
    template: each ? { placeholder, list: { root, path: before ?? [] } } : { placeholder },
  };
}

function sameList(a: Each, b: Each): boolean {
  return a.root === b.root && a.path.join(".") === b.path.join(".");
}

/** `type:id template`. The type is literal, so no argument can choose what kind of object is asked about. */
export function parseObjectTemplate(text: string, rules: TemplateRules): Parsed<ObjectTemplate> {
  const colon = text.indexOf(":");
  const type = colon < 0 ? text : text.slice(0, colon);
  if (/[{}]/.test(type))
    return problem(
      "has a placeholder in the type; the part before the first colon must be literal",
    );
  if (colon < 0) return problem("has no type; write type:id, as ticket:{arguments.id}");
  if (!OBJECT_TYPE.test(type)) return problem("has a type outside a-z 0-9 _ /");
  const parsed = parseTemplate(text.slice(colon + 1), rules);
  if (!parsed.ok) return parsed;
  const { parts } = parsed.template;
  if (parts.length === 0) return problem("has an empty id");
  const literals = parts.filter((part) => typeof part === "string");
  if (literals.some((part) => !ID_LITERAL.test(part))) {
    return problem(
      "has a character in the id that an object id cannot hold; write it as = and two upper-case hex digits",
    );
  }
  const placeholders = parts.length - literals.length;
  if (placeholders > 1 && !isSeparated(parts))
    return problem(
      "has two placeholders without / | or + between them, so two calls could name one object",
    );
  return {
    ok: true,
    template: { ...parsed.template, text, type, escapeSeparators: placeholders > 1 },
  };
}

function isSeparated(parts: readonly (string | Placeholder)[]): boolean {
  let separated = true;
  for (const part of parts) {
    if (typeof part === "string") separated ||= SEPARATOR.test(part);
    else if (!separated) return false;
    else separated = false;
  }
  return true;
}

function problem(text: string): { readonly ok: false; readonly problem: string } {
  return { ok: false, problem: text };
}
