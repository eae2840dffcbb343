import { promisify } from "node:util";
import zlib, { constants, gunzip } from "node:zlib";
import { FAULTS, RequestFault } from "./http-fault.ts";

/** How a body may be compressed. */
export type Compression = "gzip" | "zstd";

/** Whether this Node can: zstd came with 22.15. */
export function canDecompress(
  name: string,
  library: { readonly zstdDecompress?: unknown } = zlib,
): name is Compression {
  return name === "gzip" || (name === "zstd" && library.zstdDecompress !== undefined);
}

/**
 * Decompresses a body that came whole. The output is bounded while it is made, so a bomb costs no more than its bound. Rejects a
 * `RequestFault`.
 */
export async function decompress(
  sent: Buffer,
  compression: Compression,
  maxBytes: number,
): Promise<Buffer> {
  try {
    return await (compression === "gzip" ? gunzipOf(sent, maxBytes) : unzstd(sent, maxBytes));
  } catch (error) {
    if (error instanceof RequestFault) throw error;
    const isLong = (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
    throw new RequestFault(isLong ? FAULTS.tooLarge : FAULTS.corrupt);
  }
}

/** Room for the output at once. The sender says how much it is, and is believed up to here. */
const MIN_CHUNK = 16 * 1024;
const MAX_CHUNK = 1024 * 1024;
/** What a gzip file ends with: the length of its content. */
const LENGTH_BYTES = 4;

const gunzipAsync = promisify(gunzip);

function gunzipOf(sent: Buffer, maxOutputLength: number): Promise<Buffer> {
  const said = sent.length < LENGTH_BYTES ? 0 : sent.readUInt32LE(sent.length - LENGTH_BYTES) + 1;
  const chunkSize = Math.max(MIN_CHUNK, Math.min(said, MAX_CHUNK));
  return gunzipAsync(sent, { maxOutputLength, chunkSize });
}

/** Frames of one body; senders write one. */
const MAX_FRAMES = 16;
/** 8 MiB of memory for a frame's window: what RFC 8878, section 3.1.1.1.2 asks decoders to support. */
const MAX_WINDOW_LOG = 23;

/** Node's decoder stops after the first frame and says nothing: spans of a second one would be acknowledged and lost. */
async function unzstd(sent: Buffer, maxBytes: number): Promise<Buffer> {
  const frames: Buffer[] = [];
  let rest = sent;
  let room = maxBytes;
  do {
    if (frames.length === MAX_FRAMES) throw new RequestFault(FAULTS.corrupt);
    const { output, consumed } = await unzstdFrame(rest, room);
    if (consumed === 0) throw new RequestFault(FAULTS.corrupt);
    frames.push(output);
    room -= output.length;
    rest = rest.subarray(consumed);
  } while (rest.length > 0);
  const [only] = frames;
  return frames.length === 1 ? (only as Buffer) : Buffer.concat(frames);
}

function unzstdFrame(
  sent: Buffer,
  room: number,
): Promise<{ readonly output: Buffer; readonly consumed: number }> {
  const options = {
    info: true,
    chunkSize: MAX_CHUNK / 4,
    maxOutputLength: Math.max(1, room),
    params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG },
  };
  return new Promise((resolve, reject) => {
    zlib.zstdDecompress(sent, options, (error, result) => {
      if (error !== null) {
        reject(error);
        return;
      }
      // With `info`, the types of @types/node do not know it.
      const { buffer, engine } = result as unknown as {
        readonly buffer: Buffer;
        readonly engine: { readonly bytesWritten: number };
      };
      resolve({ output: buffer, consumed: engine.bytesWritten });
    });
  });
}
