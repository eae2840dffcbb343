// The validators of events: closed (what an emitter may seal) and open (what intake accepts), one function a kind.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { standaloneModule } from "./standalone.ts";

const schemas = join(import.meta.dirname, "..", "src", "schema");

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const SEALED = ["start", "decision", "outcome", "heartbeat", "lost", "stop"] as const;

function read(name: string): object {
  return JSON.parse(readFileSync(join(schemas, name), "utf8")) as object;
}

/**
 * The open form (contract, section 8): members and reasons may be added within a major, so unknown members pass, and so do
 * reasons that this version does not know. Everything that is known stays as strict as it was.
 */
function open(schema: Json): Json {
  if (Array.isArray(schema)) return schema.map(open);
  if (typeof schema !== "object" || schema === null) return schema;
  const opened: Record<string, Json> = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key === "additionalProperties" && value === false) continue;
    opened[key] =
      key === "properties" ? openProperties(value as { [key: string]: Json }) : open(value);
  }
  return opened;
}

/** Lists that may grow within a major, and what their words look like. */
const OPEN_LISTS: ReadonlyMap<string, string> = new Map([
  ["reason", "^[a-z][a-z0-9_]{0,63}$"],
  ["finding", "^[A-Z][A-Z0-9_]{0,63}$"],
]);

function openProperties(properties: { readonly [key: string]: Json }): Json {
  const opened: Record<string, Json> = {};
  for (const [name, schema] of Object.entries(properties)) {
    const closedList = typeof schema === "object" && schema !== null && "enum" in schema;
    opened[name] =
      OPEN_LISTS.has(name) && closedList
        ? { type: "string", pattern: OPEN_LISTS.get(name) as string }
        : open(schema);
  }
  return opened;
}

function kinds(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.map((name) => [name, `urn:countersign:schema:event:1#/$defs/event_${name}`]),
  );
}

/** File name, relative to src/schema, to its text. */
export function generatedFiles(): Readonly<Record<string, string>> {
  const event = read("event.schema.json");
  const withheld = read("withheld.schema.json");
  const finding = read("finding.schema.json");
  return {
    "closed.generated.ts": standaloneModule({
      schemas: [event],
      validators: kinds(SEALED),
      runtime: "./runtime.ts",
    }),
    "open.generated.ts": standaloneModule({
      schemas: [event, withheld, finding].map((schema) => open(schema as Json) as object),
      validators: {
        ...kinds(SEALED),
        withheld: "urn:countersign:schema:withheld:1",
        finding: "urn:countersign:schema:finding:1",
      },
      runtime: "./runtime.ts",
    }),
  };
}
