// The one port to the disk. Everything durable goes through it, so that tests can fail, shorten or delay any single
// operation (testing/faulty-fs.ts) while the real disk stays underneath.
import * as fs from "node:fs";

/** An open file. Offsets are absolute; a short write is a value, not an error. */
export interface JournalFile {
  /** Writes at the end of the file (it was opened for appending); resolves with the bytes taken, which may be fewer. */
  append(bytes: Uint8Array): Promise<number>;
  /** Writes at `position`; resolves with the bytes taken. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  /** Reads into `target` from `position`; resolves with the bytes read, 0 at the end of the file. */
  read(target: Uint8Array, position: number): Promise<number>;
  /** `fdatasync`: resolves when the content is on the disk. */
  datasync(): Promise<void>;
  /** `fsync`. */
  sync(): Promise<void>;
  truncate(size: number): Promise<void>;
  size(): Promise<number>;
  /** Whether it still has a name. What is written to a file that was deleted goes with the process. */
  isNamed(): Promise<boolean>;
  close(): Promise<void>;
}

/** How a file is opened: to read, to read and write what exists, or to append to a file that must not exist yet. */
export type OpenMode = "read" | "update" | "create";

/** What is known about a path. */
export interface PathInfo {
  readonly size: number;
  readonly modifiedMs: number;
  readonly mode: number;
  readonly directory: boolean;
}

/** The operations the journal needs. Each rejects with Node's own system error (`code: "EIO"`, …). */
export interface JournalFs {
  open(path: string, mode: OpenMode): Promise<JournalFile>;
  /** Exclusive: rejects `EEXIST`. Mode 0700. */
  makeDirectory(path: string): Promise<void>;
  /** The whole path, existing or not. Mode 0700 for what is made. */
  makeDirectories(path: string): Promise<void>;
  /** Names in a directory, unsorted. */
  list(path: string): Promise<string[]>;
  /** `undefined` if there is nothing. */
  info(path: string): Promise<PathInfo | undefined>;
  rename(from: string, to: string): Promise<void>;
  /** A second name for a file; rejects `EEXIST`. */
  link(existing: string, path: string): Promise<void>;
  remove(path: string): Promise<void>;
  removeDirectory(path: string): Promise<void>;
  /** Sets the modification time to now. */
  touch(path: string): Promise<void>;
  /** `fsync` of a directory: makes names in it durable. */
  syncDirectory(path: string): Promise<void>;
  /** `statfs` type of the file system that holds `path`. */
  filesystemType(path: string): Promise<number>;
}

const { O_RDONLY, O_RDWR, O_APPEND, O_CREAT, O_EXCL } = fs.constants;
/** Files of the journal are never links, and nothing in their place is waited for. Windows has neither flag. */
const NOT_ANOTHER = (fs.constants.O_NOFOLLOW ?? 0) | (fs.constants.O_NONBLOCK ?? 0);
const FLAGS: Record<OpenMode, number> = {
  read: O_RDONLY | NOT_ANOTHER,
  update: O_RDWR | NOT_ANOTHER,
  create: O_RDWR | O_APPEND | O_CREAT | O_EXCL,
};
/** Systems on which a directory cannot be opened, and renames are durable without it. */
const NO_DIRECTORY_SYNC = process.platform === "win32";

type Callback<Value> = (error: NodeJS.ErrnoException | null, value: Value) => void;

// Callback form, wrapped here: `fs.promises` costs a FileHandle per file and several µs more per operation.
function call<Value>(run: (done: Callback<Value>) => void): Promise<Value> {
  return new Promise((resolve, reject) => {
    run((error, value) => (error === null ? resolve(value) : reject(error)));
  });
}

function done(run: (done: fs.NoParamCallback) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    run((error) => (error === null ? resolve() : reject(error)));
  });
}

/**
 * So few bytes go to the page cache on this thread: some µs, where a trip through the thread pool costs tens of them. The sync
 * that follows, which waits for the disk, never runs here.
 */
const MAX_WRITE_AT_ONCE = 64 * 1024;

function atOnce<Value>(run: () => Value): Promise<Value> {
  try {
    return Promise.resolve(run());
  } catch (error) {
    return Promise.reject(error);
  }
}

function nodeFile(fd: number): JournalFile {
  return {
    append: (bytes) =>
      bytes.length > MAX_WRITE_AT_ONCE
        ? call((cb) => fs.write(fd, bytes, 0, bytes.length, null, cb))
        : atOnce(() => fs.writeSync(fd, bytes, 0, bytes.length, null)),
    write: (bytes, position) => call((cb) => fs.write(fd, bytes, 0, bytes.length, position, cb)),
    read: (target, position) => call((cb) => fs.read(fd, target, 0, target.length, position, cb)),
    datasync: () => done((cb) => fs.fdatasync(fd, cb)),
    sync: () => done((cb) => fs.fsync(fd, cb)),
    truncate: (size) => done((cb) => fs.ftruncate(fd, size, cb)),
    isNamed: () => atOnce(() => fs.fstatSync(fd).nlink > 0),
    size: async () => (await call<fs.Stats>((cb) => fs.fstat(fd, cb))).size,
    close: () => done((cb) => fs.close(fd, cb)),
  };
}

async function info(path: string): Promise<PathInfo | undefined> {
  try {
    const stats = await call<fs.Stats>((cb) => fs.stat(path, cb));
    const { size, mtimeMs: modifiedMs, mode } = stats;
    return { size, modifiedMs, mode, directory: stats.isDirectory() };
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  if (NO_DIRECTORY_SYNC) return;
  const fd = await call<number>((cb) => fs.open(path, "r", cb));
  try {
    await done((cb) => fs.fsync(fd, cb));
  } finally {
    await done((cb) => fs.close(fd, cb));
  }
}

/** The disk of this machine. */
export const nodeFs: JournalFs = {
  open: async (path, mode) =>
    nodeFile(await call<number>((cb) => fs.open(path, FLAGS[mode], 0o600, cb))),
  makeDirectory: (path) => done((cb) => fs.mkdir(path, { mode: 0o700 }, cb)),
  makeDirectories: (path) =>
    done((cb) => fs.mkdir(path, { mode: 0o700, recursive: true }, (error) => cb(error))),
  list: (path) => call<string[]>((cb) => fs.readdir(path, cb)),
  info,
  rename: (from, to) => done((cb) => fs.rename(from, to, cb)),
  link: (existing, path) => done((cb) => fs.link(existing, path, cb)),
  remove: (path) => done((cb) => fs.unlink(path, cb)),
  removeDirectory: (path) => done((cb) => fs.rmdir(path, cb)),
  touch: (path) => {
    const now = new Date();
    return done((cb) => fs.utimes(path, now, now, cb));
  },
  syncDirectory,
  filesystemType: async (path) => (await call<fs.StatsFs>((cb) => fs.statfs(path, cb))).type,
};

/** `ENOSPC`, `EIO`, … of a system error, else undefined. */
export function systemCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
