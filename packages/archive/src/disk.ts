import { dirname, join } from "node:path";
import { nodeFs, readRange, type JournalFile, type JournalFs } from "@countersign/journal";

/** An open file at whose end the log writes. */
export interface TailFile {
  /** Writes all of it or rejects; says nothing about durability. */
  write(bytes: Uint8Array, at: number): Promise<void>;
  /** fdatasync. After a rejection nobody knows what is on disk. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

/** What the archive asks of a file system, over the journal's port. Paths are relative to the archive. */
export interface Disk {
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory, sorted; none when it does not exist. */
  list(path: string): Promise<readonly string[]>;
  /** The file, or undefined when it does not exist. */
  read(path: string): Promise<Buffer | undefined>;
  size(path: string): Promise<number | undefined>;
  /** Whole and durable under its name, or not there: temporary file, fsync, rename, fsync of the directory. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  openTail(path: string): Promise<TailFile>;
  /** Rejects when there is nothing to remove. */
  remove(path: string): Promise<void>;
}

/** The archive's disk under `root`. Directories are 0700 and files 0600: events name people. */
export function openDisk(root: string, fs: JournalFs = nodeFs): Disk {
  return new RootedDisk(root, fs);
}

class RootedDisk implements Disk {
  readonly #root: string;
  readonly #fs: JournalFs;

  constructor(root: string, fs: JournalFs) {
    this.#root = root;
    this.#fs = fs;
  }

  async makeDirectory(path: string): Promise<void> {
    const full = join(this.#root, path);
    if ((await this.#fs.info(full)) !== undefined) return;
    await this.#fs.makeDirectories(full);
    // A directory is durable once its parent is synced; any level up to the root may be new.
    for (let at = full; at.length > this.#root.length; at = dirname(at)) {
      await this.#fs.syncDirectory(dirname(at));
    }
  }

  async list(path: string): Promise<readonly string[]> {
    const full = join(this.#root, path);
    if ((await this.#fs.info(full)) === undefined) return [];
    return (await this.#fs.list(full)).toSorted();
  }

  async read(path: string): Promise<Buffer | undefined> {
    const full = join(this.#root, path);
    if ((await this.#fs.info(full)) === undefined) return undefined;
    const file = await this.#openIfThere(full);
    if (file === undefined) return undefined;
    try {
      return await readRange(file, 0, await file.size());
    } finally {
      await file.close();
    }
  }

  /** A view has no lock: a writer may remove an old head after we have seen that it is there. */
  async #openIfThere(full: string): Promise<JournalFile | undefined> {
    try {
      return await this.#fs.open(full, "read");
    } catch (error) {
      if ((await this.#fs.info(full)) === undefined) return undefined;
      throw error;
    }
  }

  async size(path: string): Promise<number | undefined> {
    return (await this.#fs.info(join(this.#root, path)))?.size;
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    const full = join(this.#root, path);
    const aside = `${full}.tmp`;
    // What a crash left of an earlier attempt. One writer holds the archive, so nobody else is at it.
    if ((await this.#fs.info(aside)) !== undefined) await this.#fs.remove(aside);
    const file = await this.#fs.open(aside, "create");
    try {
      await writeAll(file, bytes, 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#fs.rename(aside, full);
    await this.#fs.syncDirectory(dirname(full));
  }

  async openTail(path: string): Promise<TailFile> {
    const file = await this.#fs.open(join(this.#root, path), "update");
    return {
      write: (bytes, at) => writeAll(file, bytes, at),
      sync: () => file.datasync(),
      truncate: (length) => file.truncate(length),
      close: () => file.close(),
    };
  }

  async remove(path: string): Promise<void> {
    await this.#fs.remove(join(this.#root, path));
  }
}

async function writeAll(file: JournalFile, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += await file.write(bytes.subarray(done), at + done);
  }
}
