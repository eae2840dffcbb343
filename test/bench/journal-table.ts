// Figures of the journal beside what they are held to.
import { loadavg } from "node:os";
import type { RecoveryFigures } from "./journal-recovery.ts";
import { median } from "./workload.ts";

/** What a slice of time brought. */
export interface Slice {
  readonly perSecond: number;
  readonly cpuUs: number;
  /** Of an append, or of one fdatasync. */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly perSync: number;
}

/** Slices in turns: the one of a round beside the other. */
export interface CommitFigures {
  readonly raw: readonly Slice[];
  readonly journal: readonly Slice[];
}

/** Memory after a tenth of a long run, collected. */
export interface Tenth {
  readonly residentMib: number;
  readonly heapMib: number;
}

interface Figures {
  readonly commit: CommitFigures;
  readonly memory: readonly Tenth[];
  readonly recovery: RecoveryFigures;
}

/** A table in Markdown, and the load under which it was measured. */
export function journalTable({ commit, memory, recovery }: Figures): string {
  const load = loadavg().map((each) => each.toFixed(1));
  return [
    "| | journal | bare disk | ratio | aim |",
    "|---|---|---|---|---|",
    ...commitLines(commit),
    ...recoveryLines(recovery),
    memoryLine(memory),
    "",
    `Load ${load.join(" ")}.`,
  ].join("\n");
}

function row(...cells: readonly (string | number)[]): string {
  const shown = cells.map((cell) => (typeof cell === "number" ? cell.toFixed(0) : cell));
  return `| ${shown.join(" | ")} |`;
}

function middle(slices: readonly Slice[], key: keyof Slice): number {
  return median(slices.map((each) => each[key]));
}

function commitLines({ raw, journal }: CommitFigures): string[] {
  const ratio = (how: (journal: Slice, raw: Slice) => number): number =>
    median(journal.map((each, round) => how(each, raw[round] as Slice)));
  const outside = ratio((one, bare) => one.cpuUs - (bare.cpuUs * bare.perSync) / one.perSync);
  return [
    row(
      `durable decisions a second, 64 callers (${middle(journal, "perSync").toFixed(0)} a sync)`,
      middle(journal, "perSecond"),
      middle(raw, "perSecond"),
      ratio((one, bare) => one.perSecond / bare.perSecond).toFixed(2),
      "0.8",
    ),
    row(
      "µs until an append is durable, p99, beside the median fdatasync",
      middle(journal, "p99Us"),
      middle(raw, "p50Us"),
      ratio((one, bare) => one.p99Us / bare.p50Us).toFixed(2),
      "3",
    ),
    row(
      "the same, beside the p99 of an fdatasync",
      middle(journal, "p99Us"),
      middle(raw, "p99Us"),
      ratio((one, bare) => one.p99Us / bare.p99Us).toFixed(2),
      "",
    ),
    row(
      "the same, p50",
      middle(journal, "p50Us"),
      middle(raw, "p50Us"),
      ratio((one, bare) => one.p50Us / bare.p50Us).toFixed(2),
      "",
    ),
    row("µs of CPU an event", middle(journal, "cpuUs"), middle(raw, "cpuUs"), "", ""),
    row("µs of CPU an event, without writes and syncs", outside, "", "", "60"),
  ];
}

function recoveryLines({ gib, records, cold, cached }: RecoveryFigures): string[] {
  const what = `ms to read back ${gib} GiB, ${records} records`;
  return [
    row(
      `${what}, from the disk`,
      cold.scanMs,
      cold.readMs,
      (cold.scanMs / cold.readMs).toFixed(2),
      "2",
    ),
    row(
      `${what}, cached`,
      cached.scanMs,
      cached.readMs,
      (cached.scanMs / cached.readMs).toFixed(2),
      "",
    ),
  ];
}

function memoryLine(memory: readonly Tenth[]): string {
  const shown = [memory[1], memory[4], memory.at(-1)] as Tenth[];
  const resident = shown.map(({ residentMib }) => residentMib.toFixed(0)).join(" / ");
  const heap = shown.map(({ heapMib }) => heapMib.toFixed(1)).join(" / ");
  return row("MiB resident after a fifth, a half, all", resident, "", `heap ${heap}`, "flat");
}
