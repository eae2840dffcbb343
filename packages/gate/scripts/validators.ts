// The validator of policy files: the JSON Schema as plain code, so that no process that embeds us compiles code.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { standaloneModule } from "../../model/scripts/standalone.ts";

const schema = join(import.meta.dirname, "..", "src", "policy", "policy.schema.json");

/** File name, relative to src/policy, to its text. */
export function generatedFiles(): Readonly<Record<string, string>> {
  const policy = JSON.parse(readFileSync(schema, "utf8")) as { readonly $id: string };
  return {
    "policy.generated.ts": standaloneModule({
      schemas: [policy],
      validators: { validatePolicy: policy.$id },
      runtime: "@countersign/model/schema/runtime",
      allErrors: true,
    }),
  };
}
