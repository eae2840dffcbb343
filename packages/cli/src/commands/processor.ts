import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import type { Terminal } from "../terminal.ts";

interface Flags {
  readonly config: string;
}

/** `countersign processor`: the pipeline service. */
export function addProcessor(program: Command, choose: Choose): void {
  program
    .command("processor")
    .summary("run the pipeline service until SIGTERM or SIGINT, then drain")
    .description(
      "Runs the pipeline service: receivers, processors, connectors and exporters, as its configuration says. " +
        "SIGTERM or SIGINT drains it; a second one ends it.",
    )
    .requiredOption("--config <file>", "the service's configuration")
    .addHelpText("after", example("countersign processor --config config/embedded.yaml"))
    .action((flags: Flags) => choose((terminal) => processor(flags, terminal)));
}

async function processor(flags: Flags, _terminal: Terminal): Promise<number> {
  void flags;
  return 70;
}
