// Settings of a component, one a row, from its JSON Schema.
import type { JsonSchema } from "@countersign/pipeline";

/** A setting, in words. */
export interface Setting {
  /** `protocols.http.endpoint`. */
  readonly name: string;
  readonly type: string;
  readonly fallback: string;
  readonly bounds: string;
  readonly meaning: string;
}

/** Every setting of a schema, in its order; members of a map after the map. */
export function settingsOf(schema: JsonSchema, base = ""): readonly Setting[] {
  const required = (schema["required"] ?? []) as readonly string[];
  return members(schema).flatMap(([key, inner]) => {
    const name = base + key;
    const own: Setting = {
      name,
      type: typeName(inner),
      fallback: fallbackOf(inner, required.includes(key)),
      bounds: boundsOf(inner).join(", "),
      meaning: (inner["description"] ?? "") as string,
    };
    const below = [inner, ...branches(inner)].flatMap((one) => settingsOf(one, `${name}.`));
    return [own, ...below];
  });
}

function members(schema: JsonSchema): [string, JsonSchema][] {
  return Object.entries((schema["properties"] ?? {}) as Record<string, JsonSchema>);
}

function branches(schema: JsonSchema): readonly JsonSchema[] {
  return (schema["anyOf"] ?? schema["oneOf"] ?? []) as readonly JsonSchema[];
}

const FORMATS: Readonly<Record<string, string>> = {
  duration: "duration",
  size: "size",
  endpoint: "host:port",
  http_url: "http(s) address",
};

const TYPES: Readonly<Record<string, string>> = {
  string: "text",
  integer: "whole number",
  number: "number",
  boolean: "true or false",
};

function typeName(schema: JsonSchema): string {
  const secret = schema["writeOnly"] === true ? ", *secret*" : "";
  const choices = schema["enum"] ?? (schema["const"] === undefined ? undefined : [schema["const"]]);
  if (Array.isArray(choices)) return choices.map((one) => code(one)).join(" or ");
  const any = branches(schema);
  if (any.length > 0) return any.map(typeName).join(", or ");
  const type = String(schema["type"]);
  if (type === "array") return `list: ${typeName(schema["items"] as JsonSchema)}`;
  if (type === "object") {
    const values = schema["additionalProperties"];
    return typeof values === "object" && values !== null
      ? `map of ${typeName(values as JsonSchema)}`
      : "map";
  }
  return (FORMATS[String(schema["format"])] ?? TYPES[type] ?? type) + secret;
}

function fallbackOf(schema: JsonSchema, required: boolean): string {
  const value = schema["default"];
  if (value === undefined) return required ? "*required*" : "";
  const isEmptyMap = typeof value === "object" && !Array.isArray(value);
  return isEmptyMap ? "" : code(value);
}

function boundsOf(schema: JsonSchema): readonly string[] {
  const items = schema["items"] as JsonSchema | undefined;
  return [
    ...range(schema["minimum"], schema["maximum"], ""),
    ...range(schema["minLength"], schema["maxLength"], " characters"),
    ...range(schema["minItems"], schema["maxItems"], " items"),
    ...range(schema["minProperties"], schema["maxProperties"], " members"),
    ...(schema["pattern"] === undefined ? [] : [code(schema["pattern"])]),
    ...(items === undefined ? [] : boundsOf(items).map((one) => `each ${one}`)),
  ];
}

function range(from: unknown, to: unknown, unit: string): readonly string[] {
  const [least, most] = [number(from), number(to)];
  if (least !== undefined && most !== undefined) return [`${least} to ${most}${unit}`];
  if (least !== undefined)
    return [`at least ${least}${unit === "" ? "" : unit.replace(/s$/, least === "1" ? "" : "s")}`];
  return most === undefined ? [] : [`at most ${most}${unit}`];
}

function number(value: unknown): string | undefined {
  return typeof value === "number" ? value.toLocaleString("en") : undefined;
}

function code(value: unknown): string {
  return `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
}
