import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { generatedFiles } from "./validators.ts";

const target = join(import.meta.dirname, "..", "src", "policy");

for (const [name, text] of Object.entries(generatedFiles())) {
  writeFileSync(join(target, name), text);
}
