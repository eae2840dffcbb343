// Samples as Markdown tables, each row beside its peers of the same run.
import { cpus, release } from "node:os";
import { percentile } from "../workload.ts";
import { canPin } from "./kernel.ts";
import type { Sample } from "./measure.ts";
import type { Row } from "./rows.ts";

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

/** What every table of figures has to say about where they come from. */
export function machineLine(versions: readonly string[]): string {
  const [first] = cpus();
  return [
    `${cpus().length} cores (${first?.model.trim() ?? "unknown"}), Linux ${release()}`,
    `Node ${process.versions.node}`,
    ...versions,
    canPin ? "target on core 0, bench and broker on core 1" : "nothing pinned: no taskset here",
  ].join("; ");
}

/** One table for each scenario, with and without gzip. */
export function tables(samples: readonly Sample[], rows: readonly Row[]): string {
  const parts: string[] = [];
  for (const scenario of new Set(rows.map((row) => row.scenario))) {
    for (const gzip of [false, true]) {
      const own = samples.filter((one) => one.scenario === scenario && one.gzip === gzip);
      if (own.length === 0) continue;
      parts.push(`### ${scenario}, ${gzip ? "gzip" : "no compression"}`, table(own, rows), "");
    }
  }
  return parts.join("\n");
}

function table(samples: readonly Sample[], rows: readonly Row[]): string {
  const lines = [
    "| | items per CPU second: min / median / max | µs CPU an item | peak MB | load | CPU s of others | ratio of medians |",
    "|---|---|---|---|---|---|---|",
  ];
  for (const row of rows) {
    const own = of(samples, row);
    if (own.length === 0) continue;
    const rates = own.map(({ itemsPerCpuS }) => itemsPerCpuS);
    const spread = [0, 0.5, 1].map((share) => whole.format(percentile(rates, share)));
    lines.push(
      `| ${[
        row.name,
        `${spread[0]} / **${spread[1]}** / ${spread[2]}`,
        percentile(
          own.map((one) => one.usPerItem),
          0.5,
        ).toFixed(1),
        Math.max(...own.map(({ peakMb }) => peakMb)),
        own.map((one) => one.load1.toFixed(1)).join(" "),
        own.map((one) => one.othersCpuS.toFixed(1)).join(" "),
        row.product === "countersign" ? ratios(row, samples, rows) : "",
      ].join(" | ")} |`,
    );
  }
  return lines.join("\n");
}

function of(samples: readonly Sample[], { scenario, name }: Row): Sample[] {
  return samples.filter((sample) => sample.scenario === scenario && sample.row === name);
}

function medianRate(samples: readonly Sample[]): number {
  return percentile(
    samples.map(({ itemsPerCpuS }) => itemsPerCpuS),
    0.5,
  );
}

function isPeer({ scenario, product, group, beside }: Row, peer: Row): boolean {
  if (peer.scenario !== scenario) return false;
  return beside === undefined
    ? peer.product !== product && peer.group === group
    : peer.name === beside;
}

function ratios(row: Row, samples: readonly Sample[], rows: readonly Row[]): string {
  const rate = medianRate(of(samples, row));
  return rows
    .filter((peer) => isPeer(row, peer))
    .flatMap((peer) => {
      const measured = of(samples, peer);
      if (measured.length === 0) return [];
      return [`${(rate / medianRate(measured)).toFixed(2)} × ${peer.name}`];
    })
    .join("; ");
}
