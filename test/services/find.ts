// Real services for tests, in this order: an endpoint in the environment, a program on PATH, one that `.ci/services.sh` built.
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Where a service is: running already, or a program to start. */
export type FoundService =
  | { readonly kind: "endpoint"; readonly endpoint: string; readonly token: string }
  | { readonly kind: "binary"; readonly path: string };

/**
 * Finds a service by the name of its program. `undefined` after one loud line, so that the tests can be skipped; with
 * `CI=true` it throws instead: there a missing service is a failure.
 * `COUNTERSIGN_TEST_<NAME>` is an endpoint, `COUNTERSIGN_TEST_<NAME>_TOKEN` its credential.
 */
export function findService(
  name: string,
  env: NodeJS.ProcessEnv = process.env,
): FoundService | undefined {
  const variable = `COUNTERSIGN_TEST_${name.toUpperCase().replaceAll("-", "_")}`;
  const endpoint = env[variable];
  if (endpoint !== undefined && endpoint !== "") {
    return { kind: "endpoint", endpoint, token: env[`${variable}_TOKEN`] ?? "" };
  }
  const own = join(
    env["COUNTERSIGN_SERVICES_DIR"] ?? join(homedir(), ".cache", "countersign", "services"),
    "bin",
  );
  for (const folder of [...(env["PATH"] ?? "").split(delimiter), own]) {
    const path = join(folder, name);
    if (folder !== "" && isProgram(path)) return { kind: "binary", path };
  }
  const message = `no real ${name}: set ${variable}, put it on PATH, or run: bash .ci/services.sh ${name}`;
  if (env["CI"] === "true") throw new Error(message);
  process.stderr.write(`\nSKIPPED, ${message}\n\n`);
  return undefined;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
