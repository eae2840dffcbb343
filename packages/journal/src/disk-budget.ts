// How many bytes the epochs of one emitter take, against a limit. Other processes write and drain beside us, so what is
// not ours is measured now and then, never on the way of an append.
import type { JournalFs } from "./fs.ts";
import { epochDirectory, listEpochNumbers, listSegments, segmentPath } from "./layout.ts";

/** Shortest time between two measurements asked for by refused appends. */
const REMEASURE_MS = 1_000;
/** Share of the limit that is worth a warning, and the one below which the next warning may come. */
export const ALMOST_FULL = 0.8;
const ROOM_AGAIN = 0.7;

/** Space taken by an emitter. */
export interface DiskBudget {
  /** Bytes of all epochs, given those of our own. */
  bytes(own: number): number;
  /** Whether one more event would be over the limit; asks for a new measurement if that is near. */
  exceeded(own: number, nowMs: number): boolean;
  /** Measures the epochs that are not `ownNumber`. Never rejects. */
  measure(emitterPath: string, ownNumber: number): Promise<void>;
}

/** A budget of `limitBytes`. `onAlmostFull` is called once for each time that 80 % of it are reached. */
export function createDiskBudget(
  fs: JournalFs,
  limitBytes: number,
  onAlmostFull: (bytes: number, limitBytes: number) => void,
): DiskBudget {
  let others = 0;
  let warned = false;
  let last = { emitterPath: "", ownNumber: 0, atMs: 0 };
  const measure = async (emitterPath: string, ownNumber: number): Promise<void> => {
    last = { emitterPath, ownNumber, atMs: Date.now() };
    try {
      others = await sizeOfOthers(fs, emitterPath, ownNumber);
    } catch {
      // A directory that cannot be listed now: the last figure stands.
    }
  };
  return {
    bytes: (own) => others + own,
    exceeded: (own, nowMs) => {
      const bytes = others + own;
      if (bytes < ROOM_AGAIN * limitBytes) warned = false;
      if (bytes < ALMOST_FULL * limitBytes) return false;
      if (!warned) onAlmostFull(bytes, limitBytes);
      warned = true;
      // Either way of the clock: it may have been set back.
      if (Math.abs(nowMs - last.atMs) > REMEASURE_MS) {
        void measure(last.emitterPath, last.ownNumber);
      }
      return bytes >= limitBytes;
    },
    measure,
  };
}

async function sizeOfOthers(fs: JournalFs, emitterPath: string, own: number): Promise<number> {
  let bytes = 0;
  for (const number of await listEpochNumbers(fs, emitterPath)) {
    if (number === own) continue;
    const path = epochDirectory(emitterPath, number);
    for (const index of await listSegments(fs, path)) {
      bytes += (await fs.info(segmentPath(path, index)))?.size ?? 0;
    }
  }
  return bytes;
}
