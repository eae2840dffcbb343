import { readFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { SettingError } from "./setting-error.ts";

/** Longest file that is read: a certificate chain, or a list of credentials. */
const MAX_FILE_BYTES = 1_048_576;

/** A setting that is a text, or the file that holds it. */
export interface Source {
  /** The text when the setting was read; undefined if there is a file only. */
  readonly text?: string;
  /** Where it came from and can be read again; undefined: the text is all there is. */
  readonly file?: string;
}

/**
 * A setting of a component. `${file:/x}` leaves the content in the configuration and the file's name in `files`; what does
 * not look like content is a path.
 */
export function sourceOf(
  setting: string,
  looksLikeContent: (text: string) => boolean,
  file?: string,
): Source {
  if (file !== undefined) return { text: setting, file };
  return looksLikeContent(setting) ? { text: setting } : { file: setting };
}

/** The text of a source. Throws a {@link SettingError} without the path: a wrong setting may be a secret. */
export function readSource({ text, file }: Source, setting: string): string {
  if (text !== undefined) return text;
  let bytes: Buffer;
  try {
    bytes = readFileSync(file as string);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "error";
    const fix = "write ${file:/path}, or the path of a file that this user may read";
    throw new SettingError(setting, `names no readable file (${code})`, fix);
  }
  if (bytes.length <= MAX_FILE_BYTES) return bytes.toString("utf8");
  throw new SettingError(setting, "names a file over 1 MiB", "name another file");
}

/** Looks at files until it is closed. */
export interface WatchedFiles {
  close(): void;
}

/** What {@link watchFiles} needs. */
export interface WatchOptions {
  /** By the names that `changed` gets them under. */
  readonly files: Readonly<Record<string, string>>;
  /** What they held when they were last read. */
  readonly known: Readonly<Record<string, string>>;
  readonly intervalMs: number;
  /** All of them, when one is not as before, or can be read again. May not throw. */
  readonly changed: (texts: Readonly<Record<string, string>>) => void;
  /** A file cannot be read; said once until all can be. */
  readonly unreadable: (name: string, code: string) => void;
}

/**
 * Reads the files again and again and compares: watchers of the operating system miss the swapped symbolic links by which
 * Kubernetes renews a secret. The timer does not keep the process alive.
 */
export function watchFiles(options: WatchOptions): WatchedFiles {
  return new PolledFiles(options);
}

class PolledFiles implements WatchedFiles {
  readonly #options: WatchOptions;
  readonly #timer: NodeJS.Timeout;
  #texts: Readonly<Record<string, string>>;
  #isReading = false;
  #isBroken = false;
  #isClosed = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#texts = mapValues(options.known, trimmed);
    this.#timer = setInterval(() => void this.#look(), options.intervalMs).unref();
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    const texts = await this.#read();
    this.#isReading = false;
    if (texts === undefined || this.#isClosed) return;
    const names = Object.keys(this.#options.files);
    if (!this.#isBroken && names.every((name) => texts[name] === this.#texts[name])) return;
    this.#isBroken = false;
    this.#texts = texts;
    this.#options.changed(texts);
  }

  async #read(): Promise<Record<string, string> | undefined> {
    const texts: Record<string, string> = {};
    for (const [name, file] of Object.entries(this.#options.files)) {
      const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => error);
      if (Buffer.isBuffer(bytes) && bytes.length <= MAX_FILE_BYTES) {
        texts[name] = trimmed(bytes.toString("utf8"));
        continue;
      }
      if (!this.#isBroken && !this.#isClosed)
        this.#options.unreadable(name, Buffer.isBuffer(bytes) ? "EFBIG" : (bytes.code ?? "error"));
      this.#isBroken = true;
      return undefined;
    }
    return texts;
  }
}

/** `${file:…}` cuts the last newline. */
function trimmed(text: string): string {
  return text.replace(/\r?\n$/, "");
}

function mapValues(
  record: Readonly<Record<string, string>>,
  change: (value: string) => string,
): Record<string, string> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
