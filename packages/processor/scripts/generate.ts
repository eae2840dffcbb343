import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { COMPONENTS } from "../src/components.ts";
import { ocsfValidator } from "./ocsf-validator.ts";
import { componentReference } from "./reference.ts";
import { textPage } from "./text-pages.ts";

writeFileSync(
  join(import.meta.dirname, "..", "src", "formats", "ocsf-1.8.0.generated.ts"),
  ocsfValidator(),
);

const reference = join(import.meta.dirname, "..", "..", "..", "docs", "reference");
mkdirSync(join(reference, "formats"), { recursive: true });
writeFileSync(join(reference, "components.md"), componentReference(COMPONENTS));

const formats = join(reference, "formats");
for (const format of ["cef", "leef"] as const) {
  writeFileSync(join(formats, `${format}.md`), textPage(format));
}
