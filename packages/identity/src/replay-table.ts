/** Words of 32 bits in one key: 128 bits of a SHA-256. */
export const KEY_WORDS = 4;

/** Half a megabyte, of which the system gives only the pages that are used. */
const FIRST_SLOTS = 32 * 1024;
/** Over this share of its slots a shelf takes no more: longer runs of full slots cost more than the memory saved. */
const MAX_LOAD = 0.75;

interface Shelf {
  readonly slots: Uint32Array;
  readonly mask: number;
  free: number;
}

/**
 * A set of 128-bit keys in typed arrays. It grows by a new shelf of twice the size and moves nothing, so no insertion pays for
 * all before it: a million keys are six shelves. At most 2.7 slots of 16 bytes a key (the moment after a shelf was added), so 43 MB
 * for a million. The first word of a key is never 0: that is an empty slot.
 */
export class KeyTable {
  readonly #shelves: Shelf[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Bytes of all slots. */
  get bytes(): number {
    return this.#shelves.reduce((sum, { slots }) => sum + slots.byteLength, 0);
  }

  /** Whether the key that starts at `words[at]` is in the set. */
  has(words: Uint32Array, at: number): boolean {
    for (const { slots, mask } of this.#shelves) {
      if (slots[slotOf(slots, mask, words, at)] !== 0) return true;
    }
    return false;
  }

  /** Adds a key that is not in the set yet. */
  add(words: Uint32Array, at: number): void {
    let shelf = this.#shelves.at(-1);
    if (shelf === undefined || shelf.free === 0) {
      shelf = shelfOf(shelf === undefined ? FIRST_SLOTS : 2 * (shelf.mask + 1));
      this.#shelves.push(shelf);
    }
    const slot = slotOf(shelf.slots, shelf.mask, words, at);
    for (let word = 0; word < KEY_WORDS; word += 1) {
      shelf.slots[slot + word] = words[at + word] as number;
    }
    shelf.free -= 1;
    this.#size += 1;
  }
}

function shelfOf(count: number): Shelf {
  const free = Math.floor(count * MAX_LOAD);
  return { slots: new Uint32Array(count * KEY_WORDS), mask: count - 1, free };
}

/** Where the key is, or the empty slot where it would be. A shelf is never full, so there is one. */
function slotOf(slots: Uint32Array, mask: number, words: Uint32Array, at: number): number {
  for (let index = (words[at] as number) & mask; ; index = (index + 1) & mask) {
    const slot = index * KEY_WORDS;
    const first = slots[slot];
    if (first === 0) return slot;
    if (
      first === words[at] &&
      slots[slot + 1] === words[at + 1] &&
      slots[slot + 2] === words[at + 2] &&
      slots[slot + 3] === words[at + 3]
    ) {
      return slot;
    }
  }
}
