/** One copy of an MCP SDK in this process, as the `start` event lists it. */
export interface SdkCopy {
  readonly package: string;
  readonly version: string;
  readonly format: "esm" | "cjs" | "none";
  readonly patched: boolean;
}

/** The copies that this process has met. */
export interface Coverage {
  /** A later report about the same copy replaces the earlier one. */
  add(copy: SdkCopy): void;
  /** At most 16, the bound of the event; those that are not patched come first, so that a bound never hides one. */
  list(): SdkCopy[];
  /** Some copy is patched and none is not. */
  complete(): boolean;
}

const MAX_COPIES = 16;

/** An empty coverage list. */
export function createCoverage(): Coverage {
  return new CopyList();
}

class CopyList implements Coverage {
  readonly #copies = new Map<string, SdkCopy>();

  add(copy: SdkCopy): void {
    this.#copies.set(`${copy.package} ${copy.version} ${copy.format}`, copy);
  }

  list(): SdkCopy[] {
    return [...this.#copies.values()]
      .toSorted((a, b) => Number(a.patched) - Number(b.patched))
      .slice(0, MAX_COPIES);
  }

  complete(): boolean {
    const copies = [...this.#copies.values()];
    return copies.length > 0 && copies.every(({ patched }) => patched);
  }
}
