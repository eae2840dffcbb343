import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

const cache =
  process.env["COUNTERSIGN_SERVICES_DIR"] ?? join(homedir(), ".cache", "countersign", "services");

/**
 * A program that a test needs: on PATH, or where `.ci/services.sh` puts it. Undefined, with one loud line, when it is nowhere; with
 * CI=true that is a failure.
 */
export function findTool(name: string): string | undefined {
  const folders = [
    join(cache, "bin"),
    join(cache, "python", name, "bin"),
    ...(process.env["PATH"] ?? "").split(delimiter),
  ];
  const found = folders.map((folder) => join(folder, name)).find(isExecutable);
  if (found !== undefined) return found;
  const message = `${name} is not installed; \`bash .ci/services.sh\` gets it`;
  if (process.env["CI"] === "true") throw new Error(message);
  console.warn(`SKIPPED: ${message}`);
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
