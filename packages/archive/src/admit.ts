import { CountersignError, type SealedEvent } from "@countersign/model";
import { MAX_ENTRY_BYTES } from "./bundle.ts";
import type { EpochBook } from "./epoch-book.ts";
import { keyOf, type EventKey } from "./event-key.ts";

/** An event on its way in, with the place it claims. */
export interface Candidate {
  readonly sealed: SealedEvent;
  readonly key: EventKey;
}

/** What happens to one candidate. A fork claims a place where another event stands, whose hash this is; the first stays. */
export type Admission = "new" | "duplicate" | { readonly fork: string };

/** Gives every event its key. Rejects the whole call, naming indexes in `failed`, when one cannot be stored at all. */
export function candidatesOf(events: readonly SealedEvent[]): Candidate[] {
  const failed: number[] = [];
  const candidates = events.map((sealed, index) => {
    const key = keyOf(sealed);
    const fits = sealed.bytes.length > 0 && sealed.bytes.length <= MAX_ENTRY_BYTES;
    if (key === undefined || !fits) failed.push(index);
    return { sealed, key: key as EventKey };
  });
  if (failed.length > 0) {
    throw new CountersignError(
      "INPUT_INVALID",
      `archive: ${failed.length} of ${events.length} events have no place in a chain or are longer than 65,535 bytes; nothing was stored. Dead-letter those listed in \`failed\` and send the rest again.`,
      { failed },
    );
  }
  return candidates;
}

/** Reads stored keys in a range of positions, end included. */
export type KeyScan = (from: number, to: number) => AsyncIterable<EventKey>;

/**
 * Decides for each candidate, in order, whether it is new, a duplicate of one that is stored (or earlier in this
 * batch), or a fork. Only places that the book cannot rule out are looked up, all of them in one walk.
 */
export async function admit(
  candidates: readonly Candidate[],
  book: EpochBook,
  scan: KeyScan,
): Promise<Admission[]> {
  const known = await lookUp(candidates, book, scan);
  return candidates.map(({ key }) => {
    const place = placeOf(key);
    const hash = known.get(place);
    if (hash === undefined) {
      known.set(place, key.hash);
      return "new";
    }
    return hash === key.hash ? "duplicate" : { fork: hash };
  });
}

async function lookUp(
  candidates: readonly Candidate[],
  book: EpochBook,
  scan: KeyScan,
): Promise<Map<string, string>> {
  const wanted = new Set<string>();
  const ranges: [number, number][] = [];
  for (const { key } of candidates) {
    const stretches = book.candidates(key);
    if (stretches.length > 0) wanted.add(placeOf(key));
    for (const s of stretches) ranges.push([s.from, s.to]);
  }
  const known = new Map<string, string>();
  for (const [from, to] of union(ranges)) {
    for await (const key of scan(from, to)) {
      const place = placeOf(key);
      if (wanted.has(place) && !known.has(place)) known.set(place, key.hash);
    }
  }
  return known;
}

function placeOf({ epoch, seq, id = "" }: EventKey): string {
  return `${epoch}/${seq}/${id}`;
}

/** Overlapping and repeated ranges become one, so that a batch of duplicates costs one walk. */
function union(ranges: readonly [number, number][]): [number, number][] {
  const merged: [number, number][] = [];
  for (const [from, to] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}
