// An opener of the platform as a stranger on the machine sees it: it must never be given an address.
import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What one start of the opener was like. */
export interface Opened {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Of the page that it was given. */
  readonly page: string;
  /** Permission bits of the page and of its directory. */
  readonly modes: readonly number[];
}

const SCRIPT = `#!${process.execPath}
const { dirname, join } = require("node:path");
const { fileURLToPath } = require("node:url");
const fs = require("node:fs");
const args = process.argv.slice(2);
if (args.length !== 1 || /https?:/i.test(decodeURIComponent(args.join(" ")))) process.exit(9);
const file = fileURLToPath(args[0]);
const modes = [file, dirname(file)].map((path) => fs.statSync(path).mode & 0o777);
const seen = JSON.stringify({ args, env: process.env, page: fs.readFileSync(file, "utf8"), modes });
fs.writeFileSync(join(__dirname, "opened.tmp"), seen);
fs.renameSync(join(__dirname, "opened.tmp"), join(__dirname, "opened"));
`;

/** See above. Ends with 9 when an address is among its arguments. */
export class StrictOpener {
  /** For `PATH`. */
  readonly directory: string;

  constructor(directory: string, name = "xdg-open") {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, `${name}.tmp`), SCRIPT);
    chmodSync(join(directory, `${name}.tmp`), 0o755);
    renameSync(join(directory, `${name}.tmp`), join(directory, name));
  }

  /** `undefined`: not opened yet, or with something that it refused. */
  get opened(): Opened | undefined {
    const file = join(this.directory, "opened");
    return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Opened) : undefined;
  }
}

/** Where a page leads a browser that runs no script: the address of its `refresh`. */
export function addressOf(html: string): string {
  const content = /<meta http-equiv="refresh" content="0;url=([^"]*)">/.exec(html)?.[1];
  assert(content !== undefined, "the page leads nowhere");
  const entities: Readonly<Record<string, string>> = {
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&#39;": "'",
  };
  return content.replaceAll(/&[a-z0-9#]+;/g, (entity) => entities[entity] ?? entity);
}
