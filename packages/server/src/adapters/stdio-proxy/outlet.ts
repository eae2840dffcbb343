import type { Writable } from "node:stream";

const LF = 0x0a;

/** One writing end of the proxy. What is written after the other side is gone goes nowhere, without an error. */
export interface Outlet {
  /** Writes one line; ends it if it has no end. */
  write(line: Buffer): void;
  /** The other side is slower than we are: whoever feeds this outlet should stop reading. */
  readonly congested: boolean;
  /** Bytes that wait in this process. */
  readonly backlogBytes: number;
  /** Resolves when the outlet is not congested any more, or closed. */
  writable(): Promise<void>;
  /** Sends what is left, then the end of the stream. Resolves when both are out, or the other side is gone. */
  end(): Promise<void>;
  /** Resolves when everything written so far is out, or the other side is gone. */
  flush(): Promise<void>;
  /** Told whenever `congested` or `closed` changed. */
  onChange: () => void;
  readonly closed: boolean;
}

/** An outlet over a stream. It takes over the stream's error and drain events. */
export function createOutlet(stream: Writable): Outlet {
  return new StreamOutlet(stream);
}

class StreamOutlet implements Outlet {
  readonly #stream: Writable;
  #waiting: (() => void)[] = [];
  congested = false;
  closed = false;
  onChange: () => void = () => undefined;

  constructor(stream: Writable) {
    this.#stream = stream;
    stream.on("drain", () => this.#freed());
    // EPIPE and the like: the reader is gone. What follows from that is decided by whoever waits for its exit.
    stream.on("error", () => this.#close());
    stream.on("close", () => this.#close());
  }

  get backlogBytes(): number {
    return this.#stream.writableLength;
  }

  write(line: Buffer): void {
    if (this.closed) return;
    const whole = line.at(-1) === LF ? line : Buffer.concat([line, Buffer.of(LF)]);
    if (!this.#stream.write(whole) && !this.congested) {
      this.congested = true;
      this.onChange();
    }
  }

  writable(): Promise<void> {
    if (!this.congested || this.closed) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  end(): Promise<void> {
    if (this.closed || this.#stream.writableEnded) return Promise.resolve();
    return new Promise((resolve) => {
      this.#stream.once("close", resolve);
      this.#stream.end(() => resolve());
    });
  }

  flush(): Promise<void> {
    if (this.closed || this.#stream.writableEnded) return Promise.resolve();
    return new Promise((resolve) => {
      this.#stream.once("close", resolve);
      this.#stream.write("", () => resolve());
    });
  }

  #close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#freed();
  }

  #freed(): void {
    this.congested = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
    this.onChange();
  }
}
