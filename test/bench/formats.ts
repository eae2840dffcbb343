// node test/bench/formats.ts [--rounds 5] [--events 50000]      what a format costs, beside JSON.stringify of the same events
// CPU time, so that what else runs on the machine counts little; median of the rounds. Needs `pnpm build`.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type SealedEvent, unseal } from "@countersign/model";

interface Format {
  readonly version: string;
  line(event: SealedEvent): Uint8Array | undefined;
}

const root = join(import.meta.dirname, "..", "..");
const { FORMATS } = (await import(
  join(root, "packages", "processor", "dist", "formats", "formats.js")
)) as { readonly FORMATS: Readonly<Record<string, Format>> };

function argument(name: string, preset: number): number {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? preset : Number(process.argv[at + 1]);
}

const rounds = argument("rounds", 5);
const count = argument("events", 50_000);

/** The contract's chain: a decision with one check, one with two, an outcome, and the emitter's own. */
const chain = readFileSync(join(root, "packages/model/src/testdata/chain.jsonl"), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => unseal(Buffer.from(line)));

const mixes: Readonly<Record<string, readonly SealedEvent[]>> = {
  "decision and outcome": chain.slice(2, 4),
  "decision, two checks": chain.slice(4, 5),
  "every kind once": chain,
};

const peer: Format = {
  version: "JSON.stringify",
  line: ({ event }) => Buffer.from(JSON.stringify(event), "utf8"),
};

/** CPU µs an event, and bytes a line. */
function measure(format: Format, events: readonly SealedEvent[]): readonly [number, number] {
  let bytes = 0;
  const before = process.cpuUsage();
  for (let index = 0; index < count; index += 1) {
    bytes += format.line(events[index % events.length] as SealedEvent)?.length ?? 0;
  }
  const { user, system } = process.cpuUsage(before);
  return [(user + system) / count, bytes / count];
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
}

const formats = [peer, ...Object.values(FORMATS)];
const lines = [
  "| Events | Format | CPU an event | bytes a line | ratio |",
  "|---|---|---|---|---|",
];
for (const [mix, events] of Object.entries(mixes)) {
  for (const format of formats) measure(format, events);
  const figures = formats.map(() => [] as (readonly [number, number])[]);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, format] of formats.entries()) figures[index]?.push(measure(format, events));
  }
  const medians = figures.map((all) => median(all.map(([us]) => us)));
  for (const [index, { version }] of formats.entries()) {
    const us = medians[index] as number;
    const size = figures[index]?.[0]?.[1] ?? 0;
    const ratio = (us / (medians[0] as number)).toFixed(2);
    lines.push(`| ${mix} | ${version} | ${us.toFixed(2)} µs | ${size.toFixed(0)} | ${ratio} × |`);
  }
}
process.stdout.write(`${lines.join("\n")}\n`);
