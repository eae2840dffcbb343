// A segment, window by window; the next one is read while this one is looked at, since checksums take about as long as the disk.
import { FRAME_HEADER_BYTES, MAX_FRAME_BODY_BYTES } from "./frames.ts";
import type { JournalFile } from "./fs.ts";
import { readFully, readRange } from "./read-range.ts";

/** Bytes read at once. */
export const WINDOW_BYTES: number = 256 * 1024;
/** Most that a frame takes, and so most that a window leaves to the next. */
export const MAX_FRAME_BYTES: number = FRAME_HEADER_BYTES + MAX_FRAME_BODY_BYTES;

/** Bytes that were asked for before anybody wants them. */
interface Ahead {
  /** Where in the file they begin, and where the file ended then. */
  readonly at: number;
  readonly end: number;
  /** Room for what the window before leaves, then the bytes. */
  readonly buffer: Buffer;
  readonly filled: Promise<number>;
  readonly before: Buffer;
}

/** Reads forward in one file. A window is never written to again, so views of it may be kept. */
export class SegmentWindows {
  readonly #file: JournalFile;
  #ahead: Ahead | undefined;

  constructor(file: JournalFile) {
    this.#file = file;
  }

  /**
   * Bytes from `from`, at least {@link WINDOW_BYTES} unless `end` comes first; fewer if the file is shorter than that. What is
   * before `end` must not change any more.
   */
  async read(from: number, end: number): Promise<Buffer> {
    const window =
      (await this.#takeAhead(from, end)) ??
      (await readRange(this.#file, from, Math.min(end, from + WINDOW_BYTES)));
    if (window.length >= WINDOW_BYTES) this.#readAhead(from + window.length, end, window);
    return window;
  }

  /** Nothing reads the file any more: it can be closed. Never rejects. */
  async idle(): Promise<void> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    await ahead?.filled.catch(() => undefined);
  }

  #readAhead(at: number, end: number, before: Buffer): void {
    const buffer = Buffer.allocUnsafe(MAX_FRAME_BYTES + Math.min(WINDOW_BYTES, end - at));
    const filled = readFully(this.#file, buffer.subarray(MAX_FRAME_BYTES), at);
    // Told to whoever asks for the bytes.
    filled.catch(() => undefined);
    this.#ahead = { at, end, buffer, filled, before };
  }

  async #takeAhead(from: number, end: number): Promise<Buffer | undefined> {
    const ahead = this.#ahead;
    if (ahead === undefined) return undefined;
    const left = ahead.at - from;
    // The reader went on elsewhere, or there is more to read by now.
    if (ahead.end !== end || left < 0 || left > MAX_FRAME_BYTES) {
      await this.idle();
      return undefined;
    }
    this.#ahead = undefined;
    const filled = await ahead.filled;
    const start = MAX_FRAME_BYTES - left;
    ahead.before.copy(ahead.buffer, start, ahead.before.length - left);
    return ahead.buffer.subarray(start, MAX_FRAME_BYTES + filled);
  }
}
