import type { LetterFilter, LetterGroup, StoredLetter } from "@countersign/processor";
import { type Command, Option } from "commander";
import { type Choose, example } from "../command.ts";
import { durationFlag, serviceConfig, timeFlag } from "../delivery-flags.ts";
import { CliError, EXIT } from "../exit.ts";
import { untilSignal } from "../signals.ts";
import { shown, table, type Terminal } from "../terminal.ts";

type ServiceConfig = Awaited<ReturnType<typeof serviceConfig>>;

interface Flags {
  readonly config: string;
  readonly sink?: string;
  readonly reason?: string;
  readonly since?: number;
  readonly until?: number;
  readonly json?: true;
  readonly dryRun?: true;
  readonly patience?: number;
  readonly withValue?: true;
}

/** `countersign dlq`: dead letters, looked at and sent again. */
export function addDlq(program: Command, choose: Choose): void {
  const dlq = program
    .command("dlq")
    .summary("look at dead letters, and send them again")
    .description(
      "Dead letters, wherever the configuration keeps them (`service.dead_letter`: a Kafka topic or files): looked at beside the " +
        "running service, and sent again to the sinks that refused them. None is ever deleted.",
    );
  addList(dlq, choose);
  addShow(dlq, choose);
  addRedrive(dlq, choose);
}

function addList(dlq: Command, choose: Choose): void {
  filtered(dlq.command("list"))
    .summary("count them by reason, component and sink")
    .description(
      "Counts dead letters by reason, component and sink, with the time of the first and the last, and an id for `dlq show`.",
    )
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      example(
        "countersign dlq list --config kafka.yaml",
        "countersign dlq list --config kafka.yaml --sink elasticsearch/main --since 2d --json",
      ),
    )
    .action((flags: Flags) => choose((terminal) => list(flags, terminal)));
}

function addShow(dlq: Command, choose: Choose): void {
  dlq
    .command("show")
    .summary("show one of them")
    .description(
      "Shows one dead letter: why, who refused it, where it stood. Its content only when asked for.",
    )
    .argument("<id>", "<partition>:<offset> of the topic, or <file>:<line>")
    .requiredOption("--config <file>", "the service's configuration")
    .option("--with-value", "also the original: it is somebody's data")
    .option("--json", "print the result as JSON")
    .addHelpText("after", example("countersign dlq show 0:412 --config kafka.yaml --with-value"))
    .action((id: string, flags: Flags) => choose((terminal) => show(id, flags, terminal)));
}

function addRedrive(dlq: Command, choose: Choose): void {
  filtered(dlq.command("redrive"))
    .summary("send them again to the sinks that refused them")
    .description(
      "Sends dead letters again to the sinks that refused them; one that can be asked is asked first. Each is marked then and not " +
        "sent by the next redrive. Exits 1 when one is refused again: there is a new letter of it.",
    )
    .option("--dry-run", "say what would be sent")
    .addOption(
      new Option("--patience <time>", "longest time for a batch (default: 5m)").argParser(
        durationFlag,
      ),
    )
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      example(
        "countersign dlq redrive --config kafka.yaml --sink elasticsearch/main --reason mapper_parsing_exception",
      ),
    )
    .action((flags: Flags) => choose((terminal) => redriveLetters(flags, terminal)));
}

function filtered(command: Command): Command {
  return command
    .requiredOption("--config <file>", "the service's configuration")
    .option("--sink <id>", "only those that this exporter refused")
    .option("--reason <reason>", "only those of this reason")
    .addOption(new Option("--since <time>", "letters of this time or later").argParser(timeFlag))
    .addOption(new Option("--until <time>", "letters before this time").argParser(timeFlag));
}

function filterOf({ sink, reason, since, until }: Flags): LetterFilter {
  return {
    ...(sink === undefined ? {} : { sink }),
    ...(reason === undefined ? {} : { reason }),
    ...(since === undefined ? {} : { fromMs: since }),
    ...(until === undefined ? {} : { untilMs: until }),
  };
}

/** No letters of a sink are good news, unless there is no such sink. One that was removed may still have letters. */
function requireSink({ sink }: Flags, letters: number, { exporters }: ServiceConfig): void {
  if (sink === undefined || letters > 0 || exporters.has(sink)) return;
  const known = [...exporters.keys()].join(", ");
  throw new CliError(
    EXIT.usage,
    `dlq: there is no exporter ${sink}, and no letter of one; known: ${known}`,
  );
}

async function list(flags: Flags, terminal: Terminal): Promise<number> {
  const config = await serviceConfig(flags.config);
  const { listLetters } = await import("@countersign/processor");
  const { signal, dispose } = untilSignal();
  try {
    const found = await listLetters(config, filterOf(flags), signal);
    requireSink(flags, found.letters, config);
    if (flags.json) terminal.out(JSON.stringify(found, undefined, 2));
    else {
      const head = [
        "OPEN",
        "REDRIVEN",
        "REASON",
        "COMPONENT",
        "SINK",
        "FIRST",
        "LAST",
        "ID OF LAST",
      ];
      if (found.groups.length > 0)
        for (const line of table([head, ...found.groups.map(row)])) terminal.out(line);
      terminal.err(`${found.open} open, ${found.redriven} sent again`);
    }
    return EXIT.done;
  } finally {
    dispose();
  }
}

function row({ open, redriven, reason, component, sink, ...rest }: LetterGroup): string[] {
  const { first, last, newest } = rest;
  return [String(open), String(redriven), reason, component, sink ?? "-", first, last, newest].map(
    shown,
  );
}

async function show(id: string, flags: Flags, terminal: Terminal): Promise<number> {
  const config = await serviceConfig(flags.config);
  const { showLetter } = await import("@countersign/processor");
  const { signal, dispose } = untilSignal();
  try {
    const { letter, redriven } = await showLetter(config, id, signal);
    const lines = { ...metadata(letter), redriven, ...valueOf(letter, flags.withValue === true) };
    if (flags.json) terminal.out(JSON.stringify(lines, undefined, 2));
    else
      for (const line of table(
        Object.entries(lines).map(([name, value]) => [name, shown(String(value))]),
      ))
        terminal.out(line);
    return EXIT.done;
  } finally {
    dispose();
  }
}

function metadata({ bytes: _bytes, place, ...letter }: StoredLetter): object {
  return {
    ...letter,
    ...(place === undefined ? {} : { place: `${place.log} ${place.partition}:${place.offset}` }),
  };
}

/** As text whose every control and invisible character is written out. */
function valueOf({ bytes }: StoredLetter, wanted: boolean): object {
  if (bytes === undefined) return { value: "not kept" };
  if (!wanted) return { value: `${bytes.length} bytes; --with-value shows them` };
  return { value: shown(Buffer.from(bytes).toString("utf8")) };
}

async function redriveLetters(flags: Flags, terminal: Terminal): Promise<number> {
  const config = await serviceConfig(flags.config);
  const { loggersOf, redrive } = await import("@countersign/processor");
  const { signal, dispose } = untilSignal();
  try {
    const summary = await redrive(
      {
        config,
        filter: filterOf(flags),
        dryRun: flags.dryRun === true,
        logger: loggersOf(process.env),
        ...(flags.patience === undefined ? {} : { patienceMs: flags.patience }),
      },
      signal,
    );
    requireSink(flags, summary.read, config);
    if (flags.json) terminal.out(JSON.stringify(summary));
    else {
      const { read, sent, alreadyThere, refusedAgain, redriven, notRedrivable, dryRun } = summary;
      terminal.out(
        `${read} letters: ${sent} ${dryRun ? "to send" : "sent"}, ${alreadyThere} already there, ${refusedAgain} refused again, ` +
          `${redriven} sent again earlier, ${notRedrivable} that no sink refused or whose original was not kept`,
      );
    }
    return summary.refusedAgain > 0 ? EXIT.failed : EXIT.done;
  } finally {
    dispose();
  }
}
