import { neutralise } from "@countersign/model";

/** Where a command's text goes: results on stdout, everything else on stderr (contract: command line). */
export interface Terminal {
  /** One line of the result. */
  out(line: string): void;
  /** One line for the person: progress, notes, failures. */
  err(line: string): void;
  /** Whether a person is looking: progress is for them only. */
  readonly interactive: boolean;
  readonly columns: number;
}

/** The process's own streams. A reader that has gone away (EPIPE) ends output quietly, as `head` expects. */
export function processTerminal(): Terminal {
  process.stdout.on("error", ignoreClosedPipe);
  process.stderr.on("error", ignoreClosedPipe);
  return {
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
    interactive: process.stderr.isTTY,
    columns: process.stdout.columns ?? 100,
  };
}

function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}

/** Text of strangers, fit for a terminal: no control or invisible character survives. */
export function shown(text: string): string {
  return neutralise(text);
}

/** Columns padded to the widest cell; the last one is not padded. Every row has as many cells as the first. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => (row[column] ?? "").length)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
