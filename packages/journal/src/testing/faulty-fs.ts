// A disk that misbehaves on purpose, over a real one. Every operation is counted; a plan says what happens to which.
import { setTimeout as wait } from "node:timers/promises";
import { type JournalFile, type JournalFs, nodeFs } from "../fs.ts";

/** Every operation of the port, under the name that a plan sees. */
export type Operation =
  | keyof JournalFs
  | Exclude<keyof JournalFile, "size" | "isNamed" | "close">
  | "size"
  | "close";

/** One call through the port. */
export interface Call {
  readonly operation: Operation;
  /** Path of the file or directory. */
  readonly path: string;
  /** Its place among all calls, from 1. */
  readonly number: number;
  /** Its place among calls of the same operation, from 1. */
  readonly ofOperation: number;
}

/** What is to happen to a call. Absent members: as the disk would. */
export interface Fault {
  /** Rejects with this code (`EIO`, `ENOSPC`) and does nothing, or, with `after`, does it first. */
  readonly errno?: string;
  /** The effect happens although the call fails: a sync that reports an error may have written. */
  readonly after?: boolean;
  /** Writes at most so many bytes. */
  readonly shortBytes?: number;
  /** Resolves only after this; the time to look at what must not have happened yet. */
  readonly until?: Promise<unknown>;
  readonly delayMs?: number;
}

/** Decides about each call; undefined: nothing happens to it. */
export type FaultPlan = (call: Call) => Fault | undefined;

/** A faulty file system, and what it saw. */
export interface FaultyFs extends JournalFs {
  plan: FaultPlan;
  readonly calls: readonly Call[];
}

const MAX_CALLS = 200_000;
/** Node takes any other for reading. */
const MODES: ReadonlySet<string> = new Set(["read", "update", "create"]);

/** A system error as Node makes it. */
export function systemError(errno: string, operation: string): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(`${errno}: injected, ${operation}`);
  error.code = errno;
  error.syscall = operation;
  return error;
}

/** Fails the `nth` call (from 1), and, with `onwards`, every later one. */
export function failNth(nth: number, errno: string, onwards = false): FaultPlan {
  return ({ number }) => (number === nth || (onwards && number > nth) ? { errno } : undefined);
}

/** Wraps a file system. The plan may be changed at any time. */
export function createFaultyFs(
  plan: FaultPlan = () => undefined,
  under: JournalFs = nodeFs,
): FaultyFs {
  const calls: Call[] = [];
  const counts = new Map<Operation, number>();
  const faulty: FaultyFs = { ...under, plan, calls };

  const through: Through = async (operation, path, run) => {
    const ofOperation = (counts.get(operation) ?? 0) + 1;
    counts.set(operation, ofOperation);
    const call = { operation, path, number: calls.length + 1, ofOperation };
    if (calls.length < MAX_CALLS) calls.push(call);
    const fault = faulty.plan(call);
    if (fault?.delayMs !== undefined) await wait(fault.delayMs);
    if (fault?.until !== undefined) await fault.until;
    if (fault?.errno === undefined) return await run(fault);
    if (fault.after === true) await run(fault);
    throw systemError(fault.errno, operation);
  };

  const wrapFile = (file: JournalFile, path: string): JournalFile => ({
    append: (bytes) =>
      through("append", path, (fault) => file.append(shorten(bytes, fault?.shortBytes))),
    write: (bytes, position) =>
      through("write", path, (fault) => file.write(shorten(bytes, fault?.shortBytes), position)),
    read: (target, position) => through("read", path, () => file.read(target, position)),
    datasync: () => through("datasync", path, () => file.datasync()),
    sync: () => through("sync", path, () => file.sync()),
    truncate: (size) => through("truncate", path, () => file.truncate(size)),
    size: () => through("size", path, () => file.size()),
    // Of the open file, not of the disk: nothing that could fail.
    isNamed: () => file.isNamed(),
    // Never leaks a descriptor, whatever the plan says.
    close: async () => {
      try {
        await through("close", path, () => Promise.resolve());
      } finally {
        await file.close();
      }
    },
  });

  return Object.assign(faulty, faultyOperations(under, through, wrapFile));
}

type Through = <Value>(
  operation: Operation,
  path: string,
  run: (fault: Fault | undefined) => Promise<Value>,
) => Promise<Value>;

function faultyOperations(
  under: JournalFs,
  through: Through,
  wrapFile: (file: JournalFile, path: string) => JournalFile,
): JournalFs {
  return {
    open: (path: string, mode: Parameters<JournalFs["open"]>[1]) =>
      through("open", path, async () => {
        if (!MODES.has(mode)) throw systemError("EINVAL", "open");
        return wrapFile(await under.open(path, mode), path);
      }),
    makeDirectory: (path: string) =>
      through("makeDirectory", path, () => under.makeDirectory(path)),
    makeDirectories: (path: string) =>
      through("makeDirectories", path, () => under.makeDirectories(path)),
    list: (path: string) => through("list", path, () => under.list(path)),
    info: (path: string) => through("info", path, () => under.info(path)),
    rename: (from: string, to: string) => through("rename", to, () => under.rename(from, to)),
    link: (existing: string, path: string) =>
      through("link", path, () => under.link(existing, path)),
    remove: (path: string) => through("remove", path, () => under.remove(path)),
    removeDirectory: (path: string) =>
      through("removeDirectory", path, () => under.removeDirectory(path)),
    touch: (path: string) => through("touch", path, () => under.touch(path)),
    syncDirectory: (path: string) =>
      through("syncDirectory", path, () => under.syncDirectory(path)),
    filesystemType: (path: string) =>
      through("filesystemType", path, () => under.filesystemType(path)),
  };
}

function shorten(bytes: Uint8Array, max: number | undefined): Uint8Array {
  return max === undefined ? bytes : bytes.subarray(0, Math.max(1, max));
}
