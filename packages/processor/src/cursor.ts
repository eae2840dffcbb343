import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type JournalFs, nodeFs } from "@countersign/journal";
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
  /** The disk; tests make it faulty. */
  readonly fs?: JournalFs;
}

/**
 * Opens the cursor of a reader; one that does not exist stands at 0. Rejects CONFIG_INVALID when it is of another log,
 * UNAVAILABLE when it cannot be read.
 */
export async function openCursor(options: CursorOptions): Promise<Cursor> {
  const { fs = nodeFs, directory, name, origin } = options;
  await fs.makeDirectories(directory);
  const file = join(directory, `${name.replaceAll("/", "+")}.json`);
  return new FileCursor({ fs, file, origin }, await readStored(file, options));
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
  readonly #place: { readonly fs: JournalFs; readonly file: string; readonly origin: string };
  #position: bigint;

  constructor(place: { fs: JournalFs; file: string; origin: string }, position: bigint) {
    this.#place = place;
    this.#position = position;
  }

  get position(): bigint {
    return this.#position;
  }

  /** Written aside and renamed: a reader after a crash sees the old place or the new one. */
  async commit(position: bigint): Promise<void> {
    const { fs, file, origin } = this.#place;
    const aside = `${file}.new`;
    if ((await fs.info(aside)) !== undefined) await fs.remove(aside);
    const handle = await fs.open(aside, "create");
    try {
      const bytes = Buffer.from(`{"origin":"${origin}","position":"${position}"}\n`);
      const taken = await handle.append(bytes);
      if (taken !== bytes.length)
        throw new CountersignError("UNAVAILABLE", "cursor: the disk is full");
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await fs.rename(aside, file);
    await fs.syncDirectory(dirname(file));
    this.#position = position;
  }
}
