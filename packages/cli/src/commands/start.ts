import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { CliError, EXIT } from "../exit.ts";
import type { Terminal } from "../terminal.ts";

interface Flags {
  readonly once?: true;
  readonly state?: string;
  readonly url?: string;
  readonly json?: true;
}

/** `countersign start`: the demonstration. */
export function addStart(program: Command, choose: Choose): void {
  program
    .command("start")
    .summary("run the demonstration, from a checkout")
    .description(
      "Boots SpiceDB, an identity provider and the processor, logs two humans in, lets an agent act for them against two MCP " +
        "servers, prints every decision and the page's address, and stays up until Ctrl-C.",
    )
    .option("--once", "end with a summary; 0 only if every verdict was the expected one")
    .option(
      "--state <dir>",
      "where everything is kept (./.countersign/start; with --once a fresh ./.countersign/once)",
    )
    .option(
      "--url <url>",
      "use the processor whose page this is (with COUNTERSIGN_OTLP_ENDPOINT) instead of booting one",
    )
    .option("--json", "print JSON lines")
    .addHelpText("after", example("countersign start", "countersign start --once --json"))
    .action((flags: Flags) => choose((terminal) => start(flags, terminal)));
}

async function start(flags: Flags, terminal: Terminal): Promise<number> {
  const demo = fileURLToPath(new URL("../../../../deploy/demo", import.meta.url));
  if (!existsSync(demo)) {
    throw new CliError(
      EXIT.noInput,
      "start runs from a checkout of the repository: deploy/demo is not here",
    );
  }
  const { runDemonstration } = await import("../start/run.ts");
  return runDemonstration({
    demo,
    once: flags.once === true,
    json: flags.json === true,
    terminal,
    env: process.env,
    ...(flags.url === undefined ? {} : { page: flags.url }),
    ...(flags.state === undefined ? {} : { directory: flags.state }),
  });
}
