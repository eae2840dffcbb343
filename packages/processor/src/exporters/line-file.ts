// Lines in files that are durable when `append` resolves, and start anew beyond a size.
import { type FileHandle, mkdir, open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { CountersignError } from "@countersign/model";

/** Where lines go. */
export interface LineFileOptions {
  readonly directory: string;
  /** Files are `<base>-<number>.jsonl`. */
  readonly base: string;
  /** Permission bits, whatever the umask. */
  readonly mode: number;
  readonly maxBytes: number;
  /** A line goes into a new file when the newest is older, ms. Absent: only the size counts. */
  readonly maxAgeMs?: number;
  /** Files that may be there. At the limit lines are refused until some are moved away: nothing is deleted. Absent: no limit. */
  readonly maxFiles?: number;
  /** Component id, for messages. */
  readonly id: string;
}

/** A growing series of files. Nothing of it is ever deleted here. */
export interface LineFile {
  /** Resolves when the lines are on disk. Rejects UNAVAILABLE; the lines may then be there in part, so send them again. */
  append(lines: readonly Uint8Array[]): Promise<void>;
  close(): Promise<void>;
}

const NEWLINE = Uint8Array.of(0x0a);

/** Opens the newest file of a series. A line that a crash cut short was never acknowledged and is cut off. */
export async function openLineFile(options: LineFileOptions): Promise<LineFile> {
  try {
    await mkdir(options.directory, { recursive: true, mode: 0o700 });
    const number = await newest(options);
    const file = new RotatingFile(options, number);
    if (number > 0) await file.resume();
    return file;
  } catch (cause) {
    throw unavailable(options, cause);
  }
}

async function newest(options: LineFileOptions): Promise<number> {
  return Math.max(0, ...(await numbersOf(options)));
}

async function numbersOf({ directory, base }: LineFileOptions): Promise<readonly number[]> {
  const names = await readdir(directory);
  return names.flatMap((name) => {
    if (!name.startsWith(`${base}-`) || !name.endsWith(".jsonl")) return [];
    const digits = name.slice(base.length + 1, -".jsonl".length);
    return /^\d{8}$/.test(digits) ? [Number(digits)] : [];
  });
}

function unavailable({ id, directory }: LineFileOptions, cause: unknown): CountersignError {
  if (cause instanceof CountersignError) return cause;
  const code = (cause as NodeJS.ErrnoException).code ?? "error";
  return new CountersignError(
    "UNAVAILABLE",
    `${id}: cannot write to ${directory} (${code}); free space or fix its permissions`,
    { cause },
  );
}

class RotatingFile implements LineFile {
  readonly #options: LineFileOptions;
  #number: number;
  #handle: FileHandle | undefined;
  /** Bytes that a sync covered. */
  #size = 0;
  #sinceMs = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: LineFileOptions, number: number) {
    this.#options = options;
    this.#number = number;
  }

  /** Goes on in the newest file. */
  async resume(): Promise<void> {
    const handle = await open(this.#path(), "r+");
    const { size, birthtimeMs } = await handle.stat();
    this.#sinceMs = birthtimeMs;
    const whole = await endOfLastLine(handle, size);
    if (whole < size) {
      await handle.truncate(whole);
      await handle.datasync();
    }
    this.#handle = handle;
    this.#size = whole;
  }

  /** One after the other: a failure belongs to the call that met it. */
  append(lines: readonly Uint8Array[]): Promise<void> {
    const run = this.#last.then(() => this.#append(lines));
    this.#last = run.catch(() => undefined);
    return run;
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #append(lines: readonly Uint8Array[]): Promise<void> {
    const bytes = Buffer.concat(lines.flatMap((line) => [line, NEWLINE]));
    if (bytes.length === 0) return;
    try {
      const handle = await this.#writable(bytes.length);
      await writeAll(handle, bytes, this.#size);
      await handle.datasync();
      this.#size += bytes.length;
    } catch (cause) {
      await this.#abandon();
      throw unavailable(this.#options, cause);
    }
  }

  async #writable(bytes: number): Promise<FileHandle> {
    if (this.#handle !== undefined && this.#size > 0 && this.#isFull(bytes)) {
      await this.#handle.close();
      this.#handle = undefined;
    }
    this.#handle ??= await this.#create();
    return this.#handle;
  }

  #isFull(bytes: number): boolean {
    const { maxBytes, maxAgeMs } = this.#options;
    return (
      this.#size + bytes > maxBytes ||
      (maxAgeMs !== undefined && Date.now() - this.#sinceMs >= maxAgeMs)
    );
  }

  async #create(): Promise<FileHandle> {
    const { id, directory, maxFiles } = this.#options;
    if (maxFiles !== undefined && (await numbersOf(this.#options)).length >= maxFiles)
      throw new CountersignError(
        "UNAVAILABLE",
        `${id}: ${directory} holds ${maxFiles} files, which is \`max_files\`; move some away, or raise it`,
      );
    this.#number += 1;
    this.#size = 0;
    this.#sinceMs = Date.now();
    const handle = await open(this.#path(), "wx", this.#options.mode);
    await handle.chmod(this.#options.mode);
    const folder = await open(directory, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    return handle;
  }

  /** What a failed write or sync left behind, nobody knows: cut it off if that works, and never write to this file again. */
  async #abandon(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    if (handle === undefined) return;
    await handle.truncate(this.#size).catch(() => undefined);
    await handle.close().catch(() => undefined);
  }

  #path(number: number = this.#number): string {
    return join(
      this.#options.directory,
      `${this.#options.base}-${String(number).padStart(8, "0")}.jsonl`,
    );
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(
      bytes,
      written,
      bytes.length - written,
      position + written,
    );
    written += bytesWritten;
  }
}

const CHUNK_BYTES = 65_536;

/** Where the last whole line ends; 0 when there is none. */
async function endOfLastLine(handle: FileHandle, size: number): Promise<number> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const { bytesRead } = await handle.read(chunk, 0, end - start, start);
    const found = chunk.subarray(0, bytesRead).lastIndexOf(0x0a);
    if (found >= 0) return start + found + 1;
    end = start;
  }
  return 0;
}
