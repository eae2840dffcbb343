// What a JSON Schema validator found in a document, as sentences with a place. Validators need `allErrors` and `verbose`.
import type { ValidatorError } from "../schema/runtime.ts";
import { type ParsedDocument, type Path, pathText, type Problem } from "./problem.ts";

type Sentence = { readonly message: string; readonly fix?: string };

/**
 * One problem for each thing to mend, in the order of the text. Consequences are left out: a failed `oneOf` or `if` whose
 * cause is reported deeper down, and the same sentence twice.
 */
export function problemsFromSchema(
  document: ParsedDocument,
  errors: readonly ValidatorError[] | null | undefined,
): Problem[] {
  const all = errors ?? [];
  const problems = new Map<string, Problem>();
  for (const error of all) {
    if (isConsequence(error, all)) continue;
    const problem = toProblem(document, error);
    problems.set(`${problem.path} ${problem.message}`, problem);
  }
  return [...problems.values()].toSorted((a, b) => a.line - b.line || a.column - b.column);
}

const CHOICES: ReadonlySet<string> = new Set(["oneOf", "anyOf"]);

function isConsequence(error: ValidatorError, all: readonly ValidatorError[]): boolean {
  if (error.keyword === "if") return true;
  if (CHOICES.has(error.keyword)) {
    // Deeper down somebody says what is wrong in the branch that was meant.
    return all.some((other) => other.instancePath.startsWith(`${error.instancePath}/`));
  }
  // Of a value that fits no branch, each branch says what it would have wanted; the choice itself says it once.
  const choice = all.some(
    (other) => CHOICES.has(other.keyword) && other.instancePath === error.instancePath,
  );
  return choice && (error.keyword === "type" || error.keyword === "const");
}

function toProblem(document: ParsedDocument, error: ValidatorError): Problem {
  const path = pathOf(error.instancePath, document.value);
  const extra = unknownMember(error);
  const at = extra === undefined ? document.at(path) : document.at([...path, extra], "key");
  return { file: document.file, ...at, path: pathText(path), ...sentence(error) };
}

/** A JSON pointer as a path; a step into a list is a number. */
function pathOf(pointer: string, root: unknown): Path {
  const path: (string | number)[] = [];
  let value = root;
  for (const raw of pointer.split("/").slice(1)) {
    const step = raw.replaceAll("~1", "/").replaceAll("~0", "~");
    path.push(Array.isArray(value) ? Number(step) : step);
    value = (value as Record<string, unknown> | null | undefined)?.[step];
  }
  return path;
}

function unknownMember({ params }: ValidatorError): string | undefined {
  const name =
    params["additionalProperty"] ?? params["unevaluatedProperty"] ?? params["propertyName"];
  return typeof name === "string" ? name : undefined;
}

function sentence(error: ValidatorError): Sentence {
  const { keyword, params, parentSchema } = error;
  const fix = descriptionOf(parentSchema);
  switch (keyword) {
    case "additionalProperties":
    case "unevaluatedProperties":
      return unknownSentence(unknownMember(error) ?? "", parentSchema);
    case "propertyNames":
      return {
        message: `the name ${JSON.stringify(unknownMember(error))} does not have the right form`,
      };
    case "required":
    case "dependentRequired":
      return missingSentence(String(params["missingProperty"]), parentSchema);
    case "enum":
      return { message: `must be one of: ${list(params["allowedValues"])}`, ...fix };
    case "const":
      return { message: `must be ${JSON.stringify(params["allowedValue"])}`, ...fix };
    case "type":
      return { message: `must be ${formatName(parentSchema) ?? typeName(params["type"])}`, ...fix };
    case "pattern":
      return {
        message: "does not have the right form",
        ...(fix ?? { fix: `Match ${String(params["pattern"])}` }),
      };
    case "format":
      return {
        message: `must be ${formatName(parentSchema) ?? `a valid ${String(params["format"])}`}`,
        ...fix,
      };
    case "oneOf":
    case "anyOf":
      return choiceSentence(error);
    case "not":
      return { message: "is not allowed here", ...fix };
    default:
      return { message: boundSentence(error), ...fix };
  }
}

function boundSentence({ keyword, params, message }: ValidatorError): string {
  const limit = String(params["limit"]);
  switch (keyword) {
    case "minLength":
      return limit === "1" ? "must not be empty" : `must be at least ${limit} characters long`;
    case "maxLength":
      return `must be at most ${limit} characters long`;
    case "minimum":
      return `must be at least ${limit}`;
    case "maximum":
      return `must be at most ${limit}`;
    case "minItems":
      return limit === "1" ? "must not be an empty list" : `must have at least ${limit} items`;
    case "maxItems":
      return `must have at most ${limit} items`;
    case "minProperties":
      return `must have at least ${limit} ${limit === "1" ? "member" : "members"}`;
    case "maxProperties":
      return `must have at most ${limit} ${limit === "1" ? "member" : "members"}`;
    case "uniqueItems":
      return "has the same item twice";
    default:
      return message ?? `does not satisfy ${keyword}`;
  }
}

function descriptionOf(schema: ValidatorError["parentSchema"]): { fix: string } | undefined {
  const description = schema?.["description"];
  return typeof description === "string" ? { fix: description } : undefined;
}

function membersOf(schema: ValidatorError["parentSchema"]): readonly string[] {
  const properties = schema?.["properties"];
  return typeof properties === "object" && properties !== null ? Object.keys(properties) : [];
}

function unknownSentence(name: string, schema: ValidatorError["parentSchema"]): Sentence {
  const known = membersOf(schema);
  const message = `unknown member ${JSON.stringify(name)}; known: ${known.join(", ") || "none"}`;
  const below = placeBelow(name, schema);
  if (below !== undefined) return { message, fix: `Indent it: it belongs below \`${below}\`.` };
  const near = nearestName(name, known);
  return { message, fix: near === undefined ? "Remove it." : `Did you mean ${near}?` };
}

/** Deepest nesting that is searched for a member that stands too far out. */
const MAX_BELOW = 3;

/** Where a member would be known: `protocols.http`. */
function placeBelow(
  name: string,
  schema: ValidatorError["parentSchema"],
  depth = 1,
): string | undefined {
  const properties = (schema?.["properties"] ?? {}) as Record<string, Record<string, unknown>>;
  for (const [key, inner] of Object.entries(properties)) {
    if (membersOf(inner).includes(name)) return key;
    const deeper = depth < MAX_BELOW ? placeBelow(name, inner, depth + 1) : undefined;
    if (deeper !== undefined) return `${key}.${deeper}`;
  }
  return undefined;
}

function missingSentence(name: string, schema: ValidatorError["parentSchema"]): Sentence {
  const properties = schema?.["properties"] as
    | Record<string, ValidatorError["parentSchema"]>
    | undefined;
  const { fix } = descriptionOf(properties?.[name]) ?? { fix: "Add it." };
  return { message: `${JSON.stringify(name)} is missing`, fix };
}

/** Branches that are known by the one member they ask for: "exactly one of: a, b". */
function choiceSentence({ keyword, parentSchema }: ValidatorError): Sentence {
  const branches = parentSchema?.[keyword];
  const names = (Array.isArray(branches) ? branches : []).map((branch: unknown) => {
    const required = (branch as { readonly required?: unknown } | null)?.required;
    return Array.isArray(required) && required.length === 1 ? String(required[0]) : undefined;
  });
  const fix = descriptionOf(parentSchema);
  if (names.length > 0 && names.every((name) => name !== undefined)) {
    const count = keyword === "oneOf" ? "exactly one" : "at least one";
    return { message: `must have ${count} of: ${names.join(", ")}`, ...fix };
  }
  return { message: "fits none of the forms that it may have, or more than one", ...fix };
}

function list(values: unknown): string {
  return Array.isArray(values) ? values.map(String).join(", ") : String(values);
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  object: "a map of members",
  array: "a list",
  null: "empty",
};

function typeName(type: unknown): string {
  const types = Array.isArray(type) ? type.map(String) : String(type).split(",");
  return types.map((name) => TYPE_NAMES[name] ?? name).join(" or ");
}

/** Formats that need more words than their name. */
const FORMAT_NAMES: Readonly<Record<string, string>> = {
  duration: "a duration with its unit (ms, s, m or h)",
  size: "a size with its unit (B, KiB, MiB or GiB)",
  endpoint: "an address with its port",
  http_url: "an http:// or https:// address",
};

function formatName(schema: ValidatorError["parentSchema"]): string | undefined {
  return FORMAT_NAMES[String(schema?.["format"])];
}

const MAX_COMPARED = 64;

/** The name among `known` that was probably meant: at most two letters differ. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  const near = known
    .map((candidate) => ({ candidate, far: distance(candidate, name) }))
    .filter(({ candidate, far }) => far <= Math.min(2, Math.ceil(candidate.length / 3)));
  return near.toSorted((a, b) => a.far - b.far)[0]?.candidate;
}

/** Edit distance, for names that are nearly right. */
function distance(one: string, other: string): number {
  if (Math.abs(one.length - other.length) > 2 || other.length > MAX_COMPARED) return Infinity;
  let row = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let i = 1; i <= one.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= other.length; j += 1) {
      const substitution = (row[j - 1] ?? 0) + (one[i - 1] === other[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[other.length] ?? Infinity;
}
