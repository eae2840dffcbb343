/** One line of the bench: what something costs beyond the plain SDK (or direct connection) of the same run. */
export interface Row {
  readonly what: string;
  readonly group: string;
  readonly name: string;
  readonly cpuUs?: number;
  readonly p50Us?: number;
  readonly heapBytesPerCall?: number;
  readonly startUpMs?: number;
  /** The row of the same group that this one is compared with. */
  readonly peer?: string | undefined;
}

function figure(value: number | undefined, unit: string): string {
  return value === undefined ? "–" : `${value.toFixed(value < 10 ? 1 : 0)} ${unit}`;
}

function ratio(row: Row, rows: readonly Row[]): string {
  const peer = rows.find((other) => other.group === row.group && other.name === row.peer);
  if (peer === undefined) return "";
  const key = (["cpuUs", "startUpMs", "p50Us"] as const).find((name) => row[name] !== undefined);
  if (key === undefined) return "";
  return `${((row[key] as number) / (peer[key] as number)).toFixed(2)} × ${peer.name}`;
}

export function printTable(floorUs: number, rows: readonly Row[]): void {
  const lines = [
    `One fdatasync of 1.3 KB, alone: ${figure(floorUs, "µs")}. Everything else is beyond the plain SDK of the same round; medians.`,
    "",
    "| What | CPU a call | p50 | p50 less one fdatasync | retained | start-up | ratio |",
    "|---|---|---|---|---|---|---|",
    ...rows.map((row) => {
      const ours = row.name.startsWith("countersign") || row.name === "guard";
      const rest = ours && row.p50Us !== undefined ? figure(row.p50Us - floorUs, "µs") : "";
      const cells = [
        row.what,
        figure(row.cpuUs, "µs"),
        figure(row.p50Us, "µs"),
        rest,
        figure(row.heapBytesPerCall, "B"),
        figure(row.startUpMs, "ms"),
        ratio(row, rows),
      ];
      return `| ${cells.join(" | ")} |`;
    }),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
