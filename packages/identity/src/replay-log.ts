import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  type Stats,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { KEY_WORDS } from "./replay-table.ts";

/** Words of 32 bits in one record: key (4), writer (2), bucket, check. 32 bytes, so that none lies across two pages. */
export const RECORD_WORDS = 8;
const RECORD_BYTES = 4 * RECORD_WORDS;
const WRITER_AT = KEY_WORDS;
const BUCKET_AT = WRITER_AT + 2;
const CHECK_AT = BUCKET_AT + 1;
const CHECK_SEED = 0x43_53_52_31;
const CHUNK_BYTES = 64 * 1024;
/** Each process that is shown a used proof for the first time leaves a record as well. */
const RECORDS_PER_ENTRY = 2;
const FILE_NAME = /^(\d{1,12})\.replay$/;
/** Absent on Windows, where a link cannot be made without rights. */
const NO_FOLLOW = (constants.O_NOFOLLOW as number | undefined) ?? 0;
const OPEN_FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | NO_FOLLOW;

/** Why the record cannot be kept: a few words of ours or an errno, fit for a log line. */
export class ReplayLogFault extends Error {}

/** What the reader of a log does with a key. `isNew`: it is known not to be there. False: there is no room for it. */
export type Admit = (words: Uint32Array, at: number, isNew: boolean) => boolean;

/**
 * One bucket's file: the processes of this machine agree by it who used a proof first. Each appends a record of its own by
 * one write (`O_APPEND`: the kernel orders them), then reads what it has not read yet. The first record with a key owns it.
 */
export class ReplayLog {
  readonly #fd: number;
  readonly #bucket: number;
  readonly #maxBytes: number;
  readonly #chunk = new Uint32Array(CHUNK_BYTES / 4);
  #offset = 0;
  /** What is in the file can no longer be trusted or held. Stays so until the bucket is over. */
  #fault: string | undefined;

  constructor(fd: number, bucket: number, maxBytes: number) {
    this.#fd = fd;
    this.#bucket = bucket;
    this.#maxBytes = maxBytes;
  }

  /**
   * Appends `record` (key and writer are filled in; `admit` has not seen the key) and says whether it is the first with its key. All keys found go to `admit`.
   * @throws ReplayLogFault, or what `node:fs` throws: it is not known who was first
   */
  claim(record: Uint32Array, admit: Admit): boolean {
    if (this.#fault !== undefined) throw new ReplayLogFault(this.#fault);
    record[BUCKET_AT] = this.#bucket;
    record[CHECK_AT] = checkOf(record, 0);
    const bytes = new Uint8Array(record.buffer, record.byteOffset, RECORD_BYTES);
    if (writeSync(this.#fd, bytes, 0, RECORD_BYTES, null) !== RECORD_BYTES) {
      throw this.#broken("a record was written in part");
    }
    // Deleted under us: others would start a new one, and nobody would see what we write.
    if (fstatSync(this.#fd).nlink === 0) throw this.#broken("the file was deleted");
    return this.#readOn(record, admit);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #readOn(record: Uint32Array, admit: Admit): boolean {
    let first: boolean | undefined;
    for (let read = CHUNK_BYTES; read === CHUNK_BYTES;) {
      read = readSync(this.#fd, this.#chunk, 0, CHUNK_BYTES, this.#offset);
      // Anything after the last whole record is being written right now, and so comes after ours.
      const whole = Math.floor(read / RECORD_BYTES);
      for (let at = 0; at < whole * RECORD_WORDS; at += RECORD_WORDS) {
        const decides = first === undefined && sameWords(this.#chunk, at, record, KEY_WORDS);
        if (decides) first = sameWords(this.#chunk, at, record, BUCKET_AT);
        this.#accept(at, admit, decides);
      }
      this.#offset += whole * RECORD_BYTES;
    }
    if (first === undefined) throw this.#broken("the own record is not in the file");
    return first;
  }

  #accept(at: number, admit: Admit, isNew: boolean): void {
    const chunk = this.#chunk;
    if (chunk[CHECK_AT + at] !== checkOf(chunk, at) || chunk[BUCKET_AT + at] !== this.#bucket) {
      throw this.#broken("a record is damaged");
    }
    if (this.#offset + 4 * at >= this.#maxBytes || !admit(chunk, at, isNew)) {
      throw this.#broken("the file holds too much");
    }
  }

  #broken(what: string): ReplayLogFault {
    this.#fault = what;
    return new ReplayLogFault(what);
  }
}

/** Opens the file of a bucket, and makes it if it is not there. @throws ReplayLogFault, or what `node:fs` throws */
export function openReplayLog(directory: string, bucket: number, maxEntries: number): ReplayLog {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const place = lstatSync(directory);
  if (!place.isDirectory()) throw new ReplayLogFault("the directory is no directory");
  if (!isPrivate(place)) throw new ReplayLogFault("the directory is not private (0700, own)");
  const fd = openSync(join(directory, `${bucket}.replay`), OPEN_FLAGS, 0o600);
  try {
    const file = fstatSync(fd);
    if (!file.isFile()) throw new ReplayLogFault("the file is no file");
    if (!isPrivate(file)) throw new ReplayLogFault("the file is not private (0600, own)");
    const maxBytes = RECORDS_PER_ENTRY * maxEntries * RECORD_BYTES;
    if (file.size > maxBytes) throw new ReplayLogFault("the file holds too much");
    return new ReplayLog(fd, bucket, maxBytes);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Deletes the files of all buckets before `firstKept`. What cannot be deleted now will be the next time. */
export function deleteReplayLogs(directory: string, firstKept: number): void {
  for (const name of readdirSync(directory)) {
    const bucket = FILE_NAME.exec(name)?.[1];
    if (bucket === undefined || Number(bucket) >= firstKept) continue;
    try {
      unlinkSync(join(directory, name));
    } catch {
      // Another process was quicker, or nobody may: an old file harms nobody.
    }
  }
}

/** Nobody but this process's account can put a record there, or take one away. */
function isPrivate({ uid, mode }: Stats): boolean {
  const own = process.geteuid?.();
  return own === undefined || (uid === own && (mode & 0o077) === 0);
}

function sameWords(a: Uint32Array, at: number, b: Uint32Array, count: number): boolean {
  for (let word = 0; word < count; word += 1) {
    if (a[at + word] !== b[word]) return false;
  }
  return true;
}

/** Murmur3 (32 bit) over all words before the check: finds what was torn or overwritten; who forges has the account already. */
function checkOf(words: Uint32Array, at: number): number {
  let hash = CHECK_SEED;
  for (let word = 0; word < CHECK_AT; word += 1) {
    const mixed = Math.imul(words[at + word] as number, 0xcc_9e_2d_51);
    hash ^= Math.imul((mixed << 15) | (mixed >>> 17), 0x1b_87_35_93);
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6_54_6b_64) | 0;
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85_eb_ca_6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2_b2_ae_35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
