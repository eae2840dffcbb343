import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { type Action, type Choose, example } from "./command.ts";
import { addComponents } from "./commands/components.ts";
import { addCredential } from "./commands/credential.ts";
import { addDlq } from "./commands/dlq.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addGuard } from "./commands/guard.ts";
import { addJournal } from "./commands/journal.ts";
import { addLogin } from "./commands/login.ts";
import { addLogout } from "./commands/logout.ts";
import { addPolicyExplain } from "./commands/policy-explain.ts";
import { addPolicyInit } from "./commands/policy-init.ts";
import { addProcessor } from "./commands/processor.ts";
import { addReconcile } from "./commands/reconcile.ts";
import { addReplay } from "./commands/replay.ts";
import { addShip } from "./commands/ship.ts";
import { addStart } from "./commands/start.ts";
import { addTail } from "./commands/tail.ts";
import { addValidate } from "./commands/validate.ts";
import { addWhoami } from "./commands/whoami.ts";
import { describe, EXIT, exitCodeOf } from "./exit.ts";
import { processTerminal, type Terminal } from "./terminal.ts";

/**
 * Runs one command line and gives its exit code (contract: command line). Results go to stdout, everything else to stderr.
 *
 * @param argv Arguments after the program's name.
 */
export async function run(
  argv: readonly string[],
  terminal: Terminal = processTerminal(),
): Promise<number> {
  let action: Action | undefined;
  const program = build(terminal, (chosen) => {
    action = chosen;
  });
  try {
    await program.parseAsync(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.done : EXIT.usage; // help and version are results
  }
  if (action === undefined) return EXIT.usage;
  try {
    return await action(terminal);
  } catch (error) {
    terminal.err(`countersign: ${describe(error)}`);
    if (process.env["COUNTERSIGN_DEBUG"] === "1" && error instanceof Error) {
      terminal.err(error.stack ?? "");
    }
    return exitCodeOf(error);
  }
}

function version(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

function build(terminal: Terminal, choose: Choose): Command {
  const program = new Command("countersign")
    .description(
      "The audit trail for MCP tool calls in which the authorization decision is the record.",
    )
    .version(version(), "-V, --version", "print the version")
    .enablePositionalOptions()
    .showHelpAfterError("(--help shows an example)")
    .configureOutput({
      writeOut: (text) => terminal.out(text.trimEnd()),
      writeErr: (text) => terminal.err(text.trimEnd()),
    })
    .exitOverride()
    .addHelpText(
      "after",
      example("countersign start", "countersign guard --policy p.yaml -- npx some-mcp-server"),
    );
  addGuard(program, choose);
  addProcessor(program, choose);
  addValidate(program, choose);
  addComponents(program, choose);
  addReplay(program, choose);
  addDlq(program, choose);
  addReconcile(program, choose);
  const policy = program
    .command("policy")
    .summary("write a policy skeleton, or question a policy")
    .description("Writes a policy skeleton, or questions a policy.");
  addPolicyInit(policy, choose);
  addPolicyExplain(policy, choose);
  addDoctor(program, choose);
  addTail(program, choose);
  addJournal(program, choose);
  addShip(program, choose);
  addLogin(program, choose);
  addWhoami(program, choose);
  addCredential(program, choose);
  addLogout(program, choose);
  addStart(program, choose);
  return program;
}
