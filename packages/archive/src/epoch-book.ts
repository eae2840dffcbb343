import type { EventKey } from "./event-key.ts";

/** Where a stretch of an epoch lies: its lowest and highest `seq` and position. It may have holes and strangers in it. */
interface Stretch {
  fromSeq: number;
  toSeq: number;
  from: number;
  to: number;
}

/** Stretches kept per epoch. Beyond, the two that lie closest together become one. */
const MAX_STRETCHES = 64;

/**
 * Remembers which chain places the log holds, in bounded memory: not one entry per event but, per epoch, up to 64
 * stretches of positions in which to look. A `seq` above all stretches is new without looking, which is the common
 * case; any other is looked up in the log itself, so the answer is exact however coarse the stretches are.
 */
export interface EpochBook {
  /** Stretches in which this place may already stand; empty means: certainly new. */
  candidates(key: EventKey): readonly Stretch[];
  add(key: EventKey, position: number): void;
  /** For the snapshot file: everything, as plain arrays. */
  toJSON(): Record<string, readonly number[]>;
}

/** Makes a book, empty or from a snapshot's `toJSON`. */
export function createEpochBook(saved: Record<string, readonly number[]> = {}): EpochBook {
  return new Book(saved);
}

class Book implements EpochBook {
  readonly #epochs: Map<string, Stretch[]>;

  constructor(saved: Record<string, readonly number[]>) {
    this.#epochs = new Map();
    for (const [epoch, numbers] of Object.entries(saved)) {
      this.#epochs.set(epoch, unpack(numbers));
    }
  }

  candidates(key: EventKey): readonly Stretch[] {
    const stretches = this.#epochs.get(key.epoch) ?? [];
    return stretches.filter((s) => s.fromSeq <= key.seq && key.seq <= s.toSeq);
  }

  add(key: EventKey, position: number): void {
    const stretches = this.#epochs.get(key.epoch);
    const fresh = { fromSeq: key.seq, toSeq: key.seq, from: position, to: position };
    if (stretches === undefined) {
      this.#epochs.set(key.epoch, [fresh]);
      return;
    }
    const last = stretches.at(-1) as Stretch;
    if (last.to + 1 === position && last.toSeq + 1 === key.seq) {
      last.to = position;
      last.toSeq = key.seq;
      return;
    }
    stretches.push(fresh);
    if (stretches.length > MAX_STRETCHES) mergeClosest(stretches);
  }

  toJSON(): Record<string, readonly number[]> {
    const packed = [...this.#epochs].map(([epoch, stretches]) => [
      epoch,
      stretches.flatMap((s) => [s.fromSeq, s.toSeq, s.from, s.to]),
    ]);
    return Object.fromEntries(packed) as Record<string, readonly number[]>;
  }
}

function unpack(numbers: readonly number[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (let at = 0; at + 3 < numbers.length; at += 4) {
    const [fromSeq, toSeq, from, to] = numbers.slice(at, at + 4) as [
      number,
      number,
      number,
      number,
    ];
    stretches.push({ fromSeq, toSeq, from, to });
  }
  return stretches;
}

/** Joins the neighbours whose union spans the fewest positions, so no stretch takes much longer to search than another. */
function mergeClosest(stretches: Stretch[]): void {
  let best = 0;
  let bestSpan = Number.POSITIVE_INFINITY;
  for (let i = 0; i + 1 < stretches.length; i += 1) {
    const span = (stretches[i + 1] as Stretch).to - (stretches[i] as Stretch).from;
    if (span < bestSpan) [best, bestSpan] = [i, span];
  }
  const [left, right] = stretches.slice(best, best + 2) as [Stretch, Stretch];
  stretches.splice(best, 2, {
    fromSeq: Math.min(left.fromSeq, right.fromSeq),
    toSeq: Math.max(left.toSeq, right.toSeq),
    from: left.from,
    to: right.to,
  });
}
