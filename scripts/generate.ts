// Runs every package's own generator: packages/<name>/scripts/generate.ts. Each has a test that generates again and compares.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

const packages = join(import.meta.dirname, "..", "packages");

for (const name of readdirSync(packages).toSorted()) {
  const generator = join(packages, name, "scripts", "generate.ts");
  if (existsSync(generator)) await import(generator);
}
