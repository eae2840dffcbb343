import { spawn } from "node:child_process";
import { safeEnvironment } from "./safe-environment.ts";

/** Where a browser may be. */
export interface BrowserSurroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
}

/** An opener that still runs after this long is taken to show the page. */
const SETTLE_MS = 3000;

/** The platform's own opener, as a program: a shell would read the `&` of an address. */
function openerOf(platform: NodeJS.Platform): readonly [string, ...string[]] {
  if (platform === "darwin") return ["open"];
  if (platform === "win32") return ["rundll32", "url.dll,FileProtocolHandler"];
  return ["xdg-open"];
}

/** Without a display there may still be a browser that only works in a terminal, which would then be ours: not opened. */
export function mayOpenBrowser({ env, platform }: BrowserSurroundings): boolean {
  if (platform === "darwin" || platform === "win32") return true;
  return [env["DISPLAY"], env["WAYLAND_DISPLAY"], env["BROWSER"]].some(
    (value) => value !== undefined && value !== "",
  );
}

/** Shows an address in the human's browser. `false`: it certainly did not work. Never rejects. */
export function openBrowser(url: string, surroundings: BrowserSurroundings): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const [program, ...args] = openerOf(surroundings.platform);
  try {
    const child = spawn(program, [...args, url], {
      env: safeEnvironment(surroundings.env),
      stdio: "ignore",
      detached: true,
      windowsHide: true,
    });
    const timer = setTimeout(() => resolve(true), SETTLE_MS).unref();
    const end = (opened: boolean): void => {
      clearTimeout(timer);
      resolve(opened);
    };
    child.on("error", () => end(false));
    child.on("exit", (code) => end(code === 0));
    child.unref();
  } catch {
    resolve(false);
  }
  return promise;
}
