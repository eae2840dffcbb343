import { MAX_DOCUMENT_BYTES, type Problem, formatProblem } from "@countersign/model/document";
import { type Command, Option } from "commander";
import { type Choose, example } from "../command.ts";
import { EXIT } from "../exit.ts";
import { readInput } from "../input.ts";
import type { Terminal } from "../terminal.ts";

interface Flags {
  readonly config?: string;
  readonly policy?: string;
  readonly json?: true;
}

/** `countersign validate`: every problem of a file, with its place and what to do. */
export function addValidate(program: Command, choose: Choose): void {
  program
    .command("validate")
    .summary("check a configuration or a policy")
    .description(
      "Checks a file and names every problem: file, line, column, path, and what to do. Exits 78 when there is one.",
    )
    .addOption(new Option("--config <file>", "a processor configuration").conflicts("policy"))
    .addOption(new Option("--policy <file>", "a policy"))
    .option("--json", "print the result as JSON")
    .addHelpText("after", example("countersign validate --policy policy.yaml"))
    .action((flags: Flags, command: Command) => {
      if ((flags.config ?? flags.policy) === undefined) {
        command.error("error: give --config <file> or --policy <file>");
      }
      choose((terminal) => validate(flags, terminal));
    });
}

async function validate(flags: Flags, terminal: Terminal): Promise<number> {
  const file = (flags.config ?? flags.policy) as string;
  const text = await readInput(file, MAX_DOCUMENT_BYTES);
  const problems =
    flags.config === undefined ? await ofPolicy(text, file) : await ofConfig(text, file);
  if (flags.json) {
    terminal.out(JSON.stringify({ file, ok: problems.length === 0, problems }, undefined, 2));
  } else if (problems.length === 0) {
    terminal.out(`${file}: valid`);
  } else {
    for (const problem of problems) terminal.out(formatProblem(problem));
    terminal.err(`${problems.length} ${problems.length === 1 ? "problem" : "problems"}`);
  }
  return problems.length === 0 ? EXIT.done : EXIT.config;
}

async function ofPolicy(text: string, file: string): Promise<readonly Problem[]> {
  const { loadPolicy, PolicyError } = await import("@countersign/gate");
  try {
    loadPolicy(text, file);
    return [];
  } catch (error) {
    if (error instanceof PolicyError) return error.problems;
    throw error;
  }
}

async function ofConfig(text: string, file: string): Promise<readonly Problem[]> {
  const { validateConfig } = await import("@countersign/processor");
  return validateConfig(text, file);
}
