import { homedir } from "node:os";
import { join, resolve } from "node:path";

/** The state directory: `COUNTERSIGN_STATE_DIR`, else `countersign` in `XDG_STATE_HOME` or `~/.local/state`. Not made here. */
export function stateDirectory(env: NodeJS.ProcessEnv = process.env): string {
  const own = env["COUNTERSIGN_STATE_DIR"];
  if (own !== undefined && own !== "") return resolve(own);
  const xdg = env["XDG_STATE_HOME"];
  const base = xdg === undefined || xdg === "" ? join(homedir(), ".local", "state") : xdg;
  return join(base, "countersign");
}
