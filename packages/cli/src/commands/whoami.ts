import type { Command } from "commander";
import { type Choose, example } from "../command.ts";
import { EXIT } from "../exit.ts";
import { personalClaimsNote, summaryLines } from "../login-lines.ts";
import type { Terminal } from "../terminal.ts";

interface Flags {
  readonly json?: true;
}

/** `countersign whoami`: in whose name calls from here are made. */
export function addWhoami(program: Command, choose: Choose): void {
  program
    .command("whoami")
    .summary("show who is logged in, and what that proves")
    .description(
      "Shows the login on this machine: issuer, subject, the assurance it gives, how it is bound to its key, and when it ends. " +
        "Asks nobody. Exits 1 when nobody is logged in, or the login has ended.",
    )
    .option("--json", "print it as JSON")
    .addHelpText("after", example("countersign whoami", "countersign whoami --json"))
    .action((flags: Flags) => choose((terminal) => whoami(flags, terminal)));
}

async function whoami({ json }: Flags, terminal: Terminal): Promise<number> {
  const { currentLogin } = await import("@countersign/identity/login");
  const summary = await currentLogin();
  if (summary === undefined) {
    terminal.err("countersign: nobody is logged in; run countersign login");
    return EXIT.failed;
  }
  if (json) terminal.out(JSON.stringify(summary, undefined, 2));
  else for (const line of summaryLines(summary)) terminal.out(line);
  const note = personalClaimsNote(summary);
  if (note !== undefined) terminal.err(note);
  return summary.ended ? EXIT.failed : EXIT.done;
}
