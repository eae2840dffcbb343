// Java's partitioner (org.apache.kafka.common.utils.Utils.murmur2): every client must put a key into the same partition.

const SEED = 0x9747b28c;
const M = 0x5bd1e995;
const R = 24;

/** 32-bit MurmurHash2 as Kafka's Java client has it; a signed integer. */
function murmur2(data: Uint8Array): number {
  const { length } = data;
  const view = new DataView(data.buffer, data.byteOffset, length);
  const whole = length & ~3;
  let hash = SEED ^ length;
  for (let at = 0; at < whole; at += 4) {
    let part = Math.imul(view.getInt32(at, true), M);
    part ^= part >>> R;
    hash = Math.imul(hash, M) ^ Math.imul(part, M);
  }
  let rest = 0;
  for (let at = length - 1; at >= whole; at -= 1) rest = (rest << 8) | (data[at] as number);
  if (length > whole) hash = Math.imul(hash ^ rest, M);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, M);
  return hash ^ (hash >>> 15);
}

/** Partition of a key among `partitions`: `toPositive(murmur2(key)) % n`. */
export function partitionOf(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions;
}
