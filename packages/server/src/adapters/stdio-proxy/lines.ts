import { type Skimmed, createSkimmer } from "./skim.ts";

const LF = 0x0a;

/** What a {@link LineReader} finds. */
export interface LineSink {
  /** One line with its line end, if it has one. The bytes may share memory with the chunk they came in. */
  line(bytes: Buffer): void;
  /** A line over the limit: gone, but for what could be read in passing. */
  oversized(skimmed: Skimmed): void;
}

/** Cuts a byte stream into lines at `\n` (MCP, stdio transport). Holds at most `maxBytes` and one chunk. */
export interface LineReader {
  push(chunk: Buffer): void;
  /** The end of the stream: what is left is a line too. */
  end(): void;
}

/** @param maxBytes longest line that is given out, its line end included */
export function createLineReader(maxBytes: number, sink: LineSink): LineReader {
  return new ByteLineReader(maxBytes, sink);
}

class ByteLineReader implements LineReader {
  readonly #maxBytes: number;
  readonly #sink: LineSink;
  #held: Buffer[] = [];
  #heldBytes = 0;
  /** Set while a line is over the limit: its bytes go through here and are not kept. */
  #skimmer: ReturnType<typeof createSkimmer> | undefined;

  constructor(maxBytes: number, sink: LineSink) {
    this.#maxBytes = maxBytes;
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let start = 0;
    while (start < chunk.length) {
      const newline = chunk.indexOf(LF, start);
      if (newline === -1) {
        this.#hold(start === 0 ? chunk : chunk.subarray(start));
        return;
      }
      this.#finish(chunk.subarray(start, newline + 1));
      start = newline + 1;
    }
  }

  end(): void {
    if (this.#skimmer !== undefined || this.#heldBytes > 0) this.#finish(Buffer.alloc(0));
  }

  #hold(part: Buffer): void {
    if (this.#skimmer === undefined && this.#heldBytes + part.length <= this.#maxBytes) {
      this.#held.push(part);
      this.#heldBytes += part.length;
      return;
    }
    this.#skim(part);
  }

  #skim(part: Buffer): void {
    if (this.#skimmer === undefined) {
      this.#skimmer = createSkimmer();
      for (const held of this.#take()) this.#skimmer.push(held);
    }
    this.#skimmer.push(part);
  }

  #finish(last: Buffer): void {
    if (this.#skimmer !== undefined || this.#heldBytes + last.length > this.#maxBytes) {
      this.#skim(last);
      const skimmed = this.#skimmer?.result() ?? {};
      this.#skimmer = undefined;
      this.#sink.oversized(skimmed);
      return;
    }
    const held = this.#take();
    this.#sink.line(held.length === 0 ? last : Buffer.concat([...held, last]));
  }

  #take(): Buffer[] {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    return held;
  }
}
