import { formatProblem } from "@countersign/model/document";
import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { requireInput } from "../input.ts";
import { untilSignal } from "../signals.ts";
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
      "Runs the pipeline service: receivers, processors and exporters, as its configuration says. " +
        "SIGTERM or SIGINT drains it; a second one ends it.",
    )
    .requiredOption("--config <file>", "the service's configuration")
    .addHelpText("after", example("countersign processor --config config/embedded.yaml"))
    .action((flags: Flags) => choose((terminal) => processor(flags, terminal)));
}

async function processor(flags: Flags, terminal: Terminal): Promise<number> {
  await requireInput(flags.config);
  const { runProcessor } = await import("@countersign/processor");
  const { signal, dispose } = untilSignal();
  try {
    return await runProcessor({
      configFile: flags.config,
      signal,
      problem: (problem) => terminal.err(formatProblem(problem)),
      started: ({ consoleUrl }) => {
        if (consoleUrl !== undefined) terminal.err(`The page: ${consoleUrl}`);
      },
    });
  } finally {
    dispose();
  }
}
