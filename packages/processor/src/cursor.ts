import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CountersignError } from "@countersign/model";

/** A place in a log, kept on disk. */
export interface Cursor {
  /** The next position to read. */
  readonly position: bigint;
  /** Resolves when the place is durable. */
  commit(position: bigint): Promise<void>;
}

/** Whose place it is. */
export interface CursorOptions {
  readonly directory: string;
  /** Id of the reader. */
  readonly name: string;
  /** Name of the log: a cursor of another log is refused. */
  readonly origin: string;
  /** Component id, for messages. */
  readonly id: string;
}

/**
 * Opens the cursor of a reader; one that does not exist stands at 0. Rejects CONFIG_INVALID when it is of another log,
 * UNAVAILABLE when it cannot be read.
 */
export async function openCursor(options: CursorOptions): Promise<Cursor> {
  await mkdir(options.directory, { recursive: true, mode: 0o700 });
  const file = join(options.directory, `${options.name.replaceAll("/", "+")}.json`);
  const stored = await readStored(file, options);
  return new FileCursor(file, options.origin, stored);
}

async function readStored(file: string, { origin, id }: CursorOptions): Promise<bigint> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0n;
    throw new CountersignError("UNAVAILABLE", `${id}: cannot read the cursor ${file}`, {
      cause: error,
    });
  }
  const match = /^\{"origin":"([^"\\]*)","position":"(\d{1,19})"\}\n$/.exec(text);
  if (match === null) {
    throw new CountersignError(
      "UNAVAILABLE",
      `${id}: the cursor ${file} is damaged; remove it to read the log from its start`,
    );
  }
  if (match[1] !== origin) {
    throw new CountersignError(
      "CONFIG_INVALID",
      `${id}: the cursor ${file} is a place in another log; name another directory`,
    );
  }
  return BigInt(match[2] as string);
}

class FileCursor implements Cursor {
  readonly #file: string;
  readonly #origin: string;
  #position: bigint;

  constructor(file: string, origin: string, position: bigint) {
    this.#file = file;
    this.#origin = origin;
    this.#position = position;
  }

  get position(): bigint {
    return this.#position;
  }

  /** Written aside and renamed: a reader after a crash sees the old place or the new one. */
  async commit(position: bigint): Promise<void> {
    const aside = `${this.#file}.new`;
    const handle = await open(aside, "w", 0o600);
    try {
      await handle.writeFile(`{"origin":"${this.#origin}","position":"${position}"}\n`);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(aside, this.#file);
    const directory = await open(dirname(this.#file), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
    this.#position = position;
  }
}
