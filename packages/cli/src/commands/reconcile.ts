import type { SinkReconciliation } from "@countersign/processor";
import { type Command, Option } from "commander";
import { type Choose, example } from "../command.ts";
import { durationFlag, serviceConfig, timeFlag } from "../delivery-flags.ts";
import { EXIT } from "../exit.ts";
import { untilSignal } from "../signals.ts";
import { shown, type Terminal } from "../terminal.ts";

interface Flags {
  readonly config: string;
  readonly exporter?: string;
  readonly pipeline?: string;
  readonly since?: number;
  readonly until?: number;
  readonly patience?: number;
  readonly json?: true;
}

/** `countersign reconcile`: was everything delivered? */
export function addReconcile(program: Command, choose: Choose): void {
  program
    .command("reconcile")
    .summary("compare the log with the receipts, and with the sinks")
    .description(
      "Compares every place of the log with the receipts of each sink (counts and Merkle roots are made anew), and asks the sinks " +
        "that can be asked whether they have the events. Says what is missing, and exits 1 then. What the service has not reached " +
        "yet is pending; with --until nothing is.",
    )
    .requiredOption("--config <file>", "the service's configuration")
    .option("--exporter <id>", "only this sink")
    .option("--pipeline <id>", "the pipeline, when several lead to the exporter")
    .addOption(new Option("--since <time>", "events of this time or later").argParser(timeFlag))
    .addOption(new Option("--until <time>", "events before this time").argParser(timeFlag))
    .addOption(
      new Option("--patience <time>", "longest time for a sink's answer (default: 5m)").argParser(
        durationFlag,
      ),
    )
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      example(
        "countersign reconcile --config kafka.yaml",
        "countersign reconcile --config kafka.yaml --exporter elasticsearch/main --since 2d --until 1h --json",
      ),
    )
    .action((flags: Flags) => choose((terminal) => reconcileSinks(flags, terminal)));
}

async function reconcileSinks(flags: Flags, terminal: Terminal): Promise<number> {
  const config = await serviceConfig(flags.config);
  const { loggersOf, reconcile } = await import("@countersign/processor");
  const { signal, dispose } = untilSignal();
  try {
    const { exporter, pipeline, since, until, patience } = flags;
    const found = await reconcile(
      {
        config,
        logger: loggersOf(process.env),
        ...(exporter === undefined ? {} : { exporter }),
        ...(pipeline === undefined ? {} : { pipeline }),
        ...(since === undefined ? {} : { fromMs: since }),
        ...(until === undefined ? {} : { untilMs: until }),
        ...(patience === undefined ? {} : { patienceMs: patience }),
      },
      signal,
    );
    if (flags.json) terminal.out(JSON.stringify(found, undefined, 2));
    else for (const line of found.sinks.flatMap(linesOf)) terminal.out(shown(line));
    return found.ok ? EXIT.done : EXIT.failed;
  } finally {
    dispose();
  }
}

/** One line a sink, and below it what is missing, by place. */
function linesOf(sink: SinkReconciliation): string[] {
  const { receipts, asked, extra = 0, duplicated = 0 } = sink;
  const also = [
    `${receipts.right} receipts right`,
    ...count(receipts.wrong, "wrong"),
    ...count(receipts.unchecked, "not checked"),
    ...count(sink.pending, "pending"),
    ...count(sink.deadLettered, "dead-lettered"),
    ...count(extra, "extra in the sink"),
    ...count(duplicated, "twice in the sink"),
    asked ? "the sink was asked" : "the sink cannot be asked",
  ];
  return [
    `${sink.sink}: ${sink.missing} missing of ${sink.events} (${also.join(", ")})`,
    ...sink.gaps.map(
      ({ partition, first, last, events }) =>
        `  no receipt: ${sink.log} ${partition}:${first}-${last} (${events})`,
    ),
    ...sink.wrong.map((range) => `  wrong receipt: ${sink.log} ${range}`),
    ...sink.absentEvents.map(
      ({ id, partition, offset }) =>
        `  not in the sink: ${id} (${sink.log} ${partition}:${offset})`,
    ),
    ...sink.extraIds.map((id) => `  not in the log: ${id}`),
  ];
}

const count = (number: number, what: string): string[] =>
  number === 0 ? [] : [`${number} ${what}`];
