import type { ServerResponse } from "node:http";
import { PAGE_MAX_ROWS, type ArchiveIndex, type DecisionFilter } from "@countersign/archive";

/** Pages that follow the tail at the same time. One more is refused with 503. */
export const STREAM_MAX_CLIENTS = 32;
/** A client that reads nothing while this much waits for it is cut off; it reconnects by itself. */
const BACKLOG_MAX_BYTES = 1024 * 1024;
const KEEP_ALIVE_MS = 15_000;
const RECONNECT_MS = 2000;

/** Everybody who follows the tail (server-sent events). */
export interface Streams {
  /** Sends from `from` (a log position; default: now) until the client goes or `stop` is called. False: too many. */
  open(response: ServerResponse, filter: DecisionFilter, from?: number): boolean;
  /** Ends all of them. */
  stop(): void;
}

/** Follows the index for any number of clients up to the limit. */
export function createStreams(index: ArchiveIndex): Streams {
  return new TailStreams(index);
}

class TailStreams implements Streams {
  readonly #index: ArchiveIndex;
  readonly #open = new Set<AbortController>();

  constructor(index: ArchiveIndex) {
    this.#index = index;
  }

  open(response: ServerResponse, filter: DecisionFilter, from?: number): boolean {
    if (this.#open.size >= STREAM_MAX_CLIENTS) return false;
    const ending = new AbortController();
    this.#open.add(ending);
    response.once("close", () => ending.abort());
    // A connection that ends with its stream does not keep a stopping server waiting.
    response.writeHead(200, {
      "content-type": "text/event-stream; charset=utf-8",
      connection: "close",
    });
    response.write(`retry: ${RECONNECT_MS}\n\n`);
    const beat = setInterval(() => response.write(": still here\n\n"), KEEP_ALIVE_MS);
    const start = Math.min(from ?? this.#index.position, this.#index.position);
    void this.#follow(response, filter, start, ending.signal).finally(() => {
      clearInterval(beat);
      this.#open.delete(ending);
      response.end();
    });
    return true;
  }

  stop(): void {
    for (const ending of this.#open) ending.abort();
  }

  /** Resolves when the client is gone, too slow, or the index closes. */
  async #follow(
    response: ServerResponse,
    filter: DecisionFilter,
    start: number,
    signal: AbortSignal,
  ): Promise<void> {
    let from = start;
    while (response.writableLength < BACKLOG_MAX_BYTES) {
      try {
        await this.#index.wait(from, signal);
        if (signal.aborted) return;
        from = this.#send(response, filter, from);
      } catch {
        return;
      }
    }
  }

  /** Sends what is new from a position on. More than a page at once: says so, and the page reads it as a list. */
  #send(response: ServerResponse, filter: DecisionFilter, from: number): number {
    const next = this.#index.position;
    const page = this.#index.query(filter, { fromPosition: from, limit: PAGE_MAX_ROWS });
    const outcomes = this.#index.outcomesFrom(from, PAGE_MAX_ROWS);
    if (page.next !== undefined) response.write(frame(next, "reload", {}));
    else if (page.rows.length > 0) response.write(frame(next, "decisions", page.rows));
    if (outcomes.length > 0) response.write(frame(next, "outcomes", outcomes));
    return next;
  }
}

/** JSON has no raw line breaks, so one data line always holds it. */
function frame(id: number, event: string, data: unknown): string {
  return `id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
