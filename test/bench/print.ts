import type { IdentityFigure, IdentityTarget } from "./identity.ts";

/** One line of the bench of call proofs. */
export interface IdentityRow extends IdentityFigure {
  readonly name: IdentityTarget;
}

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

export function printIdentity(rows: readonly IdentityRow[]): void {
  const ratios = (row: IdentityRow, peerName: string): string => {
    const peer = rows.find((other) => other.name === peerName);
    if (peer === undefined || peer === row) return "";
    const keys = ["cpuUs", "p50Us", "at16Us"] as const;
    return keys.map((key) => (row[key] / peer[key]).toFixed(2)).join(" · ");
  };
  const lines = [
    "One ES256 signature, made or verified: by node:crypto, by WebCrypto, in a whole call proof. Warm caches; medians.",
    "",
    "| What | CPU | p50 | one of 16 at a time | × node:crypto | × WebCrypto |",
    "|---|---|---|---|---|---|",
    ...rows.map((row) => {
      const kind = row.name.includes("verify") ? "verify" : "sign";
      const figures = [row.cpuUs, row.p50Us, row.at16Us].map((value) => figure(value, "µs"));
      const peers = [ratios(row, `node-${kind}`), ratios(row, `webcrypto-${kind}`)];
      return `| ${[row.name, ...figures, ...peers].join(" | ")} |`;
    }),
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}
