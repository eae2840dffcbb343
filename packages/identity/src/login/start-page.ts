import { lstatSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * The way of an address into the browser that passes no process argument: those are there for every user of the machine to read, and
 * whoever knows `state`, `nonce` and the redirect can bring an answer of their own (login fixation; RFC 9700, section 4.7).
 */
export interface StartPage {
  /** Writes a page (0600, in a 0700 directory of its own) that leads to the address. Its `file:` URL; throws errors of the file system. */
  write(address: string): string;
  /** Also done when the process ends before. */
  remove(): void;
}

const PREFIX = ".start-";
const MODE = 0o600;
/** A login takes ten minutes at most: this one's process was killed. */
const LEFT_AFTER_MS = 3_600_000;

class FileStartPage implements StartPage {
  readonly #directory: string;
  readonly #written: string[] = [];
  readonly #onExit = (): void => this.#removeAll();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Synchronous, so that no page comes into being after `remove`. */
  write(address: string): string {
    removeLeft(this.#directory);
    const own = mkdtempSync(join(this.#directory, PREFIX)); // 0700
    if (this.#written.length === 0) process.once("exit", this.#onExit);
    this.#written.push(own);
    const file = join(own, "login.html");
    writeFileSync(file, pageTo(address), { mode: MODE, flag: "wx" });
    return pathToFileURL(file).href;
  }

  remove(): void {
    process.off("exit", this.#onExit);
    this.#removeAll();
  }

  #removeAll(): void {
    for (const own of this.#written.splice(0)) removeQuietly(own);
  }
}

/** Pages of logins that could not clean up. */
function removeLeft(directory: string): void {
  for (const name of readdirSync(directory)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(directory, name);
    const changedMs = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Infinity;
    if (changedMs < Date.now() - LEFT_AFTER_MS) removeQuietly(path);
  }
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // The next login tries again.
  }
}

/** No script. The address is a normalised URL, which holds no quote and no blank that would end it within `content`. */
function pageTo(address: string): string {
  const url = escaped(new URL(address).href);
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Countersign: log in</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0;url=${url}"></head>
<body><p><a rel="noreferrer" href="${url}">Go on to the identity provider</a></p></body>
</html>
`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escaped(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ENTITIES[character] as string);
}

/** @param directory one that only this user may look into */
export function createStartPage(directory: string): StartPage {
  return new FileStartPage(directory);
}
