import { FRAME_HEADER_BYTES, MAGIC_BYTES, decodeFrame } from "./frame.ts";

/** What a head file holds, read from its start. */
export interface HeadScan {
  readonly entries: readonly Buffer[];
  /** Bytes up to here are whole frames in order. */
  readonly goodBytes: number;
  /**
   * `torn`: what follows is a write that no sync covered, and may be cut off. `corrupt`: what follows was durable once.
   */
  readonly verdict: "whole" | "torn" | "corrupt";
}

/**
 * Reads a head file whose first entry must have the position `first`. Every group begins with an empty frame, and a
 * group is written only after the one before it was synced. So when a later group's mark is readable behind a bad
 * frame, durable bytes were damaged; without one, the bad frame belongs to the last write, which nobody was told of.
 * Pages of one write may reach the disk in any order: a readable frame behind a bad one proves nothing by itself.
 */
export function scanHead(bytes: Buffer, first: number): HeadScan {
  const entries: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    const frame = decodeFrame(bytes, at);
    const expected = first + entries.length;
    // The file is made whole, with its first mark, before it has its name.
    if (at === 0 && !(frame?.seq === first && frame.body.length === 0)) return result("corrupt");
    if (frame === undefined) return result(hasMark(bytes, at) ? "corrupt" : "torn");
    if (frame.seq !== expected) return result("corrupt");
    if (frame.body.length > 0) entries.push(frame.body);
    at = frame.end;
  }
  return result(at === 0 ? "corrupt" : "whole");

  function result(verdict: HeadScan["verdict"]): HeadScan {
    return { entries, goodBytes: at, verdict };
  }
}

/** Is there a readable group mark behind `from`? Entries cannot imitate one: JSON text holds no NUL bytes. */
function hasMark(bytes: Buffer, from: number): boolean {
  let at = bytes.indexOf(MAGIC_BYTES, from + 1);
  while (at >= 0 && at + FRAME_HEADER_BYTES <= bytes.length) {
    if (decodeFrame(bytes, at)?.body.length === 0) return true;
    at = bytes.indexOf(MAGIC_BYTES, at + 1);
  }
  return false;
}
