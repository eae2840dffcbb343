import { mkdir, open, readFile, readdir, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";

/** An open file at whose end the log writes. */
export interface TailFile {
  /** Writes all of it or rejects; says nothing about durability. */
  write(bytes: Uint8Array, at: number): Promise<void>;
  /** fdatasync. After a rejection nobody knows what is on disk. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

/** What the archive asks of a file system, in one place, so that tests can make it fail. Paths are relative to the archive. */
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
  remove(path: string): Promise<void>;
}

/** The real file system under `root`. Directories are made 0700 and files 0600: events name people. */
export function nodeDisk(root: string): Disk {
  return new NodeDisk(root);
}

class NodeDisk implements Disk {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async makeDirectory(path: string): Promise<void> {
    const full = join(this.#root, path);
    const first = await mkdir(full, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    // A new directory is durable once its parent is synced; with several new levels, each parent.
    for (let at = full; at.length >= first.length; at = dirname(at)) {
      await syncDirectory(dirname(at));
    }
  }

  async list(path: string): Promise<readonly string[]> {
    return (await unlessMissing(readdir(join(this.#root, path))))?.toSorted() ?? [];
  }

  async read(path: string): Promise<Buffer | undefined> {
    return await unlessMissing(readFile(join(this.#root, path)));
  }

  async size(path: string): Promise<number | undefined> {
    return (await unlessMissing(stat(join(this.#root, path))))?.size;
  }

  async replace(path: string, bytes: Uint8Array): Promise<void> {
    const full = join(this.#root, path);
    const temporary = `${full}.tmp`;
    try {
      const file = await open(temporary, "w", 0o600);
      try {
        await file.writeFile(bytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, full);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw error;
    }
    await syncDirectory(dirname(full));
  }

  async openTail(path: string): Promise<TailFile> {
    return new NodeTail(await open(join(this.#root, path), "r+", 0o600));
  }

  async remove(path: string): Promise<void> {
    await rm(join(this.#root, path), { force: true });
  }
}

class NodeTail implements TailFile {
  readonly #file: FileHandle;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async write(bytes: Uint8Array, at: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const left = bytes.length - done;
      done += (await this.#file.write(bytes, done, left, at + done)).bytesWritten;
    }
  }

  async sync(): Promise<void> {
    await this.#file.datasync();
  }

  async truncate(length: number): Promise<void> {
    await this.#file.truncate(length);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  // Windows has no directory handles to sync; there the rename itself is what durability there is.
  if (process.platform === "win32") return;
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function unlessMissing<T>(pending: Promise<T>): Promise<T | undefined> {
  try {
    return await pending;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
