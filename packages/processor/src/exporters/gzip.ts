import { promisify } from "node:util";
import { gzip } from "node:zlib";

/** The fastest level: level 6 takes twice the time to save a twentieth. With the largest hash table. */
const LEVEL = { level: 1, memLevel: 9 } as const;
/**
 * Room for the output at once, since every piece more is a turn of the thread pool; spans and events come to a fifth of what they
 * were, or less. What of it is not needed lives as long as the output.
 */
const MIN_CHUNK = 16 * 1024;
const MAX_CHUNK = 256 * 1024;

/** Parts become one piece in a room that is used again: bodies that are thrown away make V8 look at the whole heap for it. */
const ROOM_BYTES = 512 * 1024;
const MAX_ROOMS = 4;
const rooms: Buffer[] = [];

const gzipAsync = promisify(gzip);

/** The body of a request, compressed. `parts` are not changed until it resolves. */
export async function compress(parts: readonly Uint8Array[]): Promise<Buffer> {
  const [only] = parts;
  if (parts.length === 1 && only !== undefined) return await gzipped(only);
  const size = parts.reduce((sum, { length }) => sum + length, 0);
  if (size > ROOM_BYTES) return await gzipped(Buffer.concat(parts, size));
  const room = rooms.pop() ?? Buffer.allocUnsafeSlow(ROOM_BYTES);
  try {
    let at = 0;
    for (const part of parts) {
      room.set(part, at);
      at += part.length;
    }
    return await gzipped(room.subarray(0, size));
  } finally {
    if (rooms.length < MAX_ROOMS) rooms.push(room);
  }
}

function gzipped(whole: Uint8Array): Promise<Buffer> {
  const chunkSize = Math.max(MIN_CHUNK, Math.min(whole.length >> 2, MAX_CHUNK));
  return gzipAsync(whole, { ...LEVEL, chunkSize });
}
