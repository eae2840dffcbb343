// Looks at every byte of a journal from outside, and says what is wrong where. Changes nothing and takes no lease. Stricter than
// recovery, which reads on as far as it can: here each frame must follow the one before, and each event must name its hash.
import { join, relative } from "node:path";
import { sha256Hex, unseal } from "@countersign/model";
import { isEmitter } from "./emitter.ts";
import { type EndRecord, readEnd } from "./end-record.ts";
import { decodeFrame, findFrame, HEADER_MAGIC } from "./frames.ts";
import { type JournalFs, nodeFs, systemCode } from "./fs.ts";
import {
  emitterDirectory,
  epochDirectory,
  listOrNone,
  listSegments,
  segmentPath,
} from "./layout.ts";
import { isHeld } from "./lease.ts";
import { readRange } from "./read-range.ts";
import { parseHeader } from "./segment.ts";
import { readCursor } from "./ship/cursor.ts";

/** Larger files are not ours: a segment ends at some MiB. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;
const OF_ANOTHER_KIND: ReadonlySet<string | undefined> = new Set(["EISDIR", "ENOTDIR", "ELOOP"]);
const EPOCH_NAME = /^\d{10}$/;
const OURS_IN_EPOCH = /^(\d{8}\.wal|cursor|end|lease\.\d{1,9}|.*\.tmp)$/;

/** Something found. `corrupt`: bytes that were durable are not what they were. `torn`, `foreign`, `unknown`: no harm to records. */
export interface JournalFinding {
  readonly kind: "corrupt" | "torn" | "foreign" | "unknown";
  /** Relative to the journal's directory. */
  readonly file: string;
  readonly offset: number;
  /** What is wrong, without any content. */
  readonly what: string;
}

/** What was looked at, and found. */
export interface JournalVerification {
  readonly epochs: number;
  readonly segments: number;
  readonly records: number;
  readonly bytes: number;
  readonly findings: readonly JournalFinding[];
}

/** Verifies all epochs of all emitters. Rejects with the system error of what cannot be read. */
export async function verifyJournal(
  directory: string,
  fs: JournalFs = nodeFs,
): Promise<JournalVerification> {
  const verification = new Verification(fs, directory);
  await verification.run();
  return verification;
}

interface ChainState {
  epoch: string | undefined;
  next: number | undefined;
  prev: string | undefined;
}

class Verification implements JournalVerification {
  epochs = 0;
  segments = 0;
  records = 0;
  bytes = 0;
  readonly findings: JournalFinding[] = [];
  readonly #fs: JournalFs;
  readonly #directory: string;

  constructor(fs: JournalFs, directory: string) {
    this.#fs = fs;
    this.#directory = directory;
  }

  async run(): Promise<void> {
    for (const name of (await this.#fs.list(this.#directory)).toSorted()) {
      const path = emitterDirectory(this.#directory, name);
      const isDirectory = (await this.#fs.info(path))?.directory === true;
      if (isEmitter(name) && isDirectory) await this.#emitter(path, name);
      else if (name !== "_emitter") this.#find("foreign", path, 0, "not the journal's");
    }
  }

  async #emitter(path: string, emitter: string): Promise<void> {
    for (const name of (await listOrNone(this.#fs, path)).toSorted()) {
      if (!EPOCH_NAME.test(name)) {
        if (name !== "reserve") this.#find("foreign", join(path, name), 0, "not the journal's");
        continue;
      }
      const epoch = epochDirectory(path, Number(name));
      await this.#unlessForeign(epoch, () => this.#epoch(epoch, emitter, Number(name)));
    }
  }

  /** Directories where files should be, files where directories should be, links: they are not the journal's. */
  async #unlessForeign(path: string, look: () => Promise<void>): Promise<void> {
    try {
      await look();
    } catch (error) {
      const code = systemCode(error);
      if (!OF_ANOTHER_KIND.has(code)) throw error;
      this.#find("foreign", path, 0, `not what the journal puts there (${code})`);
    }
  }

  async #epoch(path: string, emitter: string, number: number): Promise<void> {
    if ((await this.#fs.info(path))?.directory !== true) {
      return this.#find("foreign", path, 0, "not a directory");
    }
    this.epochs += 1;
    const names = await listOrNone(this.#fs, path);
    for (const name of names.filter((each) => !OURS_IN_EPOCH.test(each)).toSorted()) {
      this.#find("foreign", join(path, name), 0, "not the journal's");
    }
    const live = await isHeld(this.#fs, path);
    const acknowledged = names.includes("cursor") ? await this.#cursor(path) : 0;
    const end = await readEnd(this.#fs, path);
    if (names.includes("end") && end === undefined) {
      this.#find("corrupt", join(path, "end"), 0, "unreadable: how the epoch ended is not known");
    }
    const indexes = await listSegments(this.#fs, path);
    const chain: ChainState = { epoch: end?.epoch, next: undefined, prev: undefined };
    for (const [at, index] of indexes.entries()) {
      const before = indexes[at - 1];
      const expected = before === undefined ? index : before + 1;
      if (expected !== index) this.#missing(segmentPath(path, expected), acknowledged, chain);
      const last = at === indexes.length - 1;
      const segment = { path: segmentPath(path, index), emitter, number, index, last, live };
      await this.#unlessForeign(segment.path, () => this.#segment(segment, chain));
    }
    this.#checkEnd(path, end, chain, acknowledged);
    if (!live && acknowledged > (chain.next ?? acknowledged)) {
      this.#find("corrupt", join(path, "cursor"), 0, "it says that more was shipped than there is");
    }
  }

  async #cursor(path: string): Promise<number> {
    let acknowledged = 0;
    const cursor = join(path, "cursor");
    await this.#unlessForeign(cursor, async () => {
      acknowledged = (await readCursor(this.#fs, path)) ?? 0;
      if (acknowledged > 0) return;
      this.#find("corrupt", cursor, 0, "unreadable: what it says was shipped is shipped again");
    });
    return acknowledged;
  }

  #missing(path: string, acknowledged: number, chain: ChainState): void {
    if (acknowledged <= (chain.next ?? 0)) this.#find("corrupt", path, 0, "a segment is missing");
    chain.next = chain.prev = undefined;
  }

  #checkEnd(
    path: string,
    end: EndRecord | undefined,
    chain: ChainState,
    acknowledged: number,
  ): void {
    if (end === undefined || chain.next === undefined || end.end === "corrupt") return;
    // After a fault more may be there than callers were told of.
    if (chain.next <= end.seq && acknowledged <= end.seq) {
      const what = `records up to ${end.seq} were durable, and the last is ${chain.next - 1}`;
      this.#find("corrupt", join(path, "end"), 0, what);
    }
  }

  async #segment(segment: SegmentPlace, chain: ChainState): Promise<void> {
    const bytes = await this.#read(segment.path);
    if (bytes === undefined) return;
    this.segments += 1;
    this.bytes += bytes.length;
    const header = this.#header(segment, bytes, chain);
    if (header === "leave") return;
    let at = header;
    for (;;) {
      const frame = decodeFrame(bytes, at);
      if (typeof frame === "object") {
        this.#record(segment.path, { at, ...frame }, chain);
        at = frame.end;
        continue;
      }
      if (at >= bytes.length) return;
      const next = findFrame(bytes, at + 1);
      if (next === undefined) return this.#tail(segment, at, bytes.length);
      this.#find("corrupt", segment.path, at, `${next - at} bytes before a valid record are none`);
      chain.next = chain.prev = undefined;
      at = next;
    }
  }

  #tail({ path, last, live }: SegmentPlace, at: number, size: number): void {
    const bytes = `${size - at} bytes at the end are no record`;
    if (!last) this.#find("corrupt", path, at, `${bytes}, and later segments follow`);
    // A living process may be in the middle of writing them.
    else if (!live)
      this.#find(
        "torn",
        path,
        at,
        `${bytes}: a write that nobody was told of, or a record that was`,
      );
  }

  /** Where records begin. */
  #header(segment: SegmentPlace, bytes: Buffer, chain: ChainState): number | "leave" {
    const frame = decodeFrame(bytes, 0, HEADER_MAGIC);
    if (typeof frame !== "object") {
      const torn = segment.last && findFrame(bytes, 0) === undefined;
      if (!torn) this.#find("corrupt", segment.path, 0, "the segment's header is unreadable");
      return 0;
    }
    const header = parseHeader(frame.body);
    if (header === "other") {
      this.#find("unknown", segment.path, 0, "written by another version; not looked at");
      return "leave";
    }
    if (header === undefined) {
      this.#find("corrupt", segment.path, 0, "a valid checksum, and no header of a segment");
      return frame.end;
    }
    const { emitter, epochNumber, segment: index, epoch, firstSeq, prev } = header;
    const place =
      emitter === segment.emitter && epochNumber === segment.number && index === segment.index;
    if (!place || (chain.epoch ?? epoch) !== epoch) {
      this.#find("corrupt", segment.path, 0, "the header belongs to another place");
    }
    const follows = (chain.next ?? firstSeq) === firstSeq && (chain.prev ?? prev) === prev;
    if (!follows) this.#find("corrupt", segment.path, 0, "it does not follow the segment before");
    Object.assign(chain, { epoch, next: firstSeq, prev });
    return frame.end;
  }

  #record(
    path: string,
    frame: { readonly at: number; readonly seq: number; readonly body: Uint8Array },
    chain: ChainState,
  ): void {
    const wrong = (what: string): void => this.#find("corrupt", path, frame.at, what);
    this.records += 1;
    try {
      const { event } = unseal(frame.body);
      const said = (event.data as { chain: { epoch: string; seq: number; prev: string } }).chain;
      if (said.seq !== frame.seq) wrong("the frame has another number than its event");
      else if ((chain.next ?? frame.seq) !== frame.seq)
        wrong(`number ${frame.seq} follows ${(chain.next ?? 0) - 1}`);
      else if ((chain.prev ?? said.prev) !== said.prev)
        wrong(`number ${frame.seq} names another event before it`);
      if ((chain.epoch ?? said.epoch) !== said.epoch) wrong("an event of another epoch");
      chain.epoch ??= said.epoch;
    } catch {
      wrong("a valid checksum, and no valid event");
    }
    chain.next = frame.seq + 1;
    chain.prev = sha256Hex(frame.body);
  }

  async #read(path: string): Promise<Buffer | undefined> {
    const file = await this.#fs.open(path, "read");
    try {
      const size = await file.size();
      if (size > MAX_FILE_BYTES) {
        this.#find("foreign", path, 0, `larger than any segment (${size} bytes)`);
        return undefined;
      }
      return await readRange(file, 0, size);
    } finally {
      await file.close();
    }
  }

  #find(kind: JournalFinding["kind"], path: string, offset: number, what: string): void {
    this.findings.push({ kind, file: relative(this.#directory, path), offset, what });
  }
}

interface SegmentPlace {
  readonly path: string;
  readonly emitter: string;
  readonly number: number;
  readonly index: number;
  readonly last: boolean;
  readonly live: boolean;
}
