import { hash, randomBytes } from "node:crypto";
import { type Logger, stderrLogger } from "@countersign/model";
import {
  deleteReplayLogs,
  openReplayLog,
  RECORD_WORDS,
  type ReplayLog,
  ReplayLogFault,
} from "./replay-log.ts";
import { KEY_WORDS, KeyTable } from "./replay-table.ts";

/** What makes a proof one of its kind: the key that signed, its number, and when it was made. */
export interface ProofUse {
  /** Thumbprint of the key that signed the proof. */
  readonly jkt: string;
  readonly jti: string;
  /** Whole seconds since the epoch, as signed. */
  readonly iatSeconds: number;
}

/**
 * Remembers the proofs that were used for as long as anybody could accept them (60 s on both sides of `iat`).
 * `full`: whether this one was used cannot be known or cannot be remembered. It must not be accepted.
 */
export interface ReplayGuard {
  /** Uses a proof that was verified. Synchronous; its cost does not depend on how many are remembered. Never throws. */
  use(proof: ProofUse, nowMs: number): "fresh" | "replayed" | "full";
  /** Lets go of files. From then on everything is `full`. */
  close(): void;
}

/** Where and how much. */
export interface ReplayGuardOptions {
  /**
   * Shared with all processes that use the same directory (a local disk), and found again after a restart. Made with mode 0700.
   * Without it, one process remembers for itself.
   */
  readonly directory?: string;
  /** Proofs remembered at once. Default 1,000,000: 43 MB at most. */
  readonly maxEntries?: number;
  /** Told why something is `full`, once a minute and cause. Default: standard error. */
  readonly log?: Logger;
}

const DEFAULT_MAX_ENTRIES = 1_000_000;
/** A bucket holds the proofs of one minute of issue: which one depends on the proof alone, so all processes agree. */
const BUCKET_MS = 60_000;
/** A proof is accepted 60 s before and after its `iat`; one more for a clock that is read in whole seconds. */
const WINDOW_MS = 61_000;
/** Files stay longer than the memory: for a process that verified a proof in time, and was then kept waiting. */
const FILE_SLACK_MS = 60_000;
const REOPEN_AFTER_MS = 1000;

interface Bucket {
  readonly table: KeyTable;
  readonly log: ReplayLog | undefined;
}

class BucketedGuard implements ReplayGuard {
  readonly #directory: string | undefined;
  readonly #maxEntries: number;
  readonly #log: Logger;
  readonly #buckets = new Map<number, Bucket>();
  readonly #record = new Uint32Array(RECORD_WORDS);
  readonly #said = new Set<string>();
  /** Time does not run backwards here: what was forgotten because it was too old stays too old. */
  #latestMs = Number.NEGATIVE_INFINITY;
  #reopenAtMs = Number.NEGATIVE_INFINITY;
  /** Keys in all tables. */
  #size = 0;
  #closed = false;

  constructor(options: ReplayGuardOptions) {
    this.#directory = options.directory;
    this.#maxEntries = options.maxEntries ?? DEFAULT_MAX_ENTRIES;
    this.#log = options.log ?? stderrLogger("identity/replay");
    const writer = randomBytes(8);
    this.#record[KEY_WORDS] = writer.readUInt32LE(0);
    this.#record[KEY_WORDS + 1] = writer.readUInt32LE(4);
  }

  use({ jkt, jti, iatSeconds }: ProofUse, nowMs: number): "fresh" | "replayed" | "full" {
    if (this.#closed || !Number.isSafeInteger(iatSeconds) || !Number.isFinite(nowMs)) return "full";
    this.#latestMs = Math.max(this.#latestMs, nowMs);
    const iatMs = iatSeconds * 1000;
    const number = Math.floor(iatMs / BUCKET_MS);
    if (number < 0 || iatMs > nowMs + WINDOW_MS) return "full";
    if (iatMs < this.#latestMs - WINDOW_MS) {
      return this.#full(number, "the clock went back, or a proof came late");
    }
    const bucket = this.#bucket(number);
    if (bucket === undefined) return "full";
    this.#nameKey(`${jkt}.${jti}`);
    if (bucket.table.has(this.#record, 0)) return "replayed";
    if (!this.#hasRoom()) return this.#full(number, "too many proofs at once");
    return this.#claim(number, bucket);
  }

  close(): void {
    this.#closed = true;
    for (const { log } of this.#buckets.values()) log?.close();
    this.#buckets.clear();
  }

  /** 128 bits of SHA-256: whoever makes two proofs that share them has had to try 2^64 times. */
  #nameKey(text: string): void {
    const digest = hash("sha256", text, "hex");
    for (let word = 0; word < KEY_WORDS; word += 1) {
      this.#record[word] = Number.parseInt(digest.slice(8 * word, 8 * word + 8), 16);
    }
    if (this.#record[0] === 0) this.#record[0] = 1;
  }

  #claim(number: number, { table, log }: Bucket): "fresh" | "replayed" | "full" {
    if (log === undefined) {
      this.#add(table, this.#record, 0);
      return "fresh";
    }
    const admit = (words: Uint32Array, at: number, isNew: boolean): boolean => {
      if (!isNew && table.has(words, at)) return true;
      if (!this.#hasRoom()) return false;
      this.#add(table, words, at);
      return true;
    };
    try {
      return log.claim(this.#record, admit) ? "fresh" : "replayed";
    } catch (error) {
      return this.#full(number, causeOf(error));
    }
  }

  #bucket(number: number): Bucket | undefined {
    const known = this.#buckets.get(number);
    if (known !== undefined) return known;
    this.#forgetOld();
    const made = this.#open(number);
    if (made !== undefined) this.#buckets.set(number, made);
    return made;
  }

  #open(number: number): Bucket | undefined {
    const table = new KeyTable();
    if (this.#directory === undefined) return { table, log: undefined };
    if (this.#latestMs < this.#reopenAtMs) return undefined;
    try {
      const log = openReplayLog(this.#directory, number, this.#maxEntries);
      this.#deleteOldFiles(this.#directory);
      return { table, log };
    } catch (error) {
      this.#reopenAtMs = this.#latestMs + REOPEN_AFTER_MS;
      this.#full(number, causeOf(error));
      return undefined;
    }
  }

  #deleteOldFiles(directory: string): void {
    const firstKept = (this.#latestMs - WINDOW_MS - FILE_SLACK_MS) / BUCKET_MS - 1;
    try {
      deleteReplayLogs(directory, firstKept);
    } catch {
      // The directory cannot be listed: old files stay, and nothing is lost by that.
    }
  }

  #add(table: KeyTable, words: Uint32Array, at: number): void {
    table.add(words, at);
    this.#size += 1;
  }

  #hasRoom(): boolean {
    if (this.#size >= this.#maxEntries) this.#forgetOld();
    return this.#size < this.#maxEntries;
  }

  /** Whole buckets: nobody accepts any of their proofs again. */
  #forgetOld(): void {
    for (const [number, { table, log }] of this.#buckets) {
      if ((number + 1) * BUCKET_MS + WINDOW_MS > this.#latestMs) continue;
      log?.close();
      this.#buckets.delete(number);
      this.#size -= table.size;
      this.#said.clear();
    }
  }

  #full(number: number, cause: string): "full" {
    const key = `${number} ${cause}`;
    if (!this.#said.has(key)) {
      if (this.#said.size >= 64) this.#said.clear();
      this.#said.add(key);
      const where = this.#directory === undefined ? {} : { directory: this.#directory };
      this.#log.error("calls with a proof are refused: whether it was used before is not known", {
        cause,
        ...where,
      });
    }
    return "full";
  }
}

/** Ours, or an errno. Not the message of a foreign error. */
function causeOf(error: unknown): string {
  if (error instanceof ReplayLogFault) return error.message;
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "unknown error";
}

/** Makes a guard. No file is touched before the first proof. */
export function createReplayGuard(options: ReplayGuardOptions = {}): ReplayGuard {
  return new BucketedGuard(options);
}
