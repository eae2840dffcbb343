// A message that is copied while it is read: what changes is written, the rest is copied in the longest ranges there are.

/** Bytes of a varint: 7 bits each. */
export function varintWidth(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  return value < 0x1000_0000 ? 4 : 5;
}

/** Writes a varint below 2^32 and gives its end. */
function putVarint(output: Buffer, at: number, value: number): number {
  let rest = value;
  let index = at;
  for (; rest >= 0x80; index += 1) {
    output[index] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  output[index] = rest;
  return index + 1;
}

/** Longest range that is copied byte by byte. */
const SHORT = 24;

/** Room for what may grow: a mask or a pseudonym can be longer than what it replaces. */
const SLACK_BYTES = 1024;

/**
 * Copies one input to one output, from its beginning to its end. Nothing is copied before something changes: an input of
 * which everything stays is handed on as it is. Positions that go in are of the input, in ascending order; a `place` is a
 * position in the output.
 */
export class Splice {
  readonly #input: Buffer;
  #output: Buffer | undefined;
  /** End of what is in the output. */
  #written = 0;
  /** Begin of what is not copied yet. */
  #from = 0;

  constructor(input: Buffer) {
    this.#input = input;
  }

  /** Where the input's byte `at` will stand. */
  place(at: number): number {
    return this.#written + at - this.#from;
  }

  /** Leaves `[at, end)` out. */
  cut(at: number, end: number): void {
    if (at > this.#from) this.#copy(at);
    this.#from = end;
  }

  /** Leaves `[at, end)` out, whatever was changed within; `place` is what {@link place} said of `at` before. */
  drop(at: number, end: number, place: number): void {
    if (this.#from <= at) this.#copy(at);
    else this.#written = place;
    this.#from = end;
  }

  /** Writes `bytes` instead of `[at, end)`. */
  replace(at: number, end: number, bytes: Uint8Array): void {
    this.cut(at, end);
    this.#room(bytes.length).set(bytes, this.#written);
    this.#written += bytes.length;
  }

  /** Writes a varint instead of `[at, end)`. */
  replaceVarint(at: number, end: number, value: number): void {
    this.cut(at, end);
    const output = this.#room(varintWidth(value));
    this.#written = putVarint(output, this.#written, value);
  }

  /**
   * Ends a message whose length stands at `lengthPlace`, whose body begins at `bodyPlace` and was `length` long, and of which
   * everything up to the input's `end` is decided.
   */
  close(lengthPlace: number, bodyPlace: number, length: number, end: number): void {
    const grown = this.place(end) - bodyPlace;
    if (grown === length) return;
    this.#copy(end);
    const width = varintWidth(grown);
    const shift = lengthPlace + width - bodyPlace;
    const output = this.#room(Math.max(0, shift));
    if (shift !== 0) {
      output.copyWithin(bodyPlace + shift, bodyPlace, this.#written);
      this.#written += shift;
    }
    putVarint(output, lengthPlace, grown);
  }

  /** The output, once everything up to `end`, the input's end, is decided. */
  finish(end: number): Buffer {
    if (this.#output === undefined && this.#from === 0) return this.#input.subarray(0, end);
    this.#copy(end);
    return (this.#output as Buffer).subarray(0, this.#written);
  }

  #copy(to: number): void {
    const length = to - this.#from;
    const output = this.#room(length);
    if (length > SHORT) this.#input.copy(output, this.#written, this.#from, to);
    else {
      // A call into native code costs more than a few bytes.
      for (let index = 0; index < length; index += 1) {
        output[this.#written + index] = this.#input[this.#from + index] as number;
      }
    }
    this.#written += length;
    this.#from = to;
  }

  #room(bytes: number): Buffer {
    const before = this.#output;
    const needed = this.#written + bytes;
    if (before !== undefined && needed <= before.length) return before;
    const left = this.#input.length - this.#from;
    const output = Buffer.allocUnsafeSlow(needed + left + (needed >> 4) + SLACK_BYTES);
    before?.copy(output, 0, 0, this.#written);
    this.#output = output;
    return output;
  }
}
