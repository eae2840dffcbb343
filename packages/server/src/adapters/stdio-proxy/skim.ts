/** What can be said of a message that is not kept or does not parse: enough to answer it and to name it in the record. */
export interface Skimmed {
  readonly id?: string | number;
  readonly method?: string;
}

/**
 * Reads `id` and `method` of a JSON object in passing, from a stream of any length in constant memory. It checks
 * nothing: what it finds addresses an answer and is never used to decide. A member that occurs twice is not found.
 */
export interface Skimmer {
  push(bytes: Uint8Array): void;
  result(): Skimmed;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;
/** Longest key or value that is looked at. */
const MAX_CAPTURE_BYTES = 512;

/** A fresh skimmer, for one message. */
export function createSkimmer(): Skimmer {
  return new TopLevelSkimmer();
}

/** {@link Skimmer} over bytes that are all there. */
export function skim(bytes: Uint8Array): Skimmed {
  const skimmer = createSkimmer();
  skimmer.push(bytes);
  return skimmer.result();
}

/** A request id as MCP has it: a string, or an integer that no parser rounds. Also bounded, since open ids are kept. */
export function isRequestId(value: unknown): value is string | number {
  return typeof value === "string" ? value.length <= 256 : Number.isSafeInteger(value);
}

class TopLevelSkimmer implements Skimmer {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #atKey = true;
  #key: string | undefined;
  #capture: number[] = [];
  #overflow = false;
  readonly #found = new Map<string, unknown>();

  push(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#inString) this.#stringByte(byte);
      else this.#byte(byte);
    }
  }

  result(): Skimmed {
    const id = this.#found.get("id");
    const method = this.#found.get("method");
    return {
      ...(isRequestId(id) ? { id } : {}),
      ...(typeof method === "string" && method !== "" ? { method } : {}),
    };
  }

  #stringByte(byte: number): void {
    this.#keep(byte);
    if (this.#escaped) this.#escaped = false;
    else if (byte === BACKSLASH) this.#escaped = true;
    else if (byte === QUOTE) this.#inString = false;
  }

  #byte(byte: number): void {
    if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      // A batch is no message: nothing in it is at the top level.
      this.#depth += this.#depth === 0 && byte === OPEN_BRACKET ? 2 : 1;
      this.#keep(byte);
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
      if (this.#depth === 1) this.#endValue();
      this.#depth -= 1;
      this.#keep(byte);
    } else if (this.#depth === 1 && byte === COMMA) {
      this.#endValue();
    } else if (this.#depth === 1 && byte === COLON && this.#atKey) {
      this.#endKey();
    } else {
      if (byte === QUOTE) this.#inString = true;
      this.#keep(byte);
    }
  }

  #keep(byte: number): void {
    if (this.#depth !== 1 && !(this.#depth > 1 && this.#key !== undefined)) return;
    if (!this.#atKey && this.#key === undefined) return;
    if (this.#capture.length < MAX_CAPTURE_BYTES) this.#capture.push(byte);
    else this.#overflow = true;
  }

  #endKey(): void {
    const key = this.#captured();
    this.#atKey = false;
    this.#key = key === "id" || key === "method" ? key : undefined;
  }

  #endValue(): void {
    const value = this.#captured();
    if (this.#key !== undefined) {
      this.#found.set(this.#key, this.#found.has(this.#key) ? undefined : value);
    }
    this.#key = undefined;
    this.#atKey = true;
  }

  #captured(): unknown {
    const text = this.#overflow ? "" : Buffer.from(this.#capture).toString("utf8").trim();
    this.#capture = [];
    this.#overflow = false;
    try {
      return JSON.parse(text.startsWith("{") && this.#atKey ? text.slice(1) : text) as unknown;
    } catch {
      return undefined;
    }
  }
}
