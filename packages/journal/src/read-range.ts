import type { JournalFile } from "./fs.ts";

/** Fills `target` from the file's byte `from` on; resolves to how many bytes there were. */
export async function readFully(
  file: JournalFile,
  target: Uint8Array,
  from: number,
): Promise<number> {
  let filled = 0;
  while (filled < target.length) {
    const read = await file.read(target.subarray(filled), from + filled);
    if (read === 0) break;
    filled += read;
  }
  return filled;
}

/** Bytes of `file` from `from` to `to`; fewer if it is shorter. */
export async function readRange(file: JournalFile, from: number, to: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Math.max(0, to - from));
  return bytes.subarray(0, await readFully(file, bytes, from));
}
