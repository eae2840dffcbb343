// What strace saw of a process with a journal, read as a witness: before a tool ran, had a sync that succeeded begun after the write that
// holds its decision? Knows nothing of the journal but where frames begin and where a number is in one.
interface Write {
  readonly firstSeq: number;
  synced: boolean;
}

interface Pending {
  readonly call: string;
  readonly path: string;
  readonly seq: number | undefined;
  /** What a sync would make durable, if it succeeds. */
  readonly covers: readonly Write[];
}

/** What the log says. */
export interface Testimony {
  /** Calls that strace failed. */
  readonly injected: number;
  /** Times that the tool ran. */
  readonly ran: number;
  /** Numbers of decisions whose tool ran and which no sync had; empty. */
  readonly unsynced: readonly number[];
}

const LINE =
  /^(\d+) +(?:(write|fdatasync)\(\d+<([^>]*\.wal)>(?:, "((?:\\x[0-9a-f]{2})+)")?|<\.\.\. (\w+) resumed>)/;
const RESULT = / = (-?\d+)/;
const MARK = /^\d+ +utimensat\(.*?\{tv_sec=(\d+)/;
/** Of a frame that holds a record: `FF "CSE"`; its number is at 8. */
const RECORD = "\\xff\\x43\\x53\\x45";

/** Reads a log of `strace -f -y -x`, in which the tool sets a file's time to the number of its decision. */
export function testimonyOf(log: string): Testimony {
  const pending = new Map<string, Pending>();
  const writes = new Map<string, Write[]>();
  const unsynced: number[] = [];
  let current = "";
  let ran = 0;
  for (const line of log.split("\n")) {
    const mark = MARK.exec(line);
    if (mark !== null) {
      ran += 1;
      const seq = Number(mark[1]);
      const write = writes.get(current)?.findLast(({ firstSeq }) => firstSeq <= seq);
      if (write?.synced !== true) unsynced.push(seq);
      continue;
    }
    const found = LINE.exec(line);
    if (found === null) continue;
    const [, pid = "", call, path = "", bytes, resumed] = found;
    const epoch = path.slice(0, path.lastIndexOf("/"));
    if (call !== undefined) {
      pending.set(pid, { call, path, seq: seqOf(bytes), covers: [...(writes.get(epoch) ?? [])] });
    }
    const done = pending.get(pid);
    if (line.includes("<unfinished ...>") || done === undefined) continue;
    if (call === undefined && resumed !== done.call) continue;
    pending.delete(pid);
    if (Number(RESULT.exec(line)?.[1] ?? -1) < 0) continue;
    if (done.call === "fdatasync") for (const write of done.covers) write.synced = true;
    else if (done.seq !== undefined) {
      current = done.path.slice(0, done.path.lastIndexOf("/"));
      writes.set(current, [...(writes.get(current) ?? []), { firstSeq: done.seq, synced: false }]);
    }
  }
  return { injected: log.split("(INJECTED)").length - 1, ran, unsynced };
}

function seqOf(bytes: string | undefined): number | undefined {
  if (bytes === undefined || !bytes.startsWith(RECORD)) return undefined;
  return Number.parseInt(bytes.replaceAll("\\x", "").slice(16, 32), 16);
}
