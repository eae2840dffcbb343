// Names and files of a simulated disk. A name that was made, moved or removed is on the disk after a sync of its directory;
// before that a power cut may keep it or not, in order or out of it.
import { join } from "node:path";
import { systemError } from "./faulty-fs.ts";
import type { Random } from "./random.ts";
import { SimulatedContent } from "./simulated-content.ts";

type Node = SimulatedContent | SimulatedDirectory;
type Names = Map<string, Node>;
type Change = (names: Names) => void;

/** One directory. */
export class SimulatedDirectory {
  names: Names = new Map();
  durable: Names = new Map();
  modifiedMs = 0;
  #pending: Change[] = [];

  change(change: Change): void {
    change(this.names);
    this.#pending.push(change);
  }

  sync(): void {
    this.durable = new Map(this.names);
    this.#pending = [];
  }

  cut(random: Random): void {
    const inOrder = random.chance(0.5);
    const kept = random.below(this.#pending.length + 1);
    for (const [index, change] of this.#pending.entries()) {
      if (inOrder ? index < kept : random.chance(0.5)) change(this.durable);
    }
    this.names = new Map(this.durable);
    this.#pending = [];
  }
}

/** A disk and its cache. Operations are instant here; `createSimulatedFs` gives them their time and faults. */
export class SimulatedDisk {
  #root = new SimulatedDirectory();

  /** Rejects with the codes of the real one. */
  find(path: string): Node | undefined {
    let node: Node = this.#root;
    for (const name of path.split("/").filter((part) => part !== "")) {
      if (node instanceof SimulatedContent) throw systemError("ENOTDIR", path);
      const next: Node | undefined = node.names.get(name);
      if (next === undefined) return undefined;
      node = next;
    }
    return node;
  }

  file(path: string): SimulatedContent {
    const node = this.find(path);
    if (node === undefined) throw systemError("ENOENT", path);
    if (node instanceof SimulatedDirectory) throw systemError("EISDIR", path);
    return node;
  }

  directory(path: string): SimulatedDirectory {
    const node = this.find(path);
    if (node === undefined) throw systemError("ENOENT", path);
    if (node instanceof SimulatedContent) throw systemError("ENOTDIR", path);
    return node;
  }

  /** Every file by its path, as programs see it, or as it would be after a cut that keeps only what was synced. */
  files(view: "cached" | "durable" = "cached"): Map<string, SimulatedContent> {
    const found = new Map<string, SimulatedContent>();
    const walk = (directory: SimulatedDirectory, path: string): void => {
      const names = view === "cached" ? directory.names : directory.durable;
      for (const [name, node] of names) {
        if (node instanceof SimulatedContent) found.set(join(path, name), node);
        else walk(node, join(path, name));
      }
    };
    walk(this.#root, "/");
    return found;
  }

  /** The power goes and comes back. */
  cut(random: Random): void {
    const cut = new Set<Node>();
    const walk = (node: Node): void => {
      if (cut.has(node)) return;
      cut.add(node);
      node.cut(random);
      if (node instanceof SimulatedDirectory) for (const child of node.names.values()) walk(child);
    };
    walk(this.#root);
  }

  /** After a restart of the machine no process named by a lease is alive. The boot id in them is made another. */
  forgetProcesses(): void {
    for (const [path, content] of this.files()) {
      if (!/\/lease\.\d+$/.test(path)) continue;
      const text = content.cached.toString("latin1");
      content.cached = content.durable = Buffer.from(
        text.replace(/"boot":"[^"]/, '"boot":"#'),
        "latin1",
      );
    }
  }
}
