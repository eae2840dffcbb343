// Settings that a schema marks `writeOnly` are secrets: in the file itself everybody who reads the file has them.
import type { ConfigPath } from "./config-report.ts";
import type { JsonSchema } from "./spec.ts";

/** Paths of the texts that a schema marks `writeOnly`. Looks where settings are: members, patterns, other names. */
export function inlineSecrets(
  schema: JsonSchema,
  value: unknown,
  path: ConfigPath = [],
): readonly ConfigPath[] {
  if (typeof value === "string") return schema["writeOnly"] === true ? [path] : [];
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [];
  return Object.entries(value).flatMap(([key, item]) => {
    const inner = schemaOf(schema, key);
    return inner === undefined ? [] : inlineSecrets(inner, item, [...path, key]);
  });
}

function schemaOf(schema: JsonSchema, key: string): JsonSchema | undefined {
  const own = (schema["properties"] as Record<string, JsonSchema> | undefined)?.[key];
  if (own !== undefined) return own;
  const patterns = Object.entries(
    (schema["patternProperties"] ?? {}) as Record<string, JsonSchema>,
  );
  const matching = patterns.find(([pattern]) => new RegExp(pattern, "u").test(key))?.[1];
  const others = schema["additionalProperties"];
  return matching ?? (typeof others === "object" ? (others as JsonSchema) : undefined);
}
