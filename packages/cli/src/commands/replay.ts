import type { Replay, ReplaySummary, Selection } from "@countersign/processor";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Choose, example } from "../command.ts";
import { durationFlag, serviceConfig, timeFlag } from "../delivery-flags.ts";
import { CliError, EXIT } from "../exit.ts";
import { untilSignal } from "../signals.ts";
import type { Terminal } from "../terminal.ts";

interface Flags {
  readonly config: string;
  readonly exporter: string;
  readonly pipeline?: string;
  readonly since?: number;
  readonly until?: number;
  readonly offsets?: Selection["offsets"];
  readonly emitter?: string;
  readonly epoch?: string;
  readonly dryRun?: true;
  readonly allowDuplicates?: true;
  readonly patience?: number;
  readonly json?: true;
}

/** `countersign replay`: sends a part of the log again to one exporter. */
export function addReplay(program: Command, choose: Choose): void {
  program
    .command("replay")
    .summary("send a part of the log again to one exporter")
    .description(
      "Reads the log that feeds an exporter (Kafka or the archive) beside the running service, through the processors of its " +
        "pipeline, and sends again. A sink that can be asked is asked first, and gets only what it does not have. No position of " +
        "the service is touched. Exits 1 when something was dead-lettered.",
    )
    .requiredOption("--config <file>", "the service's configuration")
    .requiredOption("--exporter <id>", "where to: an exporter behind a log")
    .option("--pipeline <id>", "the pipeline, when several lead to the exporter")
    .addOption(new Option("--since <time>", "events of this time or later").argParser(timeFlag))
    .addOption(new Option("--until <time>", "events before this time").argParser(timeFlag))
    .addOption(
      new Option("--offsets <P:FIRST-LAST...>", "places of the log, ends included")
        .argParser(offsetsFlag)
        .conflicts(["since", "until", "emitter"]),
    )
    .option("--emitter <id>", "the chain of one emitter")
    .option("--epoch <n>", "one epoch of it: its number, or its id")
    .option("--dry-run", "read and ask only, and say what would be sent")
    .option("--allow-duplicates", "send to a sink that can not tell what it has")
    .addOption(
      new Option("--patience <time>", "longest time for a batch (default: 5m)").argParser(
        durationFlag,
      ),
    )
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      example(
        "countersign replay --config kafka.yaml --exporter elasticsearch/main --since 2026-11-29T10:00:00Z --until 2026-11-29T12:00:00Z",
        "countersign replay --config kafka.yaml --exporter splunk_hec/soc --offsets 5:88210-88950 --dry-run",
        "countersign replay --config kafka.yaml --exporter file/siem --emitter tickets-7f3a --epoch 12",
      ),
    )
    .action((flags: Flags, command: Command) => {
      if (flags.epoch !== undefined && flags.emitter === undefined)
        command.error("error: --epoch is one of an emitter: give --emitter <id>");
      const some = [flags.since, flags.until, flags.offsets, flags.emitter];
      if (some.every((one) => one === undefined))
        command.error("error: say what: --since and --until, --offsets, or --emitter");
      choose((terminal) => replay(flags, terminal));
    });
}

/** Each `P:FIRST-LAST`, or `P:OFFSET`; several by repetition, or with commas. */
function offsetsFlag(text: string, before: Selection["offsets"] = []): Selection["offsets"] {
  const found = text.split(",").map((part) => {
    const match = /^(\d{1,6}):(\d{1,18})(?:-(\d{1,18}))?$/.exec(part.trim());
    if (match === null) throw new InvalidArgumentError("PARTITION:FIRST-LAST, as 5:88210-88950.");
    const first = BigInt(match[2] as string);
    return {
      partition: Number(match[1]),
      first,
      last: match[3] === undefined ? first : BigInt(match[3]),
    };
  });
  return [...before, ...found];
}

async function replay(flags: Flags, terminal: Terminal): Promise<number> {
  const config = await serviceConfig(flags.config);
  const { loggersOf, prepareReplay } = await import("@countersign/processor");
  const { signal, dispose } = untilSignal();
  try {
    const prepared = await prepareReplay(
      {
        config,
        exporter: flags.exporter,
        selection: selectionOf(flags),
        logger: loggersOf(process.env),
        dryRun: flags.dryRun === true,
        ...(flags.pipeline === undefined ? {} : { pipeline: flags.pipeline }),
        ...(flags.patience === undefined ? {} : { patienceMs: flags.patience }),
      },
      signal,
    );
    try {
      return await run(prepared, flags, { terminal, signal });
    } finally {
      await prepared.close();
    }
  } finally {
    dispose();
  }
}

function selectionOf({ since, until, offsets, emitter, epoch }: Flags): Selection {
  return {
    ...(since === undefined ? {} : { fromMs: since }),
    ...(until === undefined ? {} : { untilMs: until }),
    ...(offsets === undefined ? {} : { offsets }),
    ...(emitter === undefined ? {} : { emitter }),
    ...(epoch === undefined ? {} : { epoch }),
  };
}

async function run(
  prepared: Replay,
  flags: Flags,
  { terminal, signal }: { terminal: Terminal; signal: AbortSignal },
): Promise<number> {
  const { log, pipeline, asks, duplicates, places } = prepared;
  const how = asks
    ? "the sink is asked first and gets what it does not have"
    : duplicates
      ? "the sink can not tell what it has: what is there will be there twice"
      : "the sink keeps one of each event";
  terminal.err(
    `${flags.dryRun ? "Would replay" : "Replays"} from ${log} through ${pipeline} to ${flags.exporter}, up to ${places} places; ${how}.`,
  );
  if (duplicates && flags.dryRun !== true && flags.allowDuplicates !== true) {
    throw new CliError(
      EXIT.usage,
      `replay: ${flags.exporter} would get duplicates; give --allow-duplicates if that is wanted`,
    );
  }
  const summary = await prepared.run(signal, (_so, looked) => {
    if (terminal.interactive) process.stderr.write(`\r${looked} of ${places} places`);
  });
  if (terminal.interactive) terminal.err("");
  print(summary, flags, terminal);
  return summary.deadLettered > 0 ? EXIT.failed : EXIT.done;
}

function print(summary: ReplaySummary, flags: Flags, terminal: Terminal): void {
  if (flags.json) return terminal.out(JSON.stringify(summary));
  const { read, alreadyThere, sent, deadLettered, filtered, dryRun } = summary;
  terminal.out(
    `${read} read, ${filtered} filtered, ${alreadyThere} already there, ${sent} ${dryRun ? "to send" : "sent"}, ${deadLettered} dead-lettered`,
  );
}
