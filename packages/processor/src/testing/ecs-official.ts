// What Elastic itself publishes of ECS 9.4.0 (@elastic/ecs, Apache-2.0), as a check of documents.
import { EcsFlat, EcsVersion } from "@elastic/ecs";

interface Field {
  readonly type: string;
  readonly normalize: readonly string[];
  readonly ignore_above?: number;
  readonly allowed_values?: readonly {
    readonly name: string;
    readonly expected_event_types?: readonly string[];
  }[];
}

const FIELDS = EcsFlat as unknown as Readonly<Record<string, Field>>;

/** The version whose fields these are. */
export const ECS_VERSION: string = EcsVersion;

/** What is wrong with a document; `custom` names the one object that ECS need not know. */
export function ecsProblems(document: object, custom: string): string[] {
  const problems: string[] = [];
  for (const [name, value] of leaves(document, "")) {
    if (name.startsWith(`${custom}.`)) continue;
    const field = FIELDS[name];
    if (field === undefined) problems.push(`${name}: no field of ECS`);
    else problems.push(...fieldProblems(name, value, field));
  }
  return [...problems, ...typeProblems(document as EventLike)];
}

function* leaves(value: object, path: string): Generator<readonly [string, unknown]> {
  for (const [key, member] of Object.entries(value)) {
    const name = path === "" ? key : `${path}.${key}`;
    if (typeof member === "object" && member !== null && !Array.isArray(member)) {
      yield* leaves(member as object, name);
    } else yield [name, member];
  }
}

function fieldProblems(name: string, value: unknown, field: Field): string[] {
  const isList = field.normalize.includes("array");
  if (isList !== Array.isArray(value))
    return [`${name}: ${isList ? "must" : "must not"} be a list`];
  const values = (isList ? value : [value]) as unknown[];
  return values.flatMap((one) => {
    if (!fits(one, field.type)) return [`${name}: not of type ${field.type}`];
    if (typeof one === "string" && one.length > (field.ignore_above ?? Number.POSITIVE_INFINITY)) {
      return [`${name}: over ${field.ignore_above}, it would not be indexed`];
    }
    const allowed = field.allowed_values?.map((entry) => entry.name);
    return allowed === undefined || allowed.includes(one as string)
      ? []
      : [`${name}: ${String(one)} is no expected value`];
  });
}

function fits(value: unknown, type: string): boolean {
  switch (type) {
    case "keyword":
    case "constant_keyword":
    case "match_only_text":
    case "wildcard":
      return typeof value === "string" && value !== "";
    case "date":
      return typeof value === "string" && new Date(value).toISOString() === value;
    case "long":
      return Number.isSafeInteger(value);
    default:
      return false;
  }
}

interface EventLike {
  readonly event: { readonly category: readonly string[]; readonly type: readonly string[] };
}

/** ECS lists for each category which types belong to it. */
function typeProblems({ event }: EventLike): string[] {
  const categories = FIELDS["event.category"]?.allowed_values ?? [];
  const expected = new Set(
    categories
      .filter(({ name }) => event.category.includes(name))
      .flatMap(({ expected_event_types: types = [] }) => types),
  );
  return event.type.filter((type) => !expected.has(type)).map((type) => `event.type: ${type}`);
}
