// Which offsets of which partitions are read once more, below the position of the group.
import type { GroupPlace } from "./group-places.ts";
import type { Rereading, StoredRecord } from "./port.ts";

/** A stretch that is read again. */
interface Stretch {
  next: bigint;
  readonly until: bigint;
  /** Its beginning was asked for a second time. */
  insisted: boolean;
}

/** What is read again when a partition begins. */
export interface Planned {
  readonly partition: number;
  readonly from: bigint;
  readonly until: bigint;
  /** Older ones that are wanted, and not read: expired, or over the limit. */
  readonly left: bigint;
}

/** What a fetched batch is: records to be handed on again, new ones, or from another place than was asked for. */
export type Sorted =
  | { readonly kind: "again"; readonly records: readonly StoredRecord[] }
  | { readonly kind: "new" }
  | { readonly kind: "elsewhere"; readonly seek: bigint };

/** The stretches of a feed. */
export class Rereads {
  readonly #rereading: Rereading;
  readonly #maxRecords: bigint;
  readonly #stretches = new Map<number, Stretch>();

  /** At most `maxRecords` offsets of a partition are read again, the newest. */
  constructor(rereading: Rereading, maxRecords: number) {
    this.#rereading = rereading;
    this.#maxRecords = BigInt(maxRecords);
  }

  /** A partition begins. Undefined: nothing is to be read again, and who asked was told so. */
  plan(partition: number, { low, position }: GroupPlace): Planned | undefined {
    const wanted = this.#rereading.from(partition);
    const bound = position - this.#maxRecords;
    const from = [low, bound].reduce((most, one) => (one > most ? one : most), wanted);
    if (from >= position) {
      this.#stretches.delete(partition);
      this.#rereading.complete(partition);
      return undefined;
    }
    this.#stretches.set(partition, { next: from, until: position, insisted: false });
    return { partition, from, until: position, left: from - wanted };
  }

  /** What the records of a fetch are; a batch is cut where the new begins. */
  sort(partition: number, records: readonly StoredRecord[]): Sorted {
    const stretch = this.#stretches.get(partition);
    const first = records[0]?.offset;
    if (stretch === undefined || first === undefined) return { kind: "new" };
    if (first < stretch.until) {
      return { kind: "again", records: records.filter(({ offset }) => offset < stretch.until) };
    }
    // Either nothing is there any more, or this was fetched before the feed was sent back: asked twice, it is the former.
    if (!stretch.insisted) {
      stretch.insisted = true;
      return { kind: "elsewhere", seek: stretch.next };
    }
    this.#end(partition);
    return { kind: "new" };
  }

  /** Records below `next` were handed on. True: it was the end of the stretch. */
  reached(partition: number, next: bigint): boolean {
    const stretch = this.#stretches.get(partition);
    if (stretch === undefined) return false;
    stretch.next = next;
    if (next < stretch.until) return false;
    this.#end(partition);
    return true;
  }

  release(partition: number): void {
    this.#stretches.delete(partition);
    this.#rereading.released(partition);
  }

  #end(partition: number): void {
    this.#stretches.delete(partition);
    this.#rereading.complete(partition);
  }
}
