import { setTimeout as delay } from "node:timers/promises";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Choose, example, journalOption } from "../command.ts";
import { decisionLine } from "../decision-line.ts";
import { CliError, describe, EXIT } from "../exit.ts";
import { unlistable } from "../input.ts";
import { untilSignal } from "../signals.ts";
import type { DecisionSource, TailedDecision } from "../tail/source.ts";
import type { Terminal } from "../terminal.ts";

interface Flags {
  readonly journal?: string;
  readonly url?: string;
  readonly follow: boolean;
  readonly lines: number;
  readonly json?: true;
}

const MAX_LINES = 200;
const RECONNECT_MS = 2_000;

/** `countersign tail`: decisions as they are made. */
export function addTail(program: Command, choose: Choose): void {
  program
    .command("tail")
    .summary("follow decisions, a line each")
    .description(
      "Follows decisions as one readable line each: what this machine's journal holds (until it is shipped and " +
        "released), or with --url everything that a processor archived.",
    )
    .addOption(journalOption().conflicts("url"))
    .option("--url <url>", "the console's address, with the token that the service printed")
    .addOption(
      new Option("--lines <count>", "how many past decisions to begin with")
        .default(10)
        .argParser(lineCount),
    )
    .option("--no-follow", "end after the past ones")
    .option("--json", "print JSON lines")
    .addHelpText(
      "after",
      example("countersign tail", "countersign tail --url 'http://127.0.0.1:4180/?token=…' --json"),
    )
    .action((flags: Flags) => choose((terminal) => tail(flags, terminal)));
}

function lineCount(text: string): number {
  if (!/^\d{1,3}$/.test(text) || Number(text) > MAX_LINES) {
    throw new InvalidArgumentError(`0 to ${MAX_LINES}.`);
  }
  return Number(text);
}

async function tail(flags: Flags, terminal: Terminal): Promise<number> {
  const source = await openSource(flags, terminal);
  const print = (decisions: readonly TailedDecision[]): void => {
    for (const { summary, json } of decisions) {
      terminal.out(flags.json ? JSON.stringify(json) : decisionLine(summary));
    }
  };
  const past = await source.past(flags.lines);
  if (flags.lines > 0) print(past);
  if (!flags.follow) return EXIT.done;
  const { signal, dispose } = untilSignal();
  try {
    while (!signal.aborted) {
      await source.follow(print, signal).catch(async (error: unknown) => {
        if (signal.aborted) return;
        terminal.err(`countersign tail: ${describe(error)}; trying again`);
        await delay(RECONNECT_MS, undefined, { signal }).catch(() => {});
      });
    }
  } finally {
    dispose();
  }
  return EXIT.done;
}

async function openSource(flags: Flags, terminal: Terminal): Promise<DecisionSource> {
  if (flags.url !== undefined) {
    const { consoleSource } = await import("../tail/console-source.ts");
    return consoleSource(flags.url);
  }
  const { journalSource } = await import("../tail/journal-source.ts");
  const { journalDirectory } = await import("@countersign/server/doctor");
  const directory = flags.journal ?? journalDirectory(process.env);
  const code = unlistable(directory);
  if (code !== undefined) unreadable(directory, code, { flags, terminal });
  return journalSource(directory);
}

/** The first decision makes the directory, so its absence is a mistake only where somebody named it and wants what is in it. */
function unreadable(
  directory: string,
  code: string,
  { flags: { follow, journal }, terminal }: { flags: Flags; terminal: Terminal },
): void {
  if (code !== "ENOENT") {
    throw new CliError(
      EXIT.noInput,
      `tail: this user cannot read the journal ${directory} (${code})`,
    );
  }
  const what = `tail: there is no journal at ${directory}`;
  if (follow) terminal.err(`countersign ${what} yet; waiting for the first decision`);
  else if (journal !== undefined) {
    throw new CliError(EXIT.noInput, `${what}; check --journal or COUNTERSIGN_JOURNAL`);
  }
}
