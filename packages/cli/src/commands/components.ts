import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { EXIT } from "../exit.ts";
import { table, type Terminal } from "../terminal.ts";

interface Flags {
  readonly json?: true;
}

/** `countersign components`: what this build contains. */
export function addComponents(program: Command, choose: Choose): void {
  program
    .command("components")
    .summary("list what this build contains")
    .description("Lists the components of this build: kind, type, stability, one line each.")
    .option("--json", "print the list as JSON, with each component's configuration schema")
    .addHelpText("after", example("countersign components --json"))
    .action((flags: Flags) => choose((terminal) => components(flags, terminal)));
}

async function components(flags: Flags, terminal: Terminal): Promise<number> {
  const { describeComponents } = await import("@countersign/processor");
  const list = describeComponents();
  if (flags.json) {
    terminal.out(JSON.stringify(list, undefined, 2));
    return EXIT.done;
  }
  const rows = list.map(({ kind, type, stability, summary }) => [kind, type, stability, summary]);
  for (const line of table([["KIND", "TYPE", "STABILITY", "WHAT IT DOES"], ...rows])) {
    terminal.out(line);
  }
  return EXIT.done;
}
