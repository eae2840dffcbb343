import { dirname } from "node:path";
import type { JournalFile, JournalFs, OpenMode, PathInfo } from "@countersign/journal";

const SECTOR_BYTES = 512;

interface Inode {
  /** What a reader sees. */
  current: Buffer;
  /** What the last sync made sure of. */
  durable: Buffer;
}

/** A file system in memory that can lose power: what was not synced survives in part, or not at all. */
export interface PowerCutFs extends JournalFs {
  /** Operations so far. */
  readonly operations: number;
  /** From operation `index` on everything fails: the machine is going down. */
  dieAt(index: number): void;
  /** Operation `index`, and no other, fails with this system error. */
  failAt(index: number, code: string): void;
  /**
   * What another machine finds on the disk: of each unsynced sector and name, `random` (0 to 1) decides whether it got
   * there. Nothing that was synced is ever lost.
   */
  afterPowerCut(random: () => number): PowerCutFs;
}

/** An empty disk. */
export function createPowerCutFs(): PowerCutFs {
  return new MemoryFs(new Map());
}

class MemoryFs implements PowerCutFs {
  readonly #names: Map<string, Inode>;
  readonly #durableNames: Map<string, Inode>;
  readonly #directories = new Set<string>();
  #operations = 0;
  #diesAt = Number.POSITIVE_INFINITY;
  #failure: { index: number; code: string } | undefined;

  constructor(names: Map<string, Inode>) {
    this.#names = names;
    this.#durableNames = new Map(names);
    for (const name of names.keys()) this.#addDirectories(dirname(name));
  }

  get operations(): number {
    return this.#operations;
  }

  dieAt(index: number): void {
    this.#diesAt = index;
  }

  failAt(index: number, code: string): void {
    this.#failure = { index, code };
  }

  afterPowerCut(random: () => number): PowerCutFs {
    const kept = new Map<Inode, Inode>();
    const names = new Map<string, Inode>();
    for (const path of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      const [now, sure] = [this.#names.get(path), this.#durableNames.get(path)];
      const inode = now === sure || random() < 0.5 ? now : sure;
      if (inode === undefined) continue;
      let survivor = kept.get(inode);
      if (survivor === undefined) {
        const bytes = surviving(inode, random);
        survivor = { current: bytes, durable: Buffer.from(bytes) };
        kept.set(inode, survivor);
      }
      names.set(path, survivor);
    }
    return new MemoryFs(names);
  }

  async open(path: string, mode: OpenMode): Promise<JournalFile> {
    await this.#step();
    if (mode === "create") {
      if (this.#names.has(path)) throw systemError("EEXIST");
      this.#names.set(path, { current: Buffer.alloc(0), durable: Buffer.alloc(0) });
    }
    return this.#file(this.#inode(path));
  }

  async makeDirectory(path: string): Promise<void> {
    await this.makeDirectories(path);
  }

  async makeDirectories(path: string): Promise<void> {
    await this.#step();
    this.#addDirectories(path);
  }

  async list(path: string): Promise<string[]> {
    await this.#step();
    const inside = [...this.#names.keys(), ...this.#directories].filter(
      (name) => dirname(name) === path,
    );
    return [...new Set(inside)].map((name) => name.slice(path.length + 1));
  }

  async info(path: string): Promise<PathInfo | undefined> {
    await this.#step();
    const inode = this.#names.get(path);
    const directory = this.#directories.has(path);
    if (inode === undefined && !directory) return undefined;
    return { size: inode?.current.length ?? 0, modifiedMs: 0, mode: 0o600, directory };
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#step();
    this.#names.set(to, this.#inode(from));
    this.#names.delete(from);
  }

  async link(existing: string, path: string): Promise<void> {
    await this.#step();
    if (this.#names.has(path)) throw systemError("EEXIST");
    this.#names.set(path, this.#inode(existing));
  }

  async remove(path: string): Promise<void> {
    await this.#step();
    this.#inode(path);
    this.#names.delete(path);
  }

  async removeDirectory(path: string): Promise<void> {
    await this.#step();
    this.#directories.delete(path);
  }

  async touch(): Promise<void> {
    await this.#step();
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#step();
    for (const name of new Set([...this.#names.keys(), ...this.#durableNames.keys()])) {
      if (dirname(name) !== path) continue;
      const inode = this.#names.get(name);
      if (inode === undefined) this.#durableNames.delete(name);
      else this.#durableNames.set(name, inode);
    }
  }

  async filesystemType(): Promise<number> {
    return 0;
  }

  #file(inode: Inode): JournalFile {
    const write = async (bytes: Uint8Array, position: number): Promise<number> => {
      await this.#step();
      // A short write now and then: callers must go on where it ended.
      const taken = bytes.length > 1000 ? bytes.length - 300 : bytes.length;
      const grown = Buffer.alloc(Math.max(inode.current.length, position + taken));
      grown.set(inode.current);
      grown.set(bytes.subarray(0, taken), position);
      inode.current = grown;
      return taken;
    };
    const sync = async (): Promise<void> => {
      await this.#step();
      inode.durable = Buffer.from(inode.current);
    };
    return {
      append: async (bytes) => await write(bytes, inode.current.length),
      write,
      read: async (target, position) => {
        await this.#step();
        const part = inode.current.subarray(position, position + target.length);
        target.set(part);
        return part.length;
      },
      datasync: sync,
      sync,
      truncate: async (size) => {
        await this.#step();
        inode.current = Buffer.from(inode.current.subarray(0, size));
      },
      size: async () => inode.current.length,
      isNamed: () => Promise.resolve(true),
      close: async () => undefined,
    };
  }

  #inode(path: string): Inode {
    const inode = this.#names.get(path);
    if (inode === undefined) throw systemError("ENOENT");
    return inode;
  }

  #addDirectories(path: string): void {
    for (let at = path; at !== dirname(at); at = dirname(at)) this.#directories.add(at);
  }

  async #step(): Promise<void> {
    const index = this.#operations;
    this.#operations += 1;
    await Promise.resolve();
    if (index >= this.#diesAt) throw systemError("EIO");
    if (this.#failure?.index === index) throw systemError(this.#failure.code);
  }
}

/** The durable bytes, with some of the sectors that were written since. */
function surviving(inode: Inode, random: () => number): Buffer {
  const { current, durable } = inode;
  const longer = random() < 0.5;
  const length = longer
    ? current.length
    : Math.min(durable.length, Math.max(current.length, durable.length));
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += SECTOR_BYTES) {
    const from = random() < 0.5 ? current : durable;
    bytes.set(from.subarray(at, Math.min(at + SECTOR_BYTES, length)), at);
  }
  // A sector that was synced and not written since is what it was.
  for (let at = 0; at < Math.min(length, durable.length); at += 1) {
    if (durable[at] === current[at]) bytes[at] = durable[at] as number;
  }
  return bytes;
}

function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: made for a test`), { code });
}
