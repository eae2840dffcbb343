import { formatProblem } from "@countersign/model/document";
import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { requireInput } from "../input.ts";
import { untilServiceSignal } from "../signals.ts";
import type { Terminal } from "../terminal.ts";
import { formatWarning } from "../warning.ts";

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
        "SIGTERM or SIGINT drains it; a second one ends it. SIGHUP changes nothing: a restart is the reload.",
    )
    .requiredOption("--config <file>", "the service's configuration")
    .addHelpText("after", example("countersign processor --config config/embedded.yaml"))
    .action((flags: Flags) => choose((terminal) => processor(flags, terminal)));
}

const NO_RELOAD =
  "SIGHUP: the configuration is read at the start alone; restart to reload it (countersign validate checks it before). Certificates and tokens that are files are read again by themselves.";

async function processor(flags: Flags, terminal: Terminal): Promise<number> {
  await requireInput(flags.config);
  const { runProcessor } = await import("@countersign/processor");
  const { signal, dispose } = untilServiceSignal(() => terminal.err(NO_RELOAD));
  try {
    return await runProcessor({
      configFile: flags.config,
      signal,
      problem: (problem) => terminal.err(formatProblem(problem)),
      warning: (warning) => terminal.err(formatWarning(warning)),
      started: ({ consoleUrl }) => {
        if (consoleUrl !== undefined) terminal.err(`The page: ${consoleUrl}`);
      },
    });
  } finally {
    dispose();
  }
}
