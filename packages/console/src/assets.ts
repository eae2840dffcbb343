import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** A file of the page. */
export interface Asset {
  readonly type: string;
  readonly body: Buffer;
}

const HTML = "text/html; charset=utf-8";
const SCRIPT = "text/javascript; charset=utf-8";

// `src/` and `dist/` lie side by side: HTML and CSS are served as written, scripts as tsc wrote them.
const PACKAGE = dirname(dirname(fileURLToPath(import.meta.url)));
const WRITTEN = join(PACKAGE, "src", "web");
const BUILT = join(PACKAGE, "dist", "web");

const WRITTEN_FILES: Readonly<Record<string, readonly [string, string]>> = {
  "/": ["index.html", HTML],
  "/style.css": ["style.css", "text/css; charset=utf-8"],
  "/list.css": ["list.css", "text/css; charset=utf-8"],
  "/detail.css": ["detail.css", "text/css; charset=utf-8"],
  "/icon.svg": ["icon.svg", "image/svg+xml"],
};

/** Files of lit-html that the page loads, unchanged: their hashes are pinned by a test. */
export const VENDORED: readonly string[] = [
  "lit-html.js",
  "directive.js",
  "directive-helpers.js",
  "directives/repeat.js",
];

/** The file at an address, or undefined. Only listed names and flat script names reach the file system. */
export async function findAsset(path: string): Promise<Asset | undefined> {
  const written = Object.hasOwn(WRITTEN_FILES, path) ? WRITTEN_FILES[path] : undefined;
  if (written !== undefined) {
    return { type: written[1], body: await readFile(join(WRITTEN, written[0])) };
  }
  const vendored = VENDORED.find((name) => path === `/vendor/lit-html/${name}`);
  if (vendored !== undefined) {
    return { type: SCRIPT, body: await readFile(vendoredPath(vendored)) };
  }
  const script = /^\/web\/([a-z][a-z-]{0,40}\.js)$/.exec(path)?.[1];
  if (script === undefined) return undefined;
  const body = await readFile(join(BUILT, script)).catch(() => undefined);
  return body === undefined ? undefined : { type: SCRIPT, body };
}

/** Where the installed lit-html keeps a file. */
export function vendoredPath(name: string): string {
  // Node is given a build of its own, in a folder that depends on its conditions; the browser's files lie at the top.
  let root = createRequire(import.meta.url).resolve("lit-html");
  while (basename(root) !== "lit-html") root = dirname(root);
  return join(root, name);
}
