import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { COMPONENTS } from "../src/components.ts";
import { ocsfValidator } from "./ocsf-validator.ts";
import { componentReference } from "./reference.ts";

writeFileSync(
  join(import.meta.dirname, "..", "src", "formats", "ocsf-1.8.0.generated.ts"),
  ocsfValidator(),
);

const reference = join(import.meta.dirname, "..", "..", "..", "docs", "reference");
mkdirSync(reference, { recursive: true });
writeFileSync(join(reference, "components.md"), componentReference(COMPONENTS));
