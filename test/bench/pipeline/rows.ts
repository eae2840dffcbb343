// What is measured beside what: a row is a program with a configuration.
import { join } from "node:path";

/** P3: traces, redacted. P4: sealed events into Kafka. P5: out of Kafka into Splunk HEC. */
export const SCENARIOS = ["P3", "P4", "P5"] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** One line of the table. */
export interface Row {
  readonly scenario: Scenario;
  readonly product: "countersign" | "otelcol";
  readonly name: string;
  readonly config: string;
  readonly env: Readonly<Record<string, string>>;
  /** Ratios are to peers of the same group, or of the scenario where there is none: the same promise to a sender. */
  readonly group?: string;
  /** Ratios are to this row instead, whoever it is of. */
  readonly beside?: string;
}

const NODE_TUNED = { BENCH_NODE_FLAGS: "--initial-old-space-size=512" };
const GO_TUNED = { GOGC: "400" };
/** As `deploy/Dockerfile` starts it: a young generation that stays small. */
const NODE_IN_IMAGE = { BENCH_NODE_FLAGS: "--max-semi-space-size=16" };

/** A row whose memory is looked at under many senders: as it comes, or as in the image. */
export function isAsShipped({ product, env }: Row): boolean {
  const flags = env["BENCH_NODE_FLAGS"];
  return (
    product === "countersign" && (flags === undefined || flags === NODE_IN_IMAGE.BENCH_NODE_FLAGS)
  );
}

/** As it comes, and with a heap that may grow before the collector of garbage looks at it. */
function bothWays(row: Row): Row[] {
  const [what, more] =
    row.product === "countersign" ? ["heap 512 MB", NODE_TUNED] : ["GOGC=400", GO_TUNED];
  return [row, { ...row, name: `${row.name}, ${what}`, env: { ...row.env, ...more } }];
}

const P3: Row[] = (["sync", "queue"] as const).flatMap((group) => {
  const env = { BENCH_QUEUE: String(group === "queue") };
  const row = { scenario: "P3", env, group } as const;
  return [
    ...bothWays({
      ...row,
      product: "countersign",
      name: `countersign ${group}`,
      config: "p3.yaml",
    }),
    ...bothWays({
      ...row,
      product: "otelcol",
      name: `otelcol ${group}`,
      config: "p3-otelcol.yaml",
    }),
  ];
});

const P4: Row[] = [
  {
    scenario: "P4",
    product: "countersign",
    name: "countersign, as in the image",
    config: "p4.yaml",
    env: NODE_IN_IMAGE,
  },
  ...bothWays({
    scenario: "P4",
    product: "countersign",
    name: "countersign",
    config: "p4.yaml",
    env: {},
  }),
  ...bothWays({
    scenario: "P4",
    product: "otelcol",
    name: "otelcol, parses and hashes",
    config: "p4-otelcol-check.yaml",
    env: {},
  }),
  ...bothWays({
    scenario: "P4",
    product: "otelcol",
    name: "otelcol, blind",
    config: "p4-otelcol-blind.yaml",
    env: {},
  }),
];

const P5_PEER = { scenario: "P5", product: "otelcol" } as const;
const P5: Row[] = [
  ...bothWays({
    scenario: "P5",
    product: "countersign",
    name: "countersign",
    config: "p5.yaml",
    env: {},
  }),
  {
    scenario: "P5",
    product: "countersign",
    name: "countersign, another sink down",
    config: "p5-sink-down.yaml",
    env: {},
    beside: "countersign",
  },
  {
    ...P5_PEER,
    name: "otelcol, at least once",
    config: "p5-otelcol.yaml",
    env: { BENCH_ENCODING: "json" },
  },
  {
    ...P5_PEER,
    name: "otelcol, at least once, text",
    config: "p5-otelcol.yaml",
    env: { BENCH_ENCODING: "text" },
  },
  {
    ...P5_PEER,
    name: "otelcol, may lose, text, GOGC=400",
    config: "p5-otelcol-queue.yaml",
    env: { BENCH_ENCODING: "text", ...GO_TUNED },
  },
];

export const ROWS: readonly Row[] = [...P3, ...P4, ...P5];

const CLI = join(import.meta.dirname, "../../../packages/cli/bin/countersign.js");

/** The command of a row; this product as users run it, from what `pnpm build` made. `otelcol` is the Collector's program. */
export function commandOf(
  row: Pick<Row, "product" | "env" | "config">,
  otelcol: string,
  profileTo?: string,
): readonly string[] {
  const config = ["--config", join(import.meta.dirname, row.config)];
  if (row.product === "otelcol") return [otelcol, ...config];
  const profile = profileTo === undefined ? [] : ["--cpu-prof", `--cpu-prof-dir=${profileTo}`];
  const flags = row.env["BENCH_NODE_FLAGS"]?.split(" ") ?? [];
  return [process.execPath, ...profile, ...flags, CLI, "processor", ...config];
}
