// pnpm bench --pipeline [--only P3,P4] [--row TEXT] [--reps 3] [--scale 1] [--gzip on|off|both] [--cpu-prof DIR] [--json]
// pnpm bench --pipeline --saturation [--long]      memory and event-loop delay with 64 senders; --long: a million items
//
// Countersign and the OpenTelemetry Collector, one after another in the same run, on the same bodies.
import { parseArgs } from "node:util";
import type { Bench, Sample } from "./measure.ts";
import { machineLine, tables } from "./report.ts";
import { isAsShipped, ROWS, type Row, type Scenario, SCENARIOS } from "./rows.ts";
import { type Saturation, saturate, saturationTable } from "./saturation.ts";
import {
  destination,
  findPrograms,
  jobOf,
  measureRow,
  possible,
  setScene,
  stockUp,
  versionsOf,
} from "./scene.ts";

const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: SCENARIOS.join(",") },
    row: { type: "string", default: "" },
    reps: { type: "string", default: "3" },
    scale: { type: "string", default: "1" },
    gzip: { type: "string" },
    concurrency: { type: "string" },
    "cpu-prof": { type: "string" },
    saturation: { type: "boolean", default: false },
    long: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const SATURATING_SENDERS = 64;
/** So many times the usual rounds are a million items. */
const LONG = { P3: 4, P4: 8, P5: 1 } as const;
const wanted = options.only.split(",") as Scenario[];
const compressions =
  { on: [true], off: [false], both: [false, true] }[
    options.gzip ?? (options.saturation ? "off" : "both")
  ] ?? [];

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function job(scenario: Scenario, gzip: boolean) {
  const senders = options.concurrency ?? (options.saturation ? SATURATING_SENDERS : 8);
  const scale = Number(options.scale) * (options.long ? LONG[scenario] : 1);
  return jobOf(scenario, { gzip, scale, concurrency: Number(senders) });
}

/** Rounds turn the order, so that no row always runs on a warm or a busy machine. */
async function measureAll(bench: Bench, rows: readonly Row[]): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const scenario of new Set(rows.map((row) => row.scenario))) {
    const own = rows.filter((row) => row.scenario === scenario);
    const stock = scenario === "P5" ? await stockUp(bench, job(scenario, false)) : undefined;
    for (const gzip of compressions) {
      for (let rep = 0; rep < Number(options.reps); rep += 1) {
        const turn = rep % own.length;
        for (const row of [...own.slice(turn), ...own.slice(0, turn)]) {
          const sample = await measureRow(bench, row, { job: job(scenario, gzip), stock });
          samples.push(sample);
          say(JSON.stringify(sample));
        }
      }
    }
  }
  return samples;
}

async function saturateAll(bench: Bench, rows: readonly Row[]): Promise<Saturation[]> {
  const found: Saturation[] = [];
  for (const row of rows) {
    for (const gzip of compressions) {
      const to = await destination(bench, row.scenario);
      const one = await saturate({ bench, row, job: job(row.scenario, gzip), ...to });
      found.push(one);
      say(JSON.stringify(one));
    }
  }
  return found;
}

const asked = ROWS.filter(
  (row) =>
    wanted.includes(row.scenario) &&
    row.name.includes(options.row) &&
    (!options.saturation || (row.scenario !== "P5" && isAsShipped(row))),
);
const programs = findPrograms(wanted);
const rows = possible(asked, programs);
for (const scenario of wanted) {
  const has = (product: Row["product"]): boolean =>
    rows.some((row) => row.scenario === scenario && row.product === product);
  const missing = [
    ...(has("countersign") ? [] : ["countersign"]),
    ...(has("otelcol") || options.saturation ? [] : ["the Collector"]),
  ];
  if (missing.length > 0) say(`${scenario}: not measured here: ${missing.join(" and ")}`);
}
await using bench = await setScene(programs, options["cpu-prof"]);
const machine = machineLine(versionsOf(programs));
if (options.saturation) {
  const found = await saturateAll(bench, rows);
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ machine, found })}\n`
      : `${machine}\n\n${saturationTable(found)}\n`,
  );
} else {
  const samples = await measureAll(bench, rows);
  process.stdout.write(
    options.json
      ? `${JSON.stringify({ machine, samples })}\n`
      : `${machine}\n\n${tables(samples, rows)}\n`,
  );
}
