// What stands around a row: the programs, the broker, the far end, and the bodies.
import { execFileSync } from "node:child_process";
import { gzipSync } from "node:zlib";
import { findService } from "../../services/find.ts";
import { type KafkaCluster, startKafka } from "../../services/kafka-broker.ts";
import { asideOf, receiptsOf, spanAudit, topicAudit } from "./audits.ts";
import { startFarEnd } from "./far-end-process.ts";
import { canPin, pinCommand } from "./kernel.ts";
import {
  type Audit,
  type Bench,
  type Job,
  measurePull,
  measurePush,
  type Sample,
  type Stock,
  warmRounds,
} from "./measure.ts";
import { commandOf, ROWS, type Row, type Scenario } from "./rows.ts";
import { requestBodies } from "./sealed-events.ts";
import { traceBodies } from "./span-bodies.ts";

const HARNESS_CORE = 1;

const SHAPES = {
  P3: { bodies: 32, itemsPerBody: 200, rounds: 40 },
  P4: { bodies: 64, itemsPerBody: 100, rounds: 20 },
  P5: { bodies: 64, itemsPerBody: 100, rounds: 16 },
} as const;

/** Programs that are here. What is missing has been said in a line. */
export interface Programs {
  readonly otelcol: string | undefined;
  readonly kafka: string | undefined;
}

/** `OTELCOL` is the Collector's path; else it is looked for as every service of the tests is. */
export function findPrograms(scenarios: readonly Scenario[]): Programs {
  const isAlone = scenarios.every((one) => one === "P3");
  return {
    otelcol: process.env["OTELCOL"] ?? binary("otelcol"),
    kafka: isAlone ? undefined : binary("kafka"),
  };
}

function binary(name: string): string | undefined {
  const found = findService(name);
  return found?.kind === "binary" ? found.path : undefined;
}

/** Which rows can be measured with these programs and this build. */
export function possible(rows: readonly Row[], { otelcol, kafka }: Programs): readonly Row[] {
  const hasHec =
    rows.some(({ scenario }) => scenario === "P5") && components().includes("splunk_hec");
  return rows.filter(
    ({ scenario, product }) =>
      (product === "countersign" || otelcol !== undefined) &&
      (scenario === "P3" || kafka !== undefined) &&
      (scenario !== "P5" || product === "otelcol" || hasHec),
  );
}

function components(): string {
  const [node, cli] = commandOf({ product: "countersign", env: {}, config: "" }, "");
  return execFileSync(node as string, [cli as string, "components"], { encoding: "utf8" });
}

/** Versions of the programs, for the line above a table. */
export function versionsOf({ otelcol, kafka }: Programs): string[] {
  const peer =
    otelcol === undefined
      ? []
      : [execFileSync(otelcol, ["--version"], { encoding: "utf8" }).trim()];
  return [...peer, ...(kafka === undefined ? [] : ["one Kafka broker, 3 partitions, acks = all"])];
}

/** Everything that was started, to be disposed of. */
export interface Scene extends Bench, AsyncDisposable {}

/** Moves this process, and so what it starts, to a core of their own; starts the far end and, where a row needs it, a broker. */
export async function setScene(programs: Programs, profileTo: string | undefined): Promise<Scene> {
  if (canPin) {
    const [command, ...args] = pinCommand(HARNESS_CORE, process.pid);
    execFileSync(command as string, args, { stdio: "ignore" });
  }
  const farEnd = await startFarEnd();
  const cluster =
    programs.kafka === undefined ? undefined : await startKafka(programs.kafka, { nodes: 1 });
  return {
    farEnd,
    cluster,
    commandOf: (row) => commandOf(row, programs.otelcol ?? "", profileTo),
    [Symbol.asyncDispose]: async () => {
      await farEnd.stop();
      await cluster?.dispose();
    },
  };
}

/** The bodies of a scenario; `scale` times the usual number of rounds. */
export function jobOf(
  scenario: Scenario,
  of: { readonly gzip: boolean; readonly scale: number; readonly concurrency: number },
): Job {
  const { bodies, itemsPerBody, rounds } = SHAPES[scenario];
  const plain = (scenario === "P3" ? traceBodies : requestBodies)(bodies, itemsPerBody);
  return {
    bodies: of.gzip ? plain.map((body) => gzipSync(body)) : plain,
    itemsPerBody,
    rounds: Math.max(1, Math.round(rounds * of.scale)),
    gzip: of.gzip,
    concurrency: of.concurrency,
  };
}

/** A fresh topic where the scenario has one, and how to count what arrives. */
export async function destination(
  bench: Bench,
  scenario: Scenario,
): Promise<{ readonly topic: string; readonly audit: Audit }> {
  if (scenario === "P3") return { topic: "", audit: spanAudit(bench.farEnd) };
  const cluster = bench.cluster as KafkaCluster;
  const topic = `bench-${Date.now()}`;
  await cluster.topic({ name: topic, partitions: 3 });
  for (const name of [asideOf(topic), receiptsOf(topic)]) await cluster.topic({ name });
  return { topic, audit: topicAudit(cluster, topic) };
}

/** P5's topic, filled as users' are: by P4. */
export async function stockUp(bench: Bench, job: Job): Promise<Stock> {
  const to = await destination(bench, "P4");
  const row = ROWS.find((one) => one.scenario === "P4") as Row;
  await measurePush({ bench, row, job: { ...job, gzip: false }, ...to });
  const times = job.rounds + warmRounds(job);
  return { topic: to.topic, ids: job.bodies.length * job.itemsPerBody, times };
}

/** One run of one row. */
export async function measureRow(
  bench: Bench,
  row: Row,
  of: { readonly job: Job; readonly stock: Stock | undefined },
): Promise<Sample> {
  const { job, stock } = of;
  if (stock !== undefined) return measurePull({ bench, row, stock, gzip: job.gzip });
  return measurePush({ bench, row, job, ...(await destination(bench, row.scenario)) });
}
