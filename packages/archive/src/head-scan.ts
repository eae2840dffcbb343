import { HEADER_MAGIC, decodeFrame, findFrame, type Frame } from "@countersign/journal";

/** What a head file holds, read from its start. */
export interface HeadScan {
  readonly entries: readonly Buffer[];
  /** Bytes up to here are whole frames in order. */
  readonly goodBytes: number;
  /**
   * `torn`: what follows is a write that no sync covered, and may be left behind. `corrupt`: what follows was durable
   * once.
   */
  readonly verdict: "whole" | "torn" | "corrupt";
}

/**
 * Reads a head file whose first entry must have the position `first`. Every group begins with a header frame, and a
 * group is written only after the one before it was synced. So when a later header is readable behind a bad frame,
 * durable bytes were damaged; without one, the bad frame belongs to the last write, which nobody was told of. (Pages of
 * one write may reach the disk in any order: a readable record behind a bad one proves nothing by itself.)
 */
export function scanHead(bytes: Buffer, first: number): HeadScan {
  const entries: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const header = frameAt(bytes, at, HEADER_MAGIC);
    // The file was made whole, with its first header, before it had its name.
    if (at === 0 && header === undefined) return result("corrupt");
    const frame = header ?? frameAt(bytes, at);
    if (frame === undefined) return result(hasHeader(bytes, at) ? "corrupt" : "torn");
    if (frame.seq !== first + entries.length) return result("corrupt");
    if (header === undefined) entries.push(Buffer.from(frame.body));
    at = frame.end;
  }
  return result(at === 0 ? "corrupt" : "whole");

  function result(verdict: HeadScan["verdict"]): HeadScan {
    return { entries, goodBytes: at, verdict };
  }
}

function frameAt(bytes: Buffer, at: number, magic?: number): Frame | undefined {
  const decoded = decodeFrame(bytes, at, magic);
  return typeof decoded === "object" ? decoded : undefined;
}

function hasHeader(bytes: Buffer, at: number): boolean {
  return findFrame(bytes, at + 1, HEADER_MAGIC) !== undefined;
}
