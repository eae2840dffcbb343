import { setTimeout as delay } from "node:timers/promises";
import type { Command } from "commander";
import { type Choose, example, journalOption } from "../command.ts";
import { CliError, describe, EXIT, exitCodeOf } from "../exit.ts";
import { unlistable } from "../input.ts";
import { untilSignal } from "../signals.ts";
import type { Terminal } from "../terminal.ts";

interface Flags {
  readonly journal?: string;
  readonly otlp?: string;
  readonly tenant?: string;
  readonly once?: true;
  readonly json?: true;
}

const ROUND_MS = 60_000;

/** `countersign ship`: drains what any process left in the journal. */
export function addShip(program: Command, choose: Choose): void {
  program
    .command("ship")
    .summary("ship what processes that are gone left in the journal")
    .description(
      "Ships to a processor what processes that are gone left in a journal, in order, under a lease, and deletes what was " +
        "acknowledged; living ones ship their own. Headers and certificates as for guard: OTEL_EXPORTER_OTLP_LOGS_HEADERS and so on. " +
        "Exits 0 when nothing is left, 1 when something is (unreadable records: see journal verify), 69 when the processor cannot be reached.",
    )
    .addOption(journalOption())
    .option("--otlp <url>", "the processor's OTLP/HTTP receiver (COUNTERSIGN_OTLP_ENDPOINT)")
    .option("--tenant <id>", "only epochs of this tenant")
    .option("--once", "one round, then end; else a round every minute until a signal")
    .option("--json", "print the result as JSON")
    .addHelpText(
      "after",
      example(
        "countersign ship --journal /var/lib/countersign/journal --otlp http://127.0.0.1:4318 --once",
      ),
    )
    .action((flags: Flags) => choose((terminal) => ship(flags, terminal)));
}

async function ship(flags: Flags, terminal: Terminal): Promise<number> {
  const endpoint = flags.otlp ?? process.env["COUNTERSIGN_OTLP_ENDPOINT"];
  if (endpoint === undefined || endpoint === "") {
    throw new CliError(EXIT.usage, "ship: where to? Give --otlp or COUNTERSIGN_OTLP_ENDPOINT");
  }
  const { journalDirectory } = await import("@countersign/server/doctor");
  const directory = flags.journal ?? journalDirectory(process.env);
  const code = unlistable(directory);
  if (code !== undefined) {
    throw new CliError(EXIT.noInput, `ship: cannot read the journal ${directory} (${code})`);
  }
  const { signal, dispose } = untilSignal();
  try {
    for (;;) {
      const exitCode = await round({ flags, directory, endpoint, signal }, terminal);
      if (flags.once || exitCode === EXIT.failed) return exitCode;
      await delay(ROUND_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return EXIT.done;
    }
  } finally {
    dispose();
  }
}

interface Round {
  readonly flags: Flags;
  readonly directory: string;
  readonly endpoint: string;
  readonly signal: AbortSignal;
}

async function round(what: Round, terminal: Terminal): Promise<number> {
  const { flags, directory, endpoint, signal } = what;
  const { listEpochs, shipAll } = await import("@countersign/journal");
  const { shipOptions } = await import("@countersign/gate");
  let shipped = 0;
  let exitCode: number = EXIT.done;
  try {
    shipped = await shipAll({
      directory,
      ship: shipOptions(endpoint, process.env),
      signal,
      ...(flags.tenant === undefined ? {} : { tenant: flags.tenant }),
    });
  } catch (error) {
    if (signal.aborted) return EXIT.interrupted;
    terminal.err(`countersign ship: ${describe(error)}`);
    exitCode = exitCodeOf(error);
  }
  const epochs = await listEpochs(directory);
  const left = epochs.filter(({ live, segments }) => !live && segments > 0).length;
  const held = epochs.filter(({ live }) => live).length;
  if (flags.json) terminal.out(JSON.stringify({ shipped, epochsLeft: left, epochsHeld: held }));
  else
    terminal.out(
      `${shipped} events shipped; ${left} epochs left, ${held} held by living processes`,
    );
  return exitCode === EXIT.done && left > 0 && flags.tenant === undefined ? EXIT.failed : exitCode;
}
