import { createHash } from "node:crypto";

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** Merkle tree hash of RFC 6962, section 2.1, over the leaves in their order; lower-case hex. */
export function merkleRoot(leaves: readonly Uint8Array[]): string {
  const tree = createMerkleTree();
  for (const leaf of leaves) tree.add(leaf);
  return tree.root();
}

/** A tree that grows leaf by leaf and keeps no more than one hash a level. */
export interface MerkleTree {
  /** Leaves so far. */
  readonly size: number;
  add(leaf: Uint8Array): void;
  /** Root over what was added so far; lower-case hex. */
  root(): string;
}

/** An empty tree. */
export function createMerkleTree(): MerkleTree {
  // Roots of the perfect subtrees of the definition's split at the largest power of two: at `n` where bit `n` of the size is set.
  const peaks: (Buffer | undefined)[] = [];
  let size = 0;
  return {
    get size() {
      return size;
    },
    add(leaf) {
      let node = hash(LEAF, leaf);
      let level = 0;
      for (let left = peaks[0]; left !== undefined; left = peaks[level]) {
        node = hash(NODE, left, node);
        peaks[level] = undefined;
        level += 1;
      }
      peaks[level] = node;
      size += 1;
    },
    root() {
      let node: Buffer | undefined;
      for (const left of peaks) {
        if (left !== undefined) node = node === undefined ? left : hash(NODE, left, node);
      }
      return (node ?? hash()).toString("hex");
    },
  };
}

function hash(...parts: readonly Uint8Array[]): Buffer {
  const sha = createHash("sha256");
  for (const part of parts) sha.update(part);
  return sha.digest();
}
