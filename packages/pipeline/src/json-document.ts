import { parseDocument, type Problem, problemsFromSchema } from "@countersign/model/document";
import { schemaErrors } from "./config-schema.ts";
import type { JsonSchema } from "./spec.ts";

/** What came of reading a JSON document: its value, or problems. */
export type JsonDocument<Value> =
  | { readonly value: Value }
  | { readonly problems: readonly [Problem, ...Problem[]] };

/**
 * Reads a JSON document of at most 1 MiB against a schema. Problems have line, column and what to do, and no value: it may be
 * secret. Never throws.
 * @param file name for messages only
 */
export function readJson<Value>(
  text: string,
  schema: JsonSchema,
  file: string,
): JsonDocument<Value> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const errors = value === undefined ? [] : schemaErrors(schema, value);
  if (value !== undefined && errors.length === 0) return { value: value as Value };
  // The places are worth a second, slower reading only when something is wrong.
  const document = parseDocument(text, file);
  const [first, ...rest] = [...document.problems, ...problemsFromSchema(document, errors)];
  if (first !== undefined) return { problems: [first, ...rest] };
  const at = { file, line: 1, column: 1, path: "" };
  return { problems: [{ ...at, message: "is not JSON", fix: 'Quote keys and texts with ".' }] };
}
