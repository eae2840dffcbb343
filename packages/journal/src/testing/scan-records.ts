// An independent reader: frames found by their magic and checksum alone, without the rules of recovery. What it finds is
// what is on the disk.
import { isEmitter } from "../emitter.ts";
import { decodeFrame, findFrame, HEADER_MAGIC, RECORD_MAGIC } from "../frames.ts";
import type { JournalFs } from "../fs.ts";
import {
  emitterDirectory,
  epochDirectory,
  listEpochNumbers,
  listOrNone,
  listSegments,
  segmentPath,
} from "../layout.ts";

/** A frame on the disk. */
export interface ScannedRecord {
  readonly emitter: string;
  readonly epochNumber: number;
  readonly segment: number;
  readonly seq: number;
  readonly body: Buffer;
}

/** Every valid record frame under a journal's directory. */
export async function scanRecords(fs: JournalFs, directory: string): Promise<ScannedRecord[]> {
  const records: ScannedRecord[] = [];
  for (const emitter of (await listOrNone(fs, directory)).filter(isEmitter)) {
    const emitterPath = emitterDirectory(directory, emitter);
    for (const epochNumber of await listEpochNumbers(fs, emitterPath)) {
      const epochPath = epochDirectory(emitterPath, epochNumber);
      for (const segment of await listSegments(fs, epochPath)) {
        const bytes = await readAll(fs, segmentPath(epochPath, segment));
        for (const { seq, body } of framesOf(bytes)) {
          records.push({ emitter, epochNumber, segment, seq, body: Buffer.from(body) });
        }
      }
    }
  }
  return records;
}

async function readAll(fs: JournalFs, path: string): Promise<Buffer> {
  const file = await fs.open(path, "read");
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0);
  await file.close();
  return bytes;
}

function* framesOf(bytes: Buffer): Generator<{ seq: number; body: Uint8Array }> {
  const header = decodeFrame(bytes, 0, HEADER_MAGIC);
  let at = typeof header === "object" ? header.end : 0;
  for (;;) {
    const found = findFrame(bytes, at, RECORD_MAGIC);
    const frame = found === undefined ? "bad" : decodeFrame(bytes, found);
    if (typeof frame !== "object") return;
    yield frame;
    at = frame.end;
  }
}
