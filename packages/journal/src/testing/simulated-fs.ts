// The port to a simulated disk: every operation waits for its turn, and a plan says which of them fail and how.
import { basename, dirname } from "node:path";
import type { JournalFile, JournalFs, OpenMode } from "../fs.ts";
import { type Operation, systemError } from "./faulty-fs.ts";
import type { Random } from "./random.ts";
import type { Schedule } from "./schedule.ts";
import { SimulatedContent } from "./simulated-content.ts";
import { type SimulatedDisk, SimulatedDirectory } from "./simulated-disk.ts";

/** `statfs` type of ext4. */
const EXT4 = 0xef53;

/** What a simulated machine is made of. */
export interface Machine {
  readonly disk: SimulatedDisk;
  readonly schedule: Schedule;
  readonly random: Random;
  nowMs(): number;
  /** An errno, `short` for a write that takes a part, or undefined. Asked once for each operation. */
  fault(operation: Operation, path: string): string | undefined;
  /** Before bytes or a file go: the place where a simulation looks whether they may. */
  losing?(path: string, from: number): void;
}

/** The port that processes of this machine use until its power goes. */
export function createSimulatedFs(machine: Machine): JournalFs {
  const { disk, random } = machine;
  const run = scheduled(machine);
  const inDirectory = (path: string): SimulatedDirectory => disk.directory(dirname(path));
  const insert = (path: string, node: SimulatedContent | SimulatedDirectory): void => {
    if (disk.find(path) !== undefined) throw systemError("EEXIST", path);
    node.modifiedMs = machine.nowMs();
    inDirectory(path).change((names) => names.set(basename(path), node));
  };
  const makeDirectories = (path: string): void => {
    if (disk.find(path) !== undefined) return;
    makeDirectories(dirname(path));
    insert(path, new SimulatedDirectory());
  };
  return {
    open: (path, mode) =>
      run("open", path, () => {
        if (mode === "create") insert(path, new SimulatedContent());
        return openFile(machine, { content: disk.file(path), path, mode, random });
      }),
    makeDirectory: (path) =>
      run("makeDirectory", path, () => insert(path, new SimulatedDirectory())),
    makeDirectories: (path) => run("makeDirectories", path, () => makeDirectories(path)),
    list: (path) => run("list", path, () => [...disk.directory(path).names.keys()]),
    info: (path) => run("info", path, () => infoOf(disk, path)),
    rename: (from, to) =>
      run("rename", to, () => {
        const file = disk.file(from);
        inDirectory(from).change((names) => {
          names.delete(basename(from));
          names.set(basename(to), file);
        });
      }),
    link: (existing, path) => run("link", path, () => insert(path, disk.file(existing))),
    remove: (path) =>
      run("remove", path, () => {
        disk.file(path);
        machine.losing?.(path, 0);
        inDirectory(path).change((names) => names.delete(basename(path)));
      }),
    removeDirectory: (path) =>
      run("removeDirectory", path, () => {
        if (disk.directory(path).names.size > 0) throw systemError("ENOTEMPTY", path);
        inDirectory(path).change((names) => names.delete(basename(path)));
      }),
    touch: (path) =>
      run("touch", path, () => {
        disk.file(path).modifiedMs = machine.nowMs();
      }),
    syncDirectory: (path) => run("syncDirectory", path, () => disk.directory(path).sync()),
    filesystemType: (path) => run("filesystemType", path, () => EXT4),
  };
}

function infoOf(disk: SimulatedDisk, path: string): Awaited<ReturnType<JournalFs["info"]>> {
  const node = disk.find(path);
  if (node === undefined) return undefined;
  const directory = node instanceof SimulatedDirectory;
  const size = node instanceof SimulatedDirectory ? 0 : node.cached.length;
  return { size, modifiedMs: node.modifiedMs, mode: directory ? 0o700 : 0o600, directory };
}

type Scheduled = <Value>(
  operation: Operation,
  path: string,
  effect: (fault: string | undefined) => Value,
) => Promise<Value>;

function scheduled(machine: Machine, handled: readonly Operation[] = []): Scheduled {
  return (operation, path, effect) => {
    // Names of temporary files are random, and no part of what happened.
    const label = `${operation} ${path.replace(/\.[0-9a-f]{12}\.tmp$/, ".tmp")}`;
    return machine.schedule.run(label, () => {
      const fault = machine.fault(operation, path);
      if (fault !== undefined && fault !== "short" && !handled.includes(operation)) {
        throw systemError(fault, operation);
      }
      return effect(fault);
    });
  };
}

interface OpenedContent {
  readonly content: SimulatedContent;
  readonly path: string;
  readonly mode: OpenMode;
  readonly random: Random;
}

function openFile(machine: Machine, opened: OpenedContent): JournalFile {
  const { content, path, mode, random } = opened;
  const run = scheduled(machine, ["append", "write", "datasync", "sync", "close"]);
  const write = (bytes: Uint8Array, position: number, fault: string | undefined): number => {
    if (mode === "read") throw systemError("EBADF", "write");
    if (fault !== undefined && fault !== "short") {
      content.faulty = true;
      throw systemError(fault, "write");
    }
    const taken = fault === "short" ? bytes.subarray(0, 1 + random.below(bytes.length)) : bytes;
    content.write(taken, position);
    content.modifiedMs = machine.nowMs();
    return taken.length;
  };
  const sync = (fault: string | undefined): void => {
    if (fault === undefined || fault === "short") return content.sync();
    content.faulty = true;
    content.failSync(random);
    throw systemError(fault, "sync");
  };
  return {
    append: (bytes) => {
      // The port promises only that the bytes stay as they are until it resolves; a copy would hide a buffer given too early.
      return run("append", path, (fault) => write(bytes, content.cached.length, fault));
    },
    write: (bytes, position) => run("write", path, (fault) => write(bytes, position, fault)),
    read: (target, position) => run("read", path, () => content.cached.copy(target, 0, position)),
    datasync: () => run("datasync", path, sync),
    sync: () => run("sync", path, sync),
    truncate: (size) =>
      run("truncate", path, () => {
        machine.losing?.(path, size);
        content.truncate(size);
      }),
    // No machine here deletes the directory of a process that lives.
    isNamed: () => Promise.resolve(true),
    size: () => run("size", path, () => content.cached.length),
    close: () => run("close", path, () => undefined),
  };
}
