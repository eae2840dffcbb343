import { spawn } from "node:child_process";
import { win32 } from "node:path";
import { safeEnvironment } from "./safe-environment.ts";

/** Where a browser may be. */
export interface BrowserSurroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
}

/** An opener that still runs after this long is taken to show the page. */
const SETTLE_MS = 3000;

/** A drive and a directory: what Windows says of itself. */
const WINDOWS_DIRECTORY = /^[A-Za-z]:\\/;

/** The platform's own opener, as a program: a shell would read what is in an address. Windows looks into the current directory first. */
export function openerOf({ env, platform }: BrowserSurroundings): readonly [string, ...string[]] {
  if (platform === "darwin") return ["open"];
  if (platform !== "win32") return ["xdg-open"];
  const said = Object.entries(env).find(([name]) => name.toUpperCase() === "SYSTEMROOT")?.[1];
  const root = said !== undefined && WINDOWS_DIRECTORY.test(said) ? said : "C:\\Windows";
  return [win32.join(root, "System32", "rundll32.exe"), "url.dll,FileProtocolHandler"];
}

/** Without a display there may still be a browser that only works in a terminal, which would then be ours: not opened. */
export function mayOpenBrowser({ env, platform }: BrowserSurroundings): boolean {
  if (platform === "darwin" || platform === "win32") return true;
  return [env["DISPLAY"], env["WAYLAND_DISPLAY"], env["BROWSER"]].some(
    (value) => value !== undefined && value !== "",
  );
}

/**
 * Shows a page of this machine (`file:`) in the human's browser; no other address, since every user of the machine can read the arguments
 * of a process. `false`: it certainly did not work. Never rejects.
 */
export function openBrowser(page: string, surroundings: BrowserSurroundings): Promise<boolean> {
  if (!page.startsWith("file://")) return Promise.resolve(false);
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const [program, ...args] = openerOf(surroundings);
  try {
    const child = spawn(program, [...args, page], {
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
