// A component's settings against its JSON Schema.
import { Ajv2020, type ErrorObject, type ValidateFunction } from "ajv/dist/2020.js";
import type { ConfigPath } from "./config-report.ts";
import { pathText } from "./config-report.ts";
import type { JsonSchema } from "./spec.ts";
import { parseDuration, parseSize } from "./units.ts";

const ajv = new Ajv2020({
  allErrors: true,
  useDefaults: true,
  strict: true,
  verbose: true,
  allowUnionTypes: true,
  formats: {
    duration: (text: string) => parseDuration(text) !== undefined,
    size: (text: string) => parseSize(text) !== undefined,
    endpoint: (text: string) => parseEndpoint(text) !== undefined,
    http_url: (text: string) => /^https?:\/\/[^/@]/.test(text) && URL.canParse(text),
  },
});

// Compiled once per schema object: specs are constants.
const compiled = new WeakMap<JsonSchema, ValidateFunction>();

/** An address to listen on. */
export interface Endpoint {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:4318`, `[::1]:4318`, `localhost:4318`; undefined if it is none. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) return undefined;
  return { host: (match[1] ?? match[2]) as string, port };
}

/** What came of a validation. */
export interface Validated {
  /** With defaults filled in. */
  readonly config: unknown;
  readonly errors: readonly ErrorObject[];
}

/**
 * Checks settings against a schema. `whole` says which strings, by their path, were a variable and nothing else: where the
 * schema wants a number or a boolean, they are read as one.
 */
export function validateSettings(
  settings: unknown,
  schema: JsonSchema,
  whole: { readonly paths: ReadonlySet<string>; readonly base: ConfigPath },
): Validated {
  const config = structuredClone(settings ?? {});
  const errors = schemaErrors(schema, config);
  const coerced = errors.filter((error) => coerce(config, error, whole));
  const rest = coerced.length > 0 ? schemaErrors(schema, config) : errors;
  return { config, errors: rest };
}

/** What is wrong with a value. Fills in defaults. */
export function schemaErrors(schema: JsonSchema, config: unknown): readonly ErrorObject[] {
  let validate = compiled.get(schema);
  if (validate === undefined) {
    validate = ajv.compile(schema);
    compiled.set(schema, validate);
  }
  return validate(config) ? [] : [...(validate.errors ?? [])];
}

/** Turns a variable's text into the number or boolean that the schema wants there. */
function coerce(
  config: unknown,
  error: ErrorObject,
  whole: { paths: ReadonlySet<string>; base: ConfigPath },
): boolean {
  const path = pathOf(error.instancePath, config);
  if (error.keyword !== "type" || !whole.paths.has(pathText([...whole.base, ...path])))
    return false;
  const parent = path.slice(0, -1).reduce<unknown>(member, config) as Record<
    string | number,
    unknown
  >;
  const key = path.at(-1) as string | number;
  const text = parent[key];
  if (/^-?\d{1,15}$/.test(String(text))) parent[key] = Number(text);
  else if (text === "true" || text === "false") parent[key] = text === "true";
  else return false;
  return true;
}

/** Where in the settings an error is. */
export function errorPath(error: ErrorObject, config: unknown): ConfigPath {
  return pathOf(error.instancePath, config);
}

function member(value: unknown, key: string | number): unknown {
  return (value as Record<string | number, unknown>)[key];
}

function pathOf(pointer: string, root: unknown): (string | number)[] {
  const path: (string | number)[] = [];
  let value = root;
  for (const raw of pointer.split("/").slice(1)) {
    const key = raw.replaceAll("~1", "/").replaceAll("~0", "~");
    path.push(Array.isArray(value) ? Number(key) : key);
    value = member(value, path.at(-1) as string | number);
  }
  return path;
}
