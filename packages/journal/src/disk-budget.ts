// How many bytes the epochs of one emitter take, against a limit. Other processes write and drain beside us, so what is
// not ours is measured now and then, never on the way of an append.
import type { JournalFs } from "./fs.ts";
import { epochDirectory, listEpochNumbers, listSegments, segmentPath } from "./layout.ts";

/** Shortest time between two measurements asked for by refused appends. */
const REMEASURE_MS = 1_000;

/** Space taken by an emitter. */
export interface DiskBudget {
  /** Bytes of all epochs, given those of our own. */
  bytes(own: number): number;
  /** Whether one more event would be over the limit; asks for a new measurement if so. */
  exceeded(own: number, nowMs: number): boolean;
  /** Measures the epochs that are not `ownNumber`. Never rejects. */
  measure(emitterPath: string, ownNumber: number): Promise<void>;
}

/** A budget of `limitBytes`. */
export function createDiskBudget(fs: JournalFs, limitBytes: number): DiskBudget {
  let others = 0;
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
      if (others + own < limitBytes) return false;
      if (nowMs - last.atMs > REMEASURE_MS) void measure(last.emitterPath, last.ownNumber);
      return true;
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
