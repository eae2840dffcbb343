import { delimiter, isAbsolute } from "node:path";

/** Nothing is there. */
const NOWHERE = "/nonexistent";
const NAMES: ReadonlySet<string> = new Set([
  "HOME",
  "USER",
  "LOGNAME",
  "LANG",
  "LANGUAGE",
  "TZ",
  "TMPDIR",
  "BROWSER",
  "DISPLAY",
  "WAYLAND_DISPLAY",
  "XAUTHORITY",
  "DESKTOP_SESSION",
  "DBUS_SESSION_BUS_ADDRESS",
  "KDE_FULL_SESSION",
  "KDE_SESSION_VERSION",
  "GNOME_DESKTOP_SESSION_ID",
  "WSL_DISTRO_NAME",
  "WSL_INTEROP",
  // Windows
  "APPDATA",
  "COMSPEC",
  "LOCALAPPDATA",
  "PATHEXT",
  "PROGRAMDATA",
  "PROGRAMFILES",
  "PROGRAMFILES(X86)",
  "SYSTEMDRIVE",
  "SYSTEMROOT",
  "TEMP",
  "TMP",
  "USERPROFILE",
  "WINDIR",
]);

/**
 * What a browser or a keychain tool needs of our environment, and nothing else: shells hold tokens in variables, and a browser hands its
 * environment to everything that it starts. Programs are looked for in absolute places of `PATH` alone: an empty or relative one (`.`,
 * `node_modules/.bin`) is whatever directory we happen to be in, and a keychain tool is given the login key.
 */
export function safeEnvironment(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(env)) {
    const upper = name.toUpperCase();
    if (upper === "PATH") kept[name] = absolutePlaces(value ?? "");
    else if (NAMES.has(upper) || upper.startsWith("LC_") || upper.startsWith("XDG_")) {
      kept[name] = value;
    }
  }
  return kept;
}

/** Systems look into the current directory for an empty `PATH`, and into a list of their own without one. */
function absolutePlaces(path: string): string {
  const places = path.split(delimiter).filter((place) => isAbsolute(place));
  return places.length > 0 ? places.join(delimiter) : NOWHERE;
}
