import { createHash } from "node:crypto";

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

/** Merkle tree hash of RFC 6962, section 2.1, over the leaves in their order; lower-case hex. */
export function merkleRoot(leaves: readonly Uint8Array[]): string {
  if (leaves.length === 0) return createHash("sha256").digest("hex");
  return treeHash(leaves.map((leaf) => hash(LEAF, leaf))).toString("hex");
}

/**
 * Level by level, an odd one out goes up as it is: the same tree as the definition's, which splits at the largest power of two
 * below the number of leaves.
 */
function treeHash(leaves: readonly Buffer[]): Buffer {
  let level = leaves;
  while (level.length > 1) {
    const above: Buffer[] = [];
    for (let at = 0; at < level.length; at += 2) {
      const left = level[at] as Buffer;
      const right = level[at + 1];
      above.push(right === undefined ? left : hash(NODE, left, right));
    }
    level = above;
  }
  return level[0] as Buffer;
}

function hash(...parts: readonly Uint8Array[]): Buffer {
  const sha = createHash("sha256");
  for (const part of parts) sha.update(part);
  return sha.digest();
}
