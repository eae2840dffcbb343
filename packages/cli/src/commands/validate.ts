import { MAX_DOCUMENT_BYTES, type Problem, formatProblem } from "@countersign/model/document";
import { type Command, Option } from "commander";
import { type Choose, example } from "../command.ts";
import { EXIT } from "../exit.ts";
import { readInput } from "../input.ts";
import { formatWarning } from "../warning.ts";
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
      "Checks a file and names every problem: file, line, column, path, and what to do. Exits 78 when there is one; " +
        "warnings are what runs, but was surely not meant.",
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

/** What is wrong with a file, and what is surely not meant but runs. */
interface Findings {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

async function validate(flags: Flags, terminal: Terminal): Promise<number> {
  const file = (flags.config ?? flags.policy) as string;
  const text = await readInput(file, MAX_DOCUMENT_BYTES);
  const findings =
    flags.config === undefined ? await ofPolicy(text, file) : await ofConfig(text, file);
  const ok = findings.problems.length === 0;
  if (flags.json) terminal.out(JSON.stringify({ file, ok, ...findings }, undefined, 2));
  else print(file, findings, terminal);
  return ok ? EXIT.done : EXIT.config;
}

function print(file: string, { problems, warnings }: Findings, terminal: Terminal): void {
  for (const problem of problems) terminal.out(formatProblem(problem));
  for (const warning of warnings) terminal.out(formatWarning(warning));
  if (problems.length === 0) terminal.out(`${file}: valid`);
  const counted = [count(problems.length, "problem"), count(warnings.length, "warning")];
  const found = counted.filter((one) => one !== undefined).join(", ");
  if (found !== "") terminal.err(found);
}

function count(number: number, noun: string): string | undefined {
  return number === 0 ? undefined : `${number} ${noun}${number === 1 ? "" : "s"}`;
}

async function ofPolicy(text: string, file: string): Promise<Findings> {
  const { loadPolicy, PolicyError } = await import("@countersign/gate");
  try {
    loadPolicy(text, file);
    return { problems: [], warnings: [] };
  } catch (error) {
    if (error instanceof PolicyError) return { problems: error.problems, warnings: [] };
    throw error;
  }
}

async function ofConfig(text: string, file: string): Promise<Findings> {
  const { validateConfig } = await import("@countersign/processor");
  return validateConfig(text, file);
}
