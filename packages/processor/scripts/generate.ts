import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ocsfValidator } from "./ocsf-validator.ts";

writeFileSync(
  join(import.meta.dirname, "..", "src", "formats", "ocsf-1.8.0.generated.ts"),
  ocsfValidator(),
);
